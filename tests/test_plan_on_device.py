"""A plan of kernels in CUDA C++: one tape for a step, emulated here; the same numbers as layer by layer."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np.backend import BACKENDS, brought, module_of
from alexnet_np.data.dataset import Split
from alexnet_np.dispatch import NoKernel
from alexnet_np.layers import LRN, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Softmax
from alexnet_np.network import Sequential
from alexnet_np.plan import streams
from alexnet_np.plan.arena import Buffer
from alexnet_np.plan.tape import Tape
from alexnet_np.precision import bfloat16
from alexnet_np.train import checkpoint
from alexnet_np.train.finite import NotFinite
from alexnet_np.train.loop import train_step, with_next
from alexnet_np.train.optimizer import SGD
from alexnet_np.train.recipe import Recipe

# On a GPU too, where there is one.
able = [name for name in ("emu_cuda", "gpu_cuda") if BACKENDS[name].missing() is None]
on_each = pytest.mark.parametrize("backend", able)
N, CLASSES = 3, 5


def network() -> Sequential:
    """All kinds of layers, in the orders of the paper (conv1), of Caffe (conv2) and of torchvision (conv3)."""
    layers = [
        ("conv1", Conv2d(3, 8, 5, 2, ((0, 1), (0, 1)), seed=1)), ("relu1", ReLU()),
        ("norm1", LRN(alpha=0.1, groups=2)), ("pool1", MaxPool2d(3, 2)),
        ("conv2", Conv2d(8, 6, 3, 1, 1, 2, seed=2)), ("relu2", ReLU()), ("pool2", MaxPool2d(2, 1)), ("norm2", LRN()),
        ("conv3", Conv2d(6, 4, 3, 1, 1, seed=3)), ("relu3", ReLU()),
        ("conv4", Conv2d(4, 4, 1, seed=4)),
        ("flatten", Flatten()),
        ("fc5", Linear(4 * 3 * 3, 9, seed=5)), ("relu5", ReLU()), ("drop5", Dropout(0.5, scale_at_train=False)),
        ("fc6", Linear(9, 7, seed=6)), ("drop6", Dropout(0.3)),
        ("fc7", Linear(7, CLASSES, seed=7)), ("prob", Softmax()),
    ]  # fmt: skip
    return Sequential(layers, input_shape=(3, 20, 20), seed=11)


@pytest.fixture
def batch() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    return random.standard_normal((N, 3, 20, 20)).astype(np.float32), random.integers(0, CLASSES, N)


def planned(model: Sequential, backend: str, **options: Any) -> anp.Plan:
    with anp.use(backend):
        return anp.Plan(model, (N, 3, 20, 20), **options)


def weights_of(model: Sequential) -> dict[str, Any]:
    """Copies on the host."""
    return {name: brought(array, "cpu").copy() for name, array in model.state_dict().items()}


def eager(x: Any, labels: Any, steps: int = 3, **options: Any) -> tuple[Sequential, list[float]]:
    model = network()
    sgd = SGD(model, **options)
    with anp.use("cpu_numpy"):
        return model, [train_step(model, sgd, x, labels, 0.05) for _ in range(steps)]


@on_each
def test_a_step_is_the_eager_step(backend: str, batch: Any) -> None:
    x, labels = batch
    expected, losses = eager(x, labels)
    model = network()
    plan = planned(model, backend)
    np.testing.assert_allclose([plan.step(x, labels, 0.05) for _ in losses], losses, rtol=1e-5)
    assert losses[-1] != losses[0] and model.iteration == 3
    for name, weights in weights_of(model).items():
        np.testing.assert_allclose(weights, expected.state_dict()[name], rtol=1e-4, atol=1e-6, err_msg=name)
    expected.load_state_dict(weights_of(model))
    with anp.use("cpu_numpy"):
        np.testing.assert_allclose(plan.predict(x), expected.forward(x), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(plan.predict(x, logits=True), expected.forward(x, logits=True), rtol=1e-4, atol=1e-5)


@on_each
def test_what_can_be_fused_is(backend: str, batch: Any) -> None:
    rows = planned(network(), backend).schedule.rows
    assert [row[0] for row in rows[:4]] == ["conv1", "relu1 norm1 pool1", "conv2", "relu2 pool2"]
    assert [row[0] for row in rows[-4:]] == ["conv2", "relu1 norm1 pool1", "conv1", "update"]
    ran = [row[1] for row in rows]
    assert ran[:9] == [
        "conv2d", "relu_lrn_maxpool2d", "conv2d", "relu_maxpool2d", "lrn", "conv2d_relu", "conv2d", "linear_relu",
        "dropout",
    ]  # fmt: skip
    assert ran[-1] == "sgd_momentum_flat_" and "conv2d_backward_data" not in ran[-3:], "nobody needs conv1's dx"
    assert f"{backend}/buffered" in str(planned(network(), backend))


@on_each
def test_what_use_asks_for_is_not_fused(backend: str) -> None:
    """A rung of conv2d is that of every convolution; the rest is as before."""
    with anp.use(backend, conv2d=f"{backend}/tf32", maxpool2d_backward=backend):
        rows = anp.Plan(network(), (N, 3, 20, 20)).schedule.rows
    ran = {row[1]: row[3] for row in rows}
    assert {kernel for op, kernel in ran.items() if op.startswith("conv2d")} == {f"{backend}/tf32"}
    assert "conv2d_relu" not in ran and {"linear_relu", "relu_lrn_maxpool2d"} <= set(ran)
    with anp.use(backend, conv2d_relu=f"{backend}/tf32", lrn=f"{backend}/plain"):
        ran = {row[1]: row[3] for row in anp.Plan(network(), (N, 3, 20, 20)).schedule.rows}
    assert ran["conv2d_relu"] == f"{backend}/tf32" and ran["conv2d"] == f"{backend}/buffered"
    assert ran["lrn"] == f"{backend}/plain" and "relu_lrn_maxpool2d" not in ran
    with (
        anp.use(backend, sgd_momentum_="cpu_numpy"),
        pytest.raises(ValueError, match="asks for sgd_momentum_='cpu_numpy'"),
    ):
        _ = anp.Plan(network(), (N, 3, 20, 20)).schedule


@on_each
def test_memory_is_told_beforehand(backend: str, batch: Any) -> None:
    model = network()
    plans = [planned(model, backend, precision=precision) for precision in ("float32", "bfloat16")]
    weights = sum(array.nbytes for array in model.state_dict().values())
    for plan in plans:
        assert plan.memory > 3 * weights + plan.schedule.nbytes + batch[0].nbytes
    assert plans[1].schedule.nbytes < plans[0].schedule.nbytes, "activations are half as large"


@on_each
def test_bfloat16_stays_near_and_keeps_its_weights_in_float32(backend: str, batch: Any) -> None:
    x, labels = batch
    _, losses = eager(x, labels)
    model = network()
    plan = planned(model, backend, precision="bfloat16")
    found = [plan.step(x, labels, 0.05) for _ in losses]
    np.testing.assert_allclose(found, losses, rtol=2e-2)
    assert found != losses
    home = model.home
    assert home.weights.dtype == np.float32 and home.stored.dtype == bfloat16()
    stored, weights = (brought(array, "cpu") for array in (home.stored, home.weights))
    np.testing.assert_array_equal(stored.astype(np.float32), weights.astype(bfloat16()).astype(np.float32))
    probabilities = plan.predict(x)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


@on_each
def test_loaded_weights_are_those_that_are_read(backend: str, batch: Any) -> None:
    x, _ = batch
    model, other = network(), network()
    plan = planned(model, backend, precision="bfloat16")
    before = plan.predict(x)
    for layer in other.values():
        for array in layer.params.values():
            array += 0.1
    model.load_state_dict(other.state_dict())
    assert np.abs(plan.predict(x) - before).max() > 1e-3
    np.testing.assert_array_equal(plan.predict(x), planned(other, backend, precision="bfloat16").predict(x))


@on_each
def test_other_arrays_in_the_layers_are_noticed(backend: str, batch: Any) -> None:
    """An eager step, a weight changed by hand, and one replaced: the plan goes on with what the layers have."""
    x, labels = batch
    model = network()
    sgd = SGD(model)
    plan = planned(model, backend, precision="bfloat16", sgd=sgd)
    before = plan.predict(x), plan.step(x, labels, 0.05)
    gradients = {name: layer.params[key] for name, layer, key in model.parameters()}
    for name, layer, key in model.parameters():
        layer.grads[key] = gradients[name] * 0 + 1
    with anp.use(backend):
        sgd.step(0.1)
    after = plan.predict(x)
    assert np.abs(after - before[0]).max() > 1e-3
    np.testing.assert_array_equal(after, planned(model, backend, precision="bfloat16").predict(x))
    model["fc7"].params["bias"] = model["fc7"].params["bias"].copy()
    model["fc7"].params["bias"][0] += 5
    replaced = plan.predict(x)
    assert (replaced[:, 0] > 2 * after[:, 0]).all()
    plan.step(x, labels, 0.05)
    assert all(
        view is array for view, array in zip(model.home.views.values(), model.state_dict().values(), strict=True)
    )


@on_each
@pytest.mark.parametrize("freeze", [("conv1", "conv2"), ("fc5", "conv3")])
def test_frozen_layers_stay(backend: str, batch: Any, freeze: tuple[str, ...]) -> None:
    x, labels = batch
    options = {"freeze": freeze, "bias_lr": 2.0, "bias_decay": 0.0}
    expected, losses = eager(x, labels, **options)
    model, start = network(), network().state_dict()
    plan = planned(model, backend, sgd=SGD(model, **options))
    np.testing.assert_allclose([plan.step(x, labels, 0.05) for _ in losses], losses, rtol=1e-5)
    for name, weights in weights_of(model).items():
        np.testing.assert_allclose(weights, expected.state_dict()[name], rtol=1e-4, atol=1e-6, err_msg=name)
        assert np.array_equal(weights, start[name]) == (name.partition(".")[0] in freeze), name


@on_each
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_loss_that_is_not_finite_updates_nothing(backend: str, batch: Any, precision: str) -> None:
    x, labels = batch
    model = network()
    plan = planned(model, backend, precision=precision)
    plan.step(x, labels, 0.05)
    before = weights_of(model)
    wrong = x.copy()
    wrong[1, 2, 3, 4] = np.nan
    with pytest.raises(NotFinite, match="the images themselves are not finite"):
        plan.step(wrong, labels, 0.05)
    for name, weights in weights_of(model).items():
        np.testing.assert_array_equal(weights, before[name])
    assert np.isfinite(plan.step(x, labels, 0.05)), "and the next step goes on"


@on_each
def test_bad_batches_are_told(backend: str, batch: Any) -> None:
    x, labels = batch
    plan = planned(network(), backend)
    with pytest.raises(ValueError, match=f"labels has {CLASSES}, expected 0 … {CLASSES - 1}"):
        plan.step(x, labels * 0 + CLASSES)
    with pytest.raises(ValueError, match="x must be float32"):
        plan.step(x[:1], labels)
    with pytest.raises(ValueError, match="labels must be 3 integers"):
        plan.step(x, labels, ahead=(x, labels[:1]))


@on_each
def test_two_plans_share_weights_and_velocity(backend: str, batch: Any) -> None:
    x, labels = batch
    _, losses = eager(x, labels, 4)
    model = network()
    sgd = SGD(model)
    plans = [planned(model, backend, sgd=sgd) for _ in range(2)]
    np.testing.assert_allclose([plans[i % 2].step(x, labels, 0.05) for i in range(4)], losses, rtol=1e-5)
    flat, xp = model.home.velocity(sgd), module_of(BACKENDS[backend].device)
    assert all(xp.shares_memory(v, flat) for v in sgd.velocity.values())


@on_each
def test_a_training_run_and_its_resumption(backend: str, tmp_path: Path) -> None:
    """The command, on the emulated kernels, gives the losses of the CPU's; a checkpoint goes on as if nothing was."""
    split = anp.data.load("generated", (3, 32, 32))
    small = Split(first(split.train, 24), first(split.test, 12))
    losses = {}
    for name in ("cpu", backend):
        recipe = Recipe(backend=name, batch=8, epochs=2, seed=3, save_every=2)  # type: ignore[arg-type]
        run = anp.train.start(recipe, small)  # type: ignore[arg-type]
        told: list[float] = []
        assert anp.train.fit(run, small, tmp_path / name, lambda r, told=told: told.append(r.loss))  # type: ignore
        losses[name] = told
    np.testing.assert_allclose(losses[backend], losses["cpu"], rtol=2e-5)
    again = checkpoint.load(tmp_path / backend / "step-00000004.safetensors")
    again_losses: list[float] = []
    assert anp.train.fit(again, small, None, lambda r: again_losses.append(r.loss))  # type: ignore[arg-type]
    assert again_losses == losses[backend][-len(again_losses) :]


def first(data: Any, count: int) -> Any:
    """The first images of a set."""
    cut = SimpleNamespace(**{n: getattr(data, n) for n in ("classes", "shape", "read")}, labels=data.labels[:count])
    return cut


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(ValueError, match="precision 'bfloat16' is for gpu_cuda and emu_cuda"):
        anp.Plan(network(), (N, 3, 20, 20), precision="bfloat16")
    with pytest.raises(ValueError, match="precision 'bfloat16' is for the backends gpu_cuda and emu_cuda, got 'cpu'"):
        Recipe(precision="bfloat16")


@pytest.mark.skipif(BACKENDS["gpu_cuda"].missing() is None, reason="there is a GPU")
def test_without_a_gpu_a_plan_says_what_is_missing() -> None:
    with pytest.raises(
        NoKernel, match=r"a plan on gpu_cuda cannot run here: (cupy is not installed|CuPy finds no CUDA)"
    ):
        planned(network(), "gpu_cuda")


def test_the_next_batch_is_looked_at_for_a_gpu_only() -> None:
    taken: list[int] = []

    def stream() -> Iterator[Any]:
        for i in range(3):
            taken.append(i)
            yield i

    assert list(with_next(stream(), True)) == [(0, 1), (1, 2), (2, None)]
    taken.clear()
    assert next(iter(with_next(stream(), False))) == (0, None) and taken == [0]


# Streams and graphs, on a CuPy of a few lines that writes down what it is asked for.


class FakeArray(np.ndarray):
    def set(self, value: Any, stream: Any = None) -> None:
        self[...] = value


class FakeStream:
    def __init__(self, non_blocking: bool) -> None:
        self.asked: list[str] = []

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        graph = SimpleNamespace(launch=lambda stream: self.asked.append("launch"))
        return lambda *_: (self.asked.append(name), graph)[1]


def test_a_graph_is_captured_once_and_batches_wait_in_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    event = SimpleNamespace(synchronize=lambda: None, record=lambda stream: None)
    current = SimpleNamespace(record=lambda: event)
    cuda = SimpleNamespace(
        Event=lambda disable_timing: event,
        Stream=FakeStream,
        alloc_pinned_memory=bytearray,
        get_current_stream=lambda: current,
    )
    fake = SimpleNamespace(cuda=cuda, empty=lambda shape, dtype: np.empty(shape, dtype).view(FakeArray))
    monkeypatch.setattr(streams, "import_module", lambda name: fake)
    tape, x, labels = Tape("cpu"), Buffer("x", (2, 3), np.float32), Buffer("labels", (2,), np.int64)
    x.hold(np.zeros((2, 3), np.float32))
    labels.hold(np.zeros(2, np.int64))
    seen: list[float] = []
    monkeypatch.setattr(tape, "run", lambda: seen.append(float(x.array[0, 0])))
    runner = streams.Streams(tape, x, labels)
    copied: list[int] = []
    for slot in runner.slots:
        monkeypatch.setattr(slot, "fill", lambda b, s, fill=slot.fill: (copied.append(int(b[0][0, 0])), fill(b, s)))
    batches = [(np.full((2, 3), i, np.float32), np.full(2, i)) for i in range(4)]
    rate = np.zeros(1, np.float32).view(FakeArray)
    for i, (images, numbers) in enumerate(batches):
        following = batches[i + 1] if i + 1 < len(batches) else None
        runner.run(images, numbers, [(rate, np.full(1, i / 10, np.float32))], following)
        assert (x.array == i).all() and (labels.array == i).all() and rate[0] == np.float32(i / 10)
    assert copied == [0, 1, 2, 3], "each batch is copied once, most of them ahead"
    assert seen == [0, 1], "once to compile, once to be captured"
    assert [a for a in runner.kernels.asked if a in ("begin_capture", "end_capture", "launch")] == [
        "begin_capture", "end_capture", "launch", "launch", "launch",
    ]  # fmt: skip
