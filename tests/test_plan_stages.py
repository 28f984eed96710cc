"""Fused stages, alone and in every order: which layers they take, and that their gradients are right."""

from typing import Any

import numpy as np
import pytest
from planned import LIMIT, Twins, network, off

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.kernels.stages.to_first import ToFirst
from alexnet_np.layers import LRN, Conv2d, Dropout, Flatten, Layer, MaxPool2d, ReLU
from alexnet_np.plan.arena import Buffer
from alexnet_np.train.recipe import Recipe

STEEP: dict[str, Any] = {"k": 1.5, "alpha": 0.3}  # so that LRN's sums over channels count


def first(stride: int = 2, out: int = 16) -> list[Layer]:
    """From channels first, by blocks of pixels where the stride is above 1; padded on other sides than others are."""
    return [Conv2d(3, out, 5, stride, ((1, 2), (0, 3)), dtype=np.float64, seed=1), ReLU()]


def conv(into: int = 16, out: int = 32, size: int = 3, **options: Any) -> Conv2d:
    return Conv2d(into, out, size, dtype=np.float64, seed=2, **options)


# What follows on conv1 and relu1, and the stages that this becomes: layers by their numbers.
NETS: dict[str, tuple[list[Layer], str]] = {
    "conv relu lrn pool": ([conv(padding=1), ReLU(), LRN(**STEEP), MaxPool2d(3, 2)], "1-2 3-6 7"),
    "conv relu pool lrn": ([conv(padding=1), ReLU(), MaxPool2d(3, 2), LRN(3, **STEEP)], "1-2 3-6 7"),
    "conv relu pool": ([conv(), ReLU(), MaxPool2d(2, 2)], "1-2 3-5 6"),
    "conv relu": ([conv(size=5, padding=2), ReLU()], "1-2 3-4 5"),
    "conv": ([conv(padding=((0, 1), (2, 0)))], "1-2 3 4"),
    "conv lrn": ([conv(), LRN(**STEEP)], "1-2 3-4 5"),
    "conv pool": ([conv(), MaxPool2d((2, 3), (1, 2))], "1-2 3-4 5"),
    "conv pool with gaps": ([conv(), ReLU(), MaxPool2d(2, 3)], "1-2 3-5 6"),
    "conv lrn lrn pool pool": ([conv(), LRN(**STEEP), LRN(7, **STEEP), MaxPool2d(2, 1), MaxPool2d(2, 2)], "1-2 3-7 8"),
    "grouped": ([conv(groups=2), ReLU(), LRN(groups=2, **STEEP), MaxPool2d(3, 2)], "1-2 3-6 7"),
    "grouped, blocks": ([conv(16, 32, 4, stride=2, groups=2), ReLU()], "1-2 - 3-4 5"),
    "blocks with a gradient": ([conv(size=3, stride=2, padding=1), ReLU(), MaxPool2d(2, 1)], "1-2 - 3-5 6"),
    "blocks beside the last pixels": ([conv(size=2, stride=3), ReLU()], "1-2 - 3-4 5"),
    "a filter of 1": ([conv(size=1), ReLU()], "1-2 3-4 5"),
    "a filter of 4": ([conv(size=4, padding=1), ReLU(), MaxPool2d(3, 2)], "1-2 3-5 6"),
    "two, back to back": ([conv(), conv(32, 16), ReLU()], "1-2 3 4-5 6"),
    "a filter that no tile has": ([conv(size=7, padding=1), ReLU()], "1-2 - 3 4 5"),
    "channels that fill no vector": ([conv(out=6), ReLU(), MaxPool2d(3, 2)], "1-2 - 3 4 5 6"),
    "relu after lrn": ([conv(), LRN(**STEEP), ReLU()], "1-2 3-4 - 5 6"),
    "another power": ([conv(), LRN(beta=0.6, **STEEP)], "1-2 3 - 4 5"),
    "padded pooling": ([conv(), ReLU(), MaxPool2d(3, 2, 1)], "1-2 3-4 - 5 6"),
    "dropout in between": ([conv(), Dropout(0.4), conv(32, 16, padding=1), ReLU()], "1-2 3 - 4 5-6 7"),
}  # fmt: skip
every_net = pytest.mark.parametrize("name", NETS)


def make(name: str, dtype: Any = np.float64) -> anp.Sequential:
    layers: list[Layer] = []
    for layer in [*first(), *NETS[name][0]]:
        if isinstance(layer, Conv2d):
            out, into, size, _ = layer.shapes["weight"]
            into *= layer.options["groups"]
            layers.append(Conv2d(into, out, size, dtype=dtype, seed=layer.seed, **layer.options))
        else:
            layers.append(type(layer)(**layer.options))
    return network((3, 19, 17), *layers, dtype=dtype)


@every_net
def test_steps_are_those_of_the_layers(name: str) -> None:
    Twins(lambda: make(name), batch=5, recipe=Recipe(lr=0.05, weight_decay=0.01)).steps(2)


@every_net
def test_stages(name: str) -> None:
    """Which layers became one; "-" goes back to channels first. The fully-connected layer is left out."""
    stages = anp.Plan(make(name), (2, 3, 19, 17)).schedule.stages[:-1]
    numbers = [[int("".join(filter(str.isdigit, layer.removeprefix("maxpool2d").removeprefix("conv2d"))))
                for layer in stage.layers] for stage in stages]  # fmt: skip
    found = [f"{n[0]}-{n[-1]}" if len(n) > 1 else f"{n[0]}" if n else "-" for n in numbers]
    assert " ".join(found) == NETS[name][1]


@every_net
def test_gradients_by_differences(name: str) -> None:
    """Along a random direction of every parameter; the loss by NumPy's kernels alone."""
    twins = Twins(lambda: make(name), batch=3, recipe=Recipe(lr=1.0, momentum=0.0, weight_decay=0.0))
    x, labels = twins.batch()
    direction = {of: twins.random.standard_normal(a.shape) for of, a in twins.eager.state_dict().items()}

    def loss(h: float) -> float:
        for of, array in twins.model.state_dict().items():
            twins.eager.state_dict()[of][...] = array + h * direction[of]
        with anp.use("cpu_numpy"):
            return float(ops.softmax_cross_entropy(twins.eager.forward(x, train=True, logits=True), labels)[0])

    h = 1e-8  # so small that hardly a sign or a winner changes on the way
    slope = (loss(h) - loss(-h)) / (2 * h)
    size = np.sqrt(sum((a**2).sum() for a in direction.values()))
    twins.plan.step(x, labels)
    gradient = {of: -v for of, v in twins.plan.sgd.velocity.items()}
    norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
    found = sum((gradient[of] * direction[of]).sum() for of in direction)
    assert abs(found - slope) <= 1e-6 * norm * size


@pytest.mark.parametrize("name", ["conv", "conv lrn", "two, back to back", "grouped, blocks"])
def test_single_precision(name: str) -> None:
    """Without kinks, whose side rounding may change: no ReLU, no pooling."""

    def smooth() -> anp.Sequential:
        layers = [layer for layer in make(name, np.float32).values() if not isinstance(layer, ReLU | MaxPool2d)]
        return network((3, 19, 17), *layers[: [type(layer) for layer in layers].index(Flatten)], dtype=np.float32)

    Twins(smooth, batch=5).steps(2)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [16, 17, 18, 19])
def test_blocks_of_pixels_at_every_offset(side: int, stride: int) -> None:
    def make() -> anp.Sequential:
        return network((3, side, side + 2), *first(stride, out=8), MaxPool2d(2, 1))

    Twins(make, batch=2).steps(1)


@pytest.mark.parametrize(
    "asked", [{"conv2d": "cpu_numpy"}, {"conv2d_backward_data": "cpu_numpy"}, {"conv2d_backward_weights": "cpu_numpy"},
              {"relu": "cpu_numpy"}, {"lrn": "cpu_numpy"}, {"maxpool2d_backward": "cpu_numpy"}],
    ids=lambda asked: next(iter(asked)),
)  # fmt: skip
def test_what_use_asks_for_is_not_fused(asked: dict[str, str]) -> None:
    """The layers' own kernels run, or at least the layer stands alone; the steps are the same."""
    with anp.use(**asked):
        twins = Twins(lambda: make("conv relu lrn pool"), batch=3)
    with anp.use(**asked):
        twins.steps(1)
        op = next(iter(asked)).partition("_")[0]
        stages = twins.plan.schedule.stages
        assert all(len(stage.layers) == 1 for stage in stages if any(name.startswith(op) for name in stage.layers))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("flatten", [False, True])
def test_back_to_channels_first(flatten: bool, threads: int) -> None:
    random, before = np.random.default_rng(3), anp.threads()
    x, dy = random.standard_normal((3, 5, 7, 18)), random.standard_normal((3, 18, 5, 7))
    stage = ToFirst({"flatten": Flatten()} if flatten else {}, Buffer("x", x.shape, x.dtype, "last"), None)
    stage.dx, stage.dy = Buffer("dx", x.shape, x.dtype, "last"), Buffer("dy", stage.y.shape, x.dtype)
    assert stage.y.layout == ("" if flatten else "first")
    for buffer, array in ((stage.x, x), (stage.y, dy.copy()), (stage.dx, np.full_like(x, np.nan)), (stage.dy, dy)):
        buffer.hold(array.reshape(buffer.shape))
    anp.set_threads(threads)
    try:
        stage.forward(True)
        stage.backward(0.0)
    finally:
        anp.set_threads(before)
    np.testing.assert_array_equal(stage.y.array.reshape(dy.shape), x.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(stage.dx.array, dy.transpose(0, 2, 3, 1))


def test_a_network_that_ends_with_channels_last() -> None:
    """Its output has channels first all the same."""
    model = anp.Sequential(dict(zip("ab", first(), strict=True)))
    x = np.random.default_rng(4).standard_normal((2, 3, 19, 17))
    assert off(anp.Plan(model, x.shape).predict(x), model.forward(x)) <= LIMIT[np.float64]
