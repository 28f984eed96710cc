"""Every number of a step is the sum of its terms, which are made from the formula's factors alone."""

from math import fsum
from typing import Any

import numpy as np
import pytest
from planned import variant

import alexnet_np as anp
from alexnet_np.layers import LRN, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU, Softmax
from alexnet_np.ops.conv2d import channel
from alexnet_np.ops.windows import pair, sides
from alexnet_np.recording import Recording
from alexnet_np.study import Provenance, provenance
from alexnet_np.study.formulas import FORMULAS

ELEMENTS = 1000  # of each kind of layer in each network
LIMIT = 1e-12  # of the largest value of the array
VARIANTS = ["paper", "caffenet", "torch", "keras", "mini"]


def step_of(model: anp.Sequential, x: Any, seed: int = 0) -> Recording:
    labels = np.random.default_rng(seed).integers(0, list(model.specs().values())[-1][0].shape[1], len(x))
    with model.record() as recording:
        recording.step(x, labels)
    return recording


def recorded(name: str, batch: int = 2) -> tuple[anp.Sequential, Recording]:
    """A step of a variant with all its channels on small images; weights so large that LRN's sums count."""
    model, random = variant(name), np.random.default_rng(3)
    for array in model.state_dict().values():
        array += 0.02 * random.standard_normal(array.shape)
    return model, step_of(model, 20 * random.standard_normal((batch, *(model.input_shape or ()))))


@pytest.fixture(scope="module", params=VARIANTS)
def step(request: pytest.FixtureRequest) -> tuple[anp.Sequential, Recording]:
    return recorded(request.param)


def places(array: Any, count: int, random: np.random.Generator) -> list[tuple[int, ...]]:
    """Random ones, the corners, and some where the number is 0: masked, dropped, or never a winner."""
    corners = np.array(np.meshgrid(*[sorted({0, n - 1}) for n in array.shape])).reshape(array.ndim, -1).T
    zeros = random.permutation(np.argwhere(array == 0))[:10]
    drawn = np.stack([random.integers(0, n, count) for n in array.shape], 1)
    return [tuple(map(int, at)) for part in (corners, zeros, drawn) for at in part]


@pytest.mark.parametrize("kind", [kind for kind in FORMULAS if kind is not Softmax], ids=lambda kind: kind.__name__)
def test_terms_sum_to_what_was_recorded(step: tuple[anp.Sequential, Recording], kind: type[Layer]) -> None:
    model, recording = step
    names = [name for name, layer in model.items() if type(layer) is kind]
    if not names:
        pytest.skip("there is no such layer in this network")
    of = [(name, what) for name in names for what in FORMULAS[kind]]
    random = np.random.default_rng(0)
    for name, what in of:
        array = recording[name, what]
        scale = np.abs(array).max()
        for at in places(array, -(-ELEMENTS // len(of)), random):
            found = provenance(model, name, what, at)
            assert found.value == array[at]
            assert abs(found.sum - array[at]) <= LIMIT * scale, (name, what, at, found.sum, array[at])
            assert found.sum == fsum(found.terms.products)


def test_softmax_and_the_loss() -> None:
    model, recording = recorded("mini", batch=5)
    logits = recording["fc8", "y"]
    for at in np.ndindex(logits.shape):
        found = provenance(model, "loss", "dx", at)
        assert abs(found.sum - recording["fc8", "dy"][at]) <= 1e-15 and len(found.terms) == 2
    found = provenance(model, "loss", "y", ())
    assert len(found.terms) == 5 and abs(found.sum - recording.loss) <= 1e-14 * recording.loss
    x = np.random.default_rng(1).standard_normal((3, 6))
    alone = anp.Sequential({"a": Linear(6, 5, dtype=np.float64), "p": Softmax()})
    with alone.record() as recording:
        y = alone.forward(x, train=True)
        dx = alone["p"].backward(np.random.default_rng(2).standard_normal(y.shape))
    for at in np.ndindex(y.shape):
        up, down = (provenance(alone, "p", what, at) for what in ("y", "dx"))
        assert abs(up.sum - y[at]) <= 1e-15 and abs(down.sum - dx[at]) <= 1e-15
        assert len(up.terms) == 1 and len(down.terms) == 6


def counted(model: anp.Sequential, recording: Recording, name: str, what: str, at: tuple[int, ...]) -> int:
    """How many terms the formula has, by plain loops over everything that might take part."""
    layer, x, y = model[name], recording[name, "x"], recording[name, "y"]
    if isinstance(layer, Linear):
        return {"y": x.shape[1] + 1, "dx": y.shape[1], "dweight": len(x), "dbias": len(x)}[what]
    if isinstance(layer, LRN):
        width, reach = x.shape[1] // layer.options["groups"], layer.options["size"] // 2
        window = sum(abs(j - at[1]) <= reach and j // width == at[1] // width for j in range(x.shape[1]))
        return {"y": 1, "dx": 1 + window}[what]
    if not isinstance(layer, Conv2d | MaxPool2d):
        return 1
    shape = layer.params["weight"].shape if isinstance(layer, Conv2d) else ()
    size = shape[2:] or pair("size", layer.options["size"])
    before = [axis[0] for axis in sides("padding", layer.options["padding"])]
    meetings = []  # along each axis: of places in the image with taps of windows
    for axis, step in enumerate(pair("stride", layer.options["stride"])):
        meetings.append(
            [
                (p, p * step - before[axis] + r)
                for p in range(y.shape[2 + axis])
                for r in range(size[axis])
                if 0 <= p * step - before[axis] + r < x.shape[2 + axis]
            ]
        )
    side = 0 if what == "y" else 1
    along = [sum(each[side] == i for each in pairs) for pairs, i in zip(meetings, at[2:], strict=False)]
    if isinstance(layer, MaxPool2d):
        return along[0] * along[1]
    K, width, groups = *shape[:2], layer.options["groups"]
    if what == "y":
        return width * size[0] * size[1] + 1
    if what == "dx":
        firsts = [channel(k, 0, shape, groups) for k in range(K)]
        return sum(first <= at[1] < first + width for first in firsts) * along[0] * along[1]
    return len(x) * y.shape[2] * y.shape[3]


def test_there_are_as_many_terms_as_the_formula_has(step: tuple[anp.Sequential, Recording]) -> None:
    model, recording = step
    random = np.random.default_rng(4)
    for name, layer in model.items():
        for what in FORMULAS[type(layer)]:
            if (name, what) in recording and not isinstance(layer, Softmax):
                for at in places(recording[name, what], 5, random)[:40]:
                    found = provenance(model, name, what, at)
                    assert len(found.terms) == len(list(found.terms)) == counted(model, recording, name, what, at)


def test_terms_do_not_know_the_result() -> None:
    """Zeroing what was recorded changes no term."""
    model, recording = recorded("mini")
    asked = [("conv2", "dx", (0, 5, 2, 1)), ("conv2", "dweight", (1, 2, 0, 1)), ("norm1", "dx", (1, 3, 2, 2)),
             ("pool1", "dx", (0, 1, 2, 2)), ("fc7", "dx", (1, 7)), ("relu2", "y", (0, 1, 1, 1))]  # fmt: skip
    for layer, what, at in asked:
        before, array = provenance(model, layer, what, at), recording[layer, what]
        kept = array.copy()
        array[...] = 0
        after = provenance(model, layer, what, at)
        assert after.value == 0 and list(after.terms) == list(before.terms)
        array[...] = kept  # it is what the layer beside works with


def pooled(x: Any, **options: Any) -> tuple[anp.Sequential, Recording]:
    model = anp.Sequential({"pool": MaxPool2d(**options)})
    with model.record() as recording:
        y = model.forward(x, train=True)
        model.backward(np.random.default_rng(5).standard_normal(y.shape))
    return model, recording


@pytest.mark.parametrize("padding", [0, 1])
def test_ties_and_padding_and_infinities(padding: int) -> None:
    """The first of equal elements wins, −∞ that does not win counts for nothing, and a NaN wins."""
    random = np.random.default_rng(6)
    x = random.integers(0, 2, (2, 3, 9, 8)).astype(np.float64)
    x[0, 0, ::2, ::3], x[1, 2, 4, 4] = -np.inf, np.nan
    model, recording = pooled(x, size=3, stride=2, padding=padding)
    for what in ("y", "dx"):
        array = recording["pool", what]
        for at in np.ndindex(array.shape):
            np.testing.assert_allclose(provenance(model, "pool", what, at).sum, array[at], rtol=1e-15)


def test_a_dead_relu_and_a_nan() -> None:
    model = anp.Sequential({"relu": ReLU(), "drop": Dropout(0.5)})
    x = np.array([[-1.0, 0.0, 2.0, np.nan, np.inf, -np.inf]])
    with model.record() as recording:
        model.forward(x, train=True)
        model.backward(np.full_like(x, 3.0))
    for name in model:
        for what in ("y", "dx"):
            found = [provenance(model, name, what, at).sum for at in np.ndindex(x.shape)]
            np.testing.assert_array_equal(found, recording[name, what][0])


def test_a_gradient_is_traced_to_the_loss_and_an_activation_to_the_images() -> None:
    model, _ = recorded("mini")
    found = provenance(model, "conv2", "dx", (0, 5, 2, 1)).trace_back()
    layers = list(model)
    met: list[Provenance] = []

    def walk(trace: Any) -> None:
        met.append(trace.provenance)
        for term, factor, below in trace.branches:
            assert term in list(trace.provenance.terms)
            if below is not None:
                assert below.provenance.value == factor.value and below.provenance.index == factor.index
                assert (below.provenance.layer, below.provenance.what) == factor.source
                walk(below)

    walk(found)
    assert {p.layer for p in met} == {*layers[layers.index("conv2") : layers.index("prob")], "loss"}
    assert len({(p.layer, p.index) for p in met}) == len(met), "each number once"
    assert "loss.dx[0," in str(found) and str(found).startswith("conv2.dx[0,5,2,1] = ")
    met.clear()
    walk(provenance(model, "fc6", "y", (1, 3)).trace_back())
    assert {p.layer for p in met} == set(layers[: layers.index("fc6") + 1]) and all(p.what == "y" for p in met)
    met.clear()
    walk(provenance(model, "fc6", "y", (1, 3)).trace_back(1, depth=2))
    assert [p.layer for p in met] == ["fc6", "flatten", "relu3"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("conv9", "dx", (0,)), "no layer 'conv9'; it has conv1, "),
        (("relu1", "dweight", (0,)), "relu1 makes y, dx, not 'dweight'"),
        (("conv2", "dx", (0, 5, 3)), r"dx of conv2 has shape .*, it has no element \[0, 5, 3\]"),
        (("conv2", "dx", (0, -1, 3, 3)), "it has no element"),
        (("conv2", "dx", (0, 0.5, 3, 3)), "it has no element"),
        (("loss", "dw", ()), "the loss makes y and dx"),
    ],
)
def test_what_is_no_element(asked: Any, message: str) -> None:
    model, _ = recorded("mini")
    with pytest.raises(ValueError, match=message):
        provenance(model, *asked)


def test_without_a_recording() -> None:
    with pytest.raises(ValueError, match="nothing is recorded; do a step inside"):
        provenance(anp.alexnet("mini", 3), "conv1", "y", (0, 0, 0, 0))
    model = anp.Sequential({"flat": Flatten(), "fc": Linear(12, 3)})
    with model.record() as recording:
        model.forward(np.ones((1, 3, 2, 2), np.float32))
    assert provenance(model, "fc", "y", (0, 1)).value == recording["fc", "y"][0, 1]
    with pytest.raises(KeyError, match="dx of fc was not recorded; of fc there is bias, weight, x, y"):
        provenance(model, "fc", "dx", (0, 1))
    with pytest.raises(ValueError, match="the loss is known of a recording's"):
        provenance(model, "loss", "y", ())
