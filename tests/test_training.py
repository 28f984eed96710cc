"""The training step, the loop, checkpoints: what they compute, and that interruptions change nothing."""

import json
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import data, layers, ops
from alexnet_np.backend import PAGE
from alexnet_np.benchmarks.kill_and_resume import kill_and_resume
from alexnet_np.data import generated
from alexnet_np.data.dataset import Split, subset
from alexnet_np.train import SGD, Recipe, Report, Run, evaluate, fit, load, loop, start, train_step
from alexnet_np.train.finite import NotFinite
from alexnet_np.train.record import Record

SMALL = Recipe(epochs=2, batch=16, lr=0.02, drop=(2,), seed=3)

# Loss before every tenth of 60 steps of mini in float64, seed 3: whatever changes one of them changes the training
# step. The gradient of every layer is checked elsewhere; this guards how they are put together.
GOLDEN = [2.484279006273, 2.476290011191, 2.420521406797, 1.900568635358, 1.118931575715, 0.790458298865]


def test_where_weights_lie() -> None:
    """On lines of the cache, so that no vector of them lies in two, and velocities in other sets than their weights."""
    sgd = SGD(anp.alexnet("mini"))
    for name, layer, key in sgd.trained():
        assert layer.params[key].ctypes.data % PAGE == 0, name
        assert sgd.velocity[name].ctypes.data % PAGE == PAGE // 2, name
        assert not sgd.velocity[name].any(), name


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


AUGMENTED = replace(SMALL, store=36, mirror=True, colour=0.1, schedule="plateau", drop=(), patience=1, bias_lr=2.0)


@pytest.fixture(scope="module")
def stored() -> Split:
    """Images larger than what the network sees of them."""
    return generated.load(train=96, test=24, side=36, seed=1)


@pytest.mark.parametrize("stop", [1, 5, 6, 9])  # within an epoch, at its last step, at the first of the next
def test_resume_is_bit_for_bit(stored: Split, tmp_path: Path, stop: int) -> None:
    """Stopped at any step, saved, loaded and continued with more threads: as without, nothing twice in the record."""
    whole = start(AUGMENTED, stored)
    assert fit(whole, stored)
    run = start(AUGMENTED, stored)
    assert not fit(run, stored, tmp_path, lambda report: interrupt(report.step == stop))
    assert run.model.iteration in (stop, stop + 1)
    resumed = load(tmp_path / "last.safetensors")
    assert_same(run, resumed)
    assert resumed.recipe == AUGMENTED and resumed.classes == list(stored.train.classes)
    resumed.recipe = replace(AUGMENTED, threads=5)
    assert fit(resumed, stored, tmp_path)
    assert_same(whole, resumed)
    assert (resumed.schedule, resumed.best, resumed.scored) == (whole.schedule, whole.best, whole.scored)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert [line["step"] for line in lines if line["scores"]] == [6, 12]


def interrupt(now: bool) -> None:
    if now:
        signal.raise_signal(signal.SIGINT)


def test_interrupted_while_scoring(stored: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C does not wait for the held-out images; they are scored when the run goes on."""
    whole, run = start(AUGMENTED, stored), start(AUGMENTED, stored)
    assert fit(whole, stored)
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: interrupt(True))
    assert not fit(run, stored, tmp_path)
    monkeypatch.undo()
    resumed = load(tmp_path / "last.safetensors")
    assert (resumed.model.iteration, resumed.scored, resumed.best) == (6, 0, None)
    assert fit(resumed, stored, tmp_path)
    assert_same(whole, resumed)
    assert resumed.best == whole.best
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13)) and lines[5]["scores"] and lines[5]["loss"]


def test_kills_change_nothing(tmp_path: Path) -> None:
    """The command, killed at random moments; twenty are in `python -m alexnet_np.benchmarks.kill_and_resume`."""
    assert kill_and_resume(tmp_path, kills=4, epochs=1, seed=1) == []


def test_the_number_of_threads_changes_nothing(stored: Split) -> None:
    one, many = (start(replace(AUGMENTED, threads=n), stored) for n in (1, 4))
    assert fit(one, stored) and fit(many, stored)
    assert_same(one, many)


def test_steps_end_a_run_within_an_epoch(images: Split, tmp_path: Path) -> None:
    """It is scored there too, and a longer recipe goes on with it as if it had been longer from the beginning."""
    whole, short = start(SMALL, images), start(replace(SMALL, steps=8), images)
    reports: list[Report] = []
    assert fit(whole, images) and fit(short, images, tmp_path, reports.append)
    assert [r.step for r in reports if r.scores] == [6, 8] and reports[-1].steps == 8
    again = load(tmp_path / "last.safetensors")
    again.recipe = SMALL
    assert fit(again, images)
    assert_same(whole, again)


def test_reports(images: Split) -> None:
    """The rate that a step used, the epoch from 0, and a share of waiting."""
    reports: list[Report] = []
    assert fit(start(SMALL, images), images, None, reports.append)
    np.testing.assert_allclose([r.lr for r in reports], [0.02] * 6 + [0.002] * 6)
    assert [r.epoch for r in reports] == [0] * 6 + [1] * 6
    assert all(0 <= r.waiting <= 1 and r.images_per_second > 0 for r in reports)


def test_a_plateau_drops_during_a_run(images: Split) -> None:
    """Nothing improves at rate 0, so it drops after each epoch but the first; the report has what a step used."""
    reports: list[Report] = []
    recipe = replace(SMALL, epochs=4, drop=(), schedule="plateau", patience=1, lr=1e-9)
    assert fit(start(recipe, images), images, None, reports.append)
    np.testing.assert_allclose([r.lr for r in reports if r.scores], [1e-9, 1e-9, 1e-10, 1e-11])


def test_trains_off_the_main_thread(images: Split) -> None:
    """Where no signal handler can be set, training still works."""
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(fit(start(replace(SMALL, epochs=1), images), images)))
    thread.start()
    thread.join()
    assert results == [True]


def test_a_loss_that_explodes(images: Split, tmp_path: Path) -> None:
    """The layer and the step where it began; the checkpoint before is whole, and its weights are finite."""
    message = (
        r"^the loss is (nan|inf) at step \d+: it began in the (output|gradient|update) of \S+.*; try a smaller --lr"
    )
    with pytest.raises(ValueError, match=rf"{message}; the last good checkpoint stays: --init .*last.safetensors$"):
        fit(start(replace(SMALL, lr=1e6, epochs=20), images), images, tmp_path)
    assert all(np.isfinite(w).all() for w in load(tmp_path / "last.safetensors").model.state_dict().values())


def test_where_a_loss_stops_being_finite(images: Split) -> None:
    run = start(SMALL, images)
    x, labels = run.pixels(images.train.images(np.arange(16))), images.train.labels[:16]
    train_step(run.model, run.sgd, x, labels, 0.01)
    before = weights(run)

    def message(x: np.ndarray) -> str:
        with pytest.raises(NotFinite) as caught, np.errstate(all="ignore"):
            train_step(run.model, run.sgd, x, labels, 0.01)
        assert run.model.iteration == 1, "a step that failed was counted"
        return str(caught.value)

    run.model["conv3"].params["weight"][...] *= 1e20
    run.model["fc6"].params["weight"][...] *= 1e30
    assert "at step 2: it began in the output of fc6, whose input reaches" in message(x)
    run.model.load_state_dict(before)
    run.model["fc6"].params["weight"][3] = np.nan
    assert message(x) == "the loss is nan at step 2: it began in the update of fc6.weight at step 1"
    run.model["fc7"].grads["bias"][0] = np.inf
    run.model["conv1"].grads["weight"][0] = np.nan
    assert message(x) == "the loss is nan at step 2: it began in the gradient of fc7.bias at step 1"
    run.model.load_state_dict(before)
    assert "the images themselves are not finite" in message(np.full_like(x, np.nan))
    assert_equal(weights(run), before)


def test_weights_that_are_not_finite_are_never_saved(images: Split, tmp_path: Path) -> None:
    """A gradient may overflow while the loss is still finite: the checkpoint of before stays the last."""
    run = start(replace(SMALL, save_every=3), images)

    def spoil(report: Report) -> None:
        if report.step == 3:
            run.model["conv2"].params["weight"][0] = np.inf

    with pytest.raises(NotFinite, match=r"^weights are not finite: it began in the update of conv2.weight at step 3; "):
        fit(run, images, tmp_path, spoil)
    assert load(tmp_path / "last.safetensors").model.iteration == 0


def assert_equal(mine: dict[str, np.ndarray], its: dict[str, np.ndarray]) -> None:
    assert mine.keys() == its.keys()
    for name, array in mine.items():
        np.testing.assert_array_equal(array, its[name], err_msg=name)


def test_frozen_layers(images: Split) -> None:
    """They stay, bit for bit, and cost no backward; the others train as if those had no gradient."""
    run = start(replace(SMALL, freeze=("conv1..conv2", "fc7")), images)
    before = weights(run)
    assert fit(run, images)
    changed = {name for name, w in weights(run).items() if not np.array_equal(w, before[name])}
    assert {name.partition(".")[0] for name in changed} == {"conv3", "fc6", "fc8"}
    assert run.sgd.first == "conv3" and not run.model["conv1"].grads and not run.model["conv2"].grads
    assert run.sgd.velocity.keys() == changed
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        run.model["conv1"].backward(np.zeros((16, 24, 16, 16), np.float32))


def test_gradients_up_to_a_layer(images: Split) -> None:
    """`until` changes none of the gradients behind it, and gives that layer's input gradient where it is asked for."""
    random = np.random.default_rng(0)
    x, dy = random.standard_normal((4, 3, 32, 32), np.float32), random.standard_normal((4, 12), np.float32)
    whole, part = (anp.alexnet("mini", 12, seed=1) for _ in range(2))
    for model, until in ((whole, None), (part, "conv2")):
        model.forward(x, train=True, logits=True)
        dx = model.backward(dy, until=until)
    assert dx is not None and dx.shape == part.specs(4)["pool1"][0].shape
    for name in ("conv2", "conv3", "fc6", "fc7", "fc8"):
        assert_equal(part[name].grads, whole[name].grads)
    with pytest.raises(ValueError, match="conv9"):
        part.forward(x, train=True)
        part.backward(dy, until="conv9")


def test_bias_rule(images: Split) -> None:
    """Caffe's: biases at twice the rate, and without decay; against the formula."""
    run = start(replace(SMALL, bias_lr=2.0, bias_decay=0.0, weight_decay=0.1), images)
    run.model["conv1"].params["bias"][...] = 3
    before = weights(run)
    train_step(run.model, run.sgd, run.pixels(images.train.images(np.arange(16))), images.train.labels[:16], 0.5)
    for name, layer, key in run.model.parameters():
        w, g = before[name].astype(float), layer.grads[key].astype(float)
        step = -1.0 * g if key == "bias" else -0.5 * 0.1 * w - 0.5 * g
        np.testing.assert_allclose(run.sgd.velocity[name], step, rtol=1e-4, atol=1e-7, err_msg=name)


@pytest.mark.parametrize(
    ("freeze", "message"),
    [(("conv9",), "there is no layer 'conv9' to freeze; those with weights are conv1, conv2, conv3, fc6, fc7, fc8"),
     (("conv1..norm2",), "there is no layer 'norm2'"), (("conv3..conv1",), "conv3..conv1 runs backwards"),
     (("conv1..fc8",), "freeze conv1..fc8 leaves no layer to train")],
)  # fmt: skip
def test_bad_freezing(freeze: tuple[str, ...], message: str, images: Split) -> None:
    with pytest.raises(ValueError, match=message):
        start(replace(SMALL, freeze=freeze), images)


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


@pytest.mark.parametrize(
    ("bad", "message"),
    [({"lr": -1.0}, "lr"), ({"lr": float("nan")}, "lr"), ({"momentum": 1.0}, "momentum"), ({"epochs": 0}, "epochs"),
     ({"batch": 0}, "batch"), ({"weight_decay": float("inf")}, "weight_decay"), ({"seed": -1}, "seed")],
)  # fmt: skip
def test_bad_recipes(bad: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**bad)


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


def test_an_error_amid_a_run_says_how_to_go_on(images: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends it, a picture that cannot be read or a full disk: the message names the checkpoint that stays."""
    run = start(replace(SMALL, save_every=2), images)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def tell(report: Report) -> None:
        if report.step == 3:
            monkeypatch.setattr(Path, "open", full)

    message = "metrics.jsonl: No space left on device; the last good checkpoint stays: --resume .*last.safetensors"
    with pytest.raises(OSError, match=rf"cannot write .*{message}"):
        fit(run, images, tmp_path, tell)
    monkeypatch.undo()
    again = load(tmp_path / "last.safetensors")
    assert again.model.iteration == 2 and fit(again, images, tmp_path)


@pytest.mark.parametrize("cut", ['{"step": 3, "lo', '{"step": 3, "scores": {"loss": 1.0}', "", '{"step": 3}'])
def test_a_record_that_was_cut_off(tmp_path: Path, cut: str) -> None:
    """A kill may leave half a line, which goes, as do the lines beyond the step that is resumed from."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n' + cut)
    Record(tmp_path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
    path.write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 2, is no step of a run; move the file away"):
        Record(tmp_path, 2)
