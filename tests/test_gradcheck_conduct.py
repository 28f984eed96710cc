"""What the gradient checker sees beside the values: memory never written, edges, nonlinearity; and GPU arrays."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops

RANDOM = np.random.default_rng(0)


class Dense:
    """A right layer as a user writes it."""

    def __init__(self) -> None:
        self.params = {"w": np.random.default_rng(1).standard_normal((3, 4))}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params["w"].T

    def backward(self, dy: Any) -> Any:
        self.grads["w"] = dy.T @ self.x
        return dy @ self.params["w"]


X = RANDOM.standard_normal((5, 4))


def report(layer: Any, x: Any = X) -> Any:
    return anp.gradcheck(layer, x)


def test_a_right_layer_has_no_faults() -> None:
    found = report(Dense())
    assert found.ok and not found.faults and abs(found.slope - 2) < 0.05
    assert found.remarks == []  # it takes strided, single and empty batches, and a second backward


class LastColumnForgotten(Dense):
    def backward(self, dy: Any) -> Any:
        right = dy @ self.params["w"]
        dx = np.empty(right.shape)  # fresh memory is often zero
        dx[:, :-1] = right[:, :-1]
        self.grads["w"] = dy.T @ self.x
        return dx


class OutputForgotten(Dense):
    def forward(self, x: Any) -> Any:
        right, y = super().forward(x), np.empty_like(x[:, :3])
        y[:, 1:] = right[:, 1:]
        return y


class IndexForgotten(Dense):
    """Sorts the columns by an index whose last element is never written."""

    def forward(self, x: Any) -> Any:
        order = np.empty(4, np.int64)
        order[:3] = [3, 2, 1]
        return super().forward(np.ascontiguousarray(x[:, order]))


class DropsAnew(Dense):
    def __init__(self) -> None:
        super().__init__()
        self.random = np.random.default_rng(2)

    def forward(self, x: Any) -> Any:
        return super().forward(x) * (self.random.random(3) > 0.5)


class ConsumesItsCache(Dense):
    def backward(self, dy: Any) -> Any:
        dx = super().backward(dy)
        self.x = 2 * self.x
        return dx


class Clips(Dense):
    def backward(self, dy: Any) -> Any:
        return super().backward(np.clip(dy, -5, 5))


class Squeezes(Dense):
    """Loses the axis of the images where there is one of them."""

    def backward(self, dy: Any) -> Any:
        return np.squeeze(super().backward(dy))


class MeanOfSquares(Dense):
    """Divides by the number of images, which is wrong for another number of them."""

    def backward(self, dy: Any) -> Any:
        return super().backward(dy) * (len(dy) / 5)


class ReadsRawMemory(Dense):
    """Takes the buffer as if it were contiguous."""

    def forward(self, x: Any) -> Any:
        flat = np.lib.stride_tricks.as_strided(x, x.shape, (x.shape[1] * 8, 8))
        return super().forward(np.nan_to_num(flat))


class EmptyMean(Dense):
    def backward(self, dy: Any) -> Any:
        dx = super().backward(dy)
        self.grads["w"] = self.grads["w"] / len(dy) * len(dy)
        return dx


@pytest.mark.parametrize(
    ("layer", "fault"),
    [
        (LastColumnForgotten, "dx is not written everywhere: element (0, 3)"),
        (OutputForgotten, "the output is not written everywhere: element (0,)"),
        (IndexForgotten, "memory is read that was never written: with other contents it raises IndexError"),
        (DropsAnew, "forward is not deterministic"),
        (ConsumesItsCache, "dw differs from one backward to a second after the same forward"),
        (Clips, "dx is not linear in the upstream gradient"),
        (Squeezes, "with a batch of one, dx has shape (4,), expected (1, 4)"),
        (MeanOfSquares, "with a batch of one, dx is wrong"),
        (ReadsRawMemory, "with non-contiguous input, the output is another"),
        (EmptyMean, "with an empty batch, dw is not finite"),
    ],
)
def test_a_fault_is_named(layer: Any, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "empty", np.zeros)  # as fresh memory often is, which hides what is not written
    monkeypatch.setattr(np, "empty_like", np.zeros_like)
    found = report(layer())
    assert not found.ok and fault in found.text(), found.text()


class Refuses(Dense):
    def forward(self, x: Any) -> Any:
        if not x.flags.c_contiguous or len(x) < 2:
            raise ValueError("two images at least, in one block")
        return super().forward(x)


def test_a_refusal_is_no_fault() -> None:
    found = report(Refuses())
    assert found.ok
    assert [remark.partition(":")[0] for remark in found.remarks] == [
        "non-contiguous input",
        "a batch of one",
        "an empty batch",
    ]
    assert all("refused (ValueError: two images at least" in remark for remark in found.remarks)


def test_what_is_no_batch_is_not_cut() -> None:
    """A constant as long as the input, kept by the function: a single image would be spread over it."""
    mask = RANDOM.standard_normal((5, 4))
    found = anp.gradcheck((lambda x: x * mask, lambda dy, x: dy * mask), X)
    assert found.ok and any("does not follow the first axis" in remark for remark in found.remarks)
    target = RANDOM.standard_normal((5, 4))
    assert anp.gradcheck((lambda x: ((x - target) ** 2).sum(), lambda dy, x: dy * 2 * (x - target)), X).ok
    assert anp.gradcheck(
        (lambda x, t: ((x - t) ** 2).sum(), lambda dy, x, t: (2 * dy * (x - t), -2 * dy * (x - t))), X, mask
    ).ok


def test_memory_is_as_before() -> None:
    plain = np.empty, np.empty_like
    assert not report(LastColumnForgotten()).ok
    assert (np.empty, np.empty_like) == plain


@pytest.mark.parametrize(
    ("target", "inputs", "keywords", "error", "message"),
    [
        ((np.tanh, lambda dy, x: dy), ([1.0, 2.0],), {}, TypeError, "input 0 must be a NumPy or CuPy array, got list"),
        (Dense(), (X,), {"alpha": 1}, TypeError, "only an operation of ours takes keywords"),
        (ops.relu, (X, X), {}, TypeError, "relu takes x: 1 arrays, got 2"),
        (Dense(), (X, X), {}, TypeError, "its forward takes 1 arrays, got 2"),
        (ops.relu, (np.arange(3),), {}, ValueError, "nothing to differentiate"),
        (ops.relu, (np.empty((0, 3)),), {}, ValueError, "x has no elements"),
        ((lambda x: 2 * x, lambda dy, x: (dy, dy)), (X,), {}, ValueError, "returns 2 gradients, there are 1 floating"),
        (ops.relu, (X,), {"step": -1.0}, ValueError, "step must be a positive number"),
        (ops.relu, (X,), {"elements": 0}, ValueError, "elements must be at least 1"),
    ],
)  # fmt: skip
def test_wrong_use_says_so(target: Any, inputs: Any, keywords: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        anp.gradcheck(target, *inputs, **keywords)


def test_an_output_that_is_not_finite_is_told() -> None:
    found = anp.gradcheck((np.log, lambda dy, x: dy / x), np.array([0.0, 1.0]), name="log")  # warns, as it should
    assert not found.ok and "the output is not finite" in found.text()


test_an_output_that_is_not_finite_is_told = pytest.mark.filterwarnings("ignore::RuntimeWarning")(
    test_an_output_that_is_not_finite_is_told
)


class OnDevice:
    """As much of a CuPy array as a layer below uses; arithmetic with a NumPy array fails, as CuPy's does."""

    def __init__(self, data: Any) -> None:
        self.data = np.array(data)
        self.shape, self.dtype, self.ndim, self.size = data.shape, data.dtype, data.ndim, data.size

    def _with(self, other: Any, how: Any) -> "OnDevice":
        if isinstance(other, np.ndarray) and other.ndim:
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        return OnDevice(how(self.data, other.data if isinstance(other, OnDevice) else other))

    def __mul__(self, other: Any) -> "OnDevice":
        return self._with(other, np.multiply)

    def __setitem__(self, at: Any, other: "OnDevice") -> None:
        self.data[at] = other.data

    def __getitem__(self, at: Any) -> "OnDevice":
        return OnDevice(self.data[at])

    def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a NumPy function was called with an array of the device")

    def copy(self) -> "OnDevice":
        return OnDevice(self.data)

    def get(self) -> Any:
        return self.data.copy()


OnDevice.__module__ = "cupy"


class Scale:
    """y = w x with everything on the device."""

    def __init__(self, factor: float) -> None:
        self.params, self.grads = {"w": OnDevice(np.array([2.0, 3.0, -1.0]))}, {}
        self.factor = factor

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.params["w"]

    def backward(self, dy: Any) -> Any:
        self.grads["w"] = OnDevice((dy * self.x).data.sum(axis=0))
        return dy * self.params["w"] * self.factor


def test_arrays_of_a_gpu_are_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker's arithmetic is NumPy's, the layer's stays on its device: inputs, parameters and dy."""
    cupy = ModuleType("cupy")
    cupy.asarray, cupy.empty, cupy.empty_like = OnDevice, np.empty, np.empty_like  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    x = OnDevice(RANDOM.standard_normal((4, 3)))
    layer = Scale(1.0)
    found = anp.gradcheck(layer, x)
    assert found.ok and [row.name for row in found.rows] == ["x", "w"], found.text()
    np.testing.assert_array_equal(layer.params["w"].data, [2.0, 3.0, -1.0])
    assert not anp.gradcheck(Scale(1.01), x).ok
