"""The training step, the loop, checkpoints: what they compute, and that interruptions change nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import data, layers, ops
from alexnet_np.data import generated
from alexnet_np.data.dataset import Split, subset
from alexnet_np.train import SGD, Recipe, Run, evaluate, fit, load, save, start, train_step
from alexnet_np.train.checkpoint import write_tensors

SMALL = Recipe(epochs=2, batch=16, lr=0.02, drop=(2,), seed=3)

# Loss before every tenth of 60 steps of mini in float64, seed 3: whatever changes one of them changes the training
# step. The gradient of every layer is checked elsewhere; this guards how they are put together.
GOLDEN = [2.484279006273, 2.476290011191, 2.420521406797, 1.900568635358, 1.118931575715, 0.790458298865]


@pytest.fixture(scope="module")
def images() -> Split:
    return generated.load(train=96, test=24, seed=1)


def weights(run: Run) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in run.model.state_dict().items()}


def assert_same(one: Run, other: Run) -> None:
    """Weights, velocities and the step are the same, bit for bit."""
    assert one.model.iteration == other.model.iteration
    for mine, its in ((one.model.state_dict(), other.model.state_dict()), (one.sgd.velocity, other.sgd.velocity)):
        assert mine.keys() == its.keys()
        for name, array in mine.items():
            np.testing.assert_array_equal(array, its[name], err_msg=name)


def golden_losses() -> list[float]:
    model = anp.alexnet("mini", 12, seed=3, dtype=np.float64)
    sgd, split = SGD(model), generated.load(train=48, test=12, seed=1)
    x = (split.train.images(np.arange(48)) - 128.0) / 64
    return [train_step(model, sgd, x, split.train.labels, 0.05) for _ in range(60)][::10]


def test_golden_losses() -> None:
    np.testing.assert_allclose(golden_losses(), GOLDEN, rtol=1e-7)


def test_dropout_follows_the_iteration(images: Split) -> None:
    """A forward pass can be repeated; only the trainer's advance changes the masks."""
    model = anp.alexnet("mini", 12, seed=1)
    x = np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32)
    first, again = model.forward(x, train=True), model.forward(x, train=True)
    np.testing.assert_array_equal(first, again)
    model.iteration += 1
    assert not np.array_equal(first, model.forward(x, train=True))
    stepped = x
    for _, layer in model.items():
        stepped = layer.forward(stepped, train=True)
    np.testing.assert_array_equal(stepped, model.forward(x, train=True))
    assert model["drop6"].key != model["drop7"].key


def test_overfits_a_few_images(images: Split) -> None:
    few = subset(images.train, 16)
    run = start(replace(SMALL, epochs=300, drop=()), Split(few, few))
    assert fit(run, Split(few, few))
    assert evaluate(run.model, few, run.pixels).top1 == 1


def test_resume_is_bit_for_bit(images: Split, tmp_path: Path) -> None:
    """Stopped at any step, saved, loaded and continued: the same weights and velocities as without."""
    whole = start(SMALL, images)
    assert fit(whole, images)
    for stop in (1, 5, 6, 9):  # within an epoch, at its last step, at the first of the next
        run = start(SMALL, images)
        finished = fit(run, images, tmp_path, lambda report, at=stop: interrupt(report.step == at))
        assert not finished and run.model.iteration in (stop, stop + 1)
        resumed = load(tmp_path / "last.safetensors")
        assert_same(run, resumed)
        assert resumed.recipe == SMALL and resumed.classes == list(images.train.classes)
        assert fit(resumed, images, tmp_path)
        assert_same(whole, resumed)
        steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
        assert steps == list(range(1, 13))
        (tmp_path / "metrics.jsonl").unlink()


def interrupt(now: bool) -> None:
    if now:
        signal.raise_signal(signal.SIGINT)


def test_kill_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    """A process killed while it trains leaves a checkpoint that loads, or none."""
    arguments = ["train", "--variant", "mini", "--batch", "64", "--epochs", "50", "--out", str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-m", "alexnet_np.cli", *arguments], stdout=subprocess.DEVNULL)
    last = tmp_path / "last.safetensors"
    for _ in range(1200):
        if last.exists():
            break
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    run = load(last)
    assert run.model.iteration >= 93 and all(np.isfinite(w).all() for w in run.model.state_dict().values())


def test_trains_off_the_main_thread(images: Split) -> None:
    """Where no signal handler can be set, training still works."""
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(fit(start(replace(SMALL, epochs=1), images), images)))
    thread.start()
    thread.join()
    assert results == [True]


def test_non_finite_loss_is_an_error(images: Split, tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"the loss is (nan|inf) at step \d+; try a smaller --lr"),
        np.errstate(all="ignore"),
    ):
        fit(start(replace(SMALL, lr=1e6, epochs=20), images), images, tmp_path)


def test_evaluation_counts(images: Split) -> None:
    """Top-1 and top-5 against a plain count; a tie is no success."""
    run = start(SMALL, images)
    assert fit(run, images)
    scores = evaluate(run.model, images.test, run.pixels, batch=7)
    probs = run.model.forward(run.pixels(images.test.images(np.arange(24))))
    order = np.argsort(-probs, axis=1, kind="stable")
    assert scores.images == 24
    assert scores.top1 == np.mean(order[:, 0] == images.test.labels)
    assert scores.top5 == np.mean((order[:, :5] == images.test.labels[:, None]).any(axis=1))
    np.testing.assert_allclose(scores.loss, -np.log(probs[np.arange(24), images.test.labels]).mean(), rtol=1e-5)
    for array in run.model.state_dict().values():
        array[...] = 0
    assert evaluate(run.model, images.test, run.pixels).top5 == 0


def test_learning_rate_drops() -> None:
    recipe = Recipe(lr=0.1, drop=(3, 5))
    np.testing.assert_allclose([recipe.lr_at(e) for e in (1, 2, 3, 4, 5, 6)], [0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


@pytest.mark.parametrize(
    ("bad", "message"),
    [({"lr": -1.0}, "lr"), ({"lr": float("nan")}, "lr"), ({"momentum": 1.0}, "momentum"), ({"epochs": 0}, "epochs"),
     ({"batch": 0}, "batch"), ({"weight_decay": float("inf")}, "weight_decay"), ({"seed": -1}, "seed")],
)  # fmt: skip
def test_bad_recipes(bad: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**bad)


def test_checkpoint_of_transposed_weights(images: Split, tmp_path: Path) -> None:
    """safetensors writes a transposed array's memory as if it were contiguous; ours must come back as it was."""
    turned = np.arange(6.0).reshape(2, 3).T
    write_tensors(tmp_path / "t.safetensors", {"t": turned}, {})
    from safetensors.numpy import load_file

    np.testing.assert_array_equal(load_file(tmp_path / "t.safetensors")["t"], turned)


def test_bad_checkpoints(images: Split, tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    with pytest.raises(ValueError, match="there is no checkpoint"):
        load(path)
    save(path, start(SMALL, images))
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"\0" * 100, b"not a checkpoint at all"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"last.safetensors is damaged"):
            load(path)
    write_tensors(path, {"w": np.ones(3)}, {})
    with pytest.raises(ValueError, match="not a checkpoint of ours"):
        load(path)


def test_failed_save_keeps_the_old_checkpoint(images: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, run = tmp_path / "last.safetensors", start(SMALL, images)
    save(path, run)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    run.model.state_dict()["conv1.weight"][...] = 7
    with pytest.raises(OSError, match="no space"):
        save(path, run)
    assert path.read_bytes() == before


def test_training_loss_takes_logits() -> None:
    """The Softmax at the end is left out while training, forward and backward, and is there for a prediction."""
    model = anp.Sequential({"fc": layers.Linear(4, 3), "prob": layers.Softmax()})
    x, labels = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32), np.array([0, 1, 2, 0, 1])
    logits = model.forward(x, train=True, logits=True)
    _, probs = ops.softmax_cross_entropy(logits, labels)
    np.testing.assert_allclose(model.forward(x), probs, rtol=1e-6)
    logits = model.forward(x, train=True, logits=True)
    dlogits = ops.softmax_cross_entropy_backward(probs, labels)
    dx = model.backward(dlogits)
    np.testing.assert_allclose(dx, dlogits @ model["fc"].params["weight"], rtol=1e-5)
    model.forward(x, train=True)
    assert model.backward(np.ones((5, 3), np.float32)).shape == x.shape
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        model.backward(dlogits)


def test_data_too_small_for_a_batch(images: Split) -> None:
    with pytest.raises(ValueError, match="96 training images do not fill a batch of 128"):
        fit(start(replace(SMALL, batch=128), images), images)


def test_pixels_are_centred(images: Split) -> None:
    pixels = data.measure(images.train, scale=True)
    x = pixels(images.train.images(np.arange(96)))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(), 1, rtol=1e-4)
    assert data.measure(images.train, scale=False).scale == 1
