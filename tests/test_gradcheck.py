"""The gradient checker: no false alarm, at kinks least of all, and no mistake that it lets pass."""

import re
from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import layers, ops
from alexnet_np.dispatch import OPS
from alexnet_np.gradient_check.named import has_derivative
from alexnet_np.gradient_check.targets import target_of
from alexnet_np.ops.cases import cases

RANDOM = np.random.default_rng(0)
FORWARDS = [op for op in OPS.values() if op.backward and not op.fuses and op.__module__.startswith("alexnet_np.ops")]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("op", FORWARDS, ids=lambda op: op.name)
def test_our_operations_pass(op: Any, dtype: Any) -> None:
    """Every case but those whose values have no derivative to compare with: infinite ones, and saturated logits."""
    for case in filter(has_derivative, cases(op, dtype, seed=1)):
        report = anp.gradcheck(op, *case.arrays, elements=16, **case.keywords)
        assert report.ok, f"{case.name}: {report.text()}"


def with_ties(*shape: int) -> Any:
    return RANDOM.integers(-1, 2, shape).astype(np.float64)


def test_kinks_are_bracketed_not_feared() -> None:
    """ReLU at exact zeros and ties in overlapping windows: no false alarm, and every such element is counted."""
    for _ in range(5):
        x = with_ties(1, 2, 7, 7)
        report = anp.gradcheck(layers.ReLU(), x)
        assert report.ok and report.rows[0].bracketed == (x == 0).sum()
        report = anp.gradcheck(layers.MaxPool2d(3, 2), x)
        assert report.ok and report.rows[0].bracketed > 0
        assert report.rows[0].smooth + report.rows[0].bracketed == x.size


@pytest.mark.parametrize("distance", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5])
def test_a_kink_beside_x_is_not_one_at_x(distance: float) -> None:
    """The step shrinks until it does not reach the kink: the element is smooth, and its gradient right."""
    x = np.array([distance, -distance, 1.0, -1.0])
    report = anp.gradcheck(layers.ReLU(), x)
    assert report.ok and report.rows[0].smooth == 4, report.text()

    def backward(dy: Any, x: Any) -> Any:
        return dy * np.where(x > 0, 1.0, 0.01)

    assert not anp.gradcheck((lambda x: np.maximum(x, 0), backward), x).ok


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_steps_that_leave_the_domain(dtype: Any) -> None:
    """Large steps make a logarithm undefined and an exponential infinite; smaller ones decide, and nothing warns."""
    x = np.array([0.01, 0.2, 1.0, 80.0], dtype)
    assert anp.gradcheck((np.log, lambda dy, x: dy / x), x).ok
    assert anp.gradcheck((np.exp, lambda dy, x: dy * np.exp(x)), x).ok
    assert not anp.gradcheck((np.log, lambda dy, x: dy / x * dtype(1.02)), x).ok


def pool(x: Any) -> Any:
    return ops.maxpool2d(x, size=3, stride=2)[0]


def pay_winners(dy: Any, x: Any, share: Any) -> Any:
    """Each window's gradient to all of its winners, each with a share that depends on their number."""
    dx, y = np.zeros_like(x), pool(x)
    for p, q in np.ndindex(y.shape[2:]):
        at = (..., slice(2 * p, 2 * p + 3), slice(2 * q, 2 * q + 3))
        wins = x[at] == y[:, :, p, q, None, None]
        dx[at] += wins * share(wins.sum(axis=(2, 3), keepdims=True)) * dy[:, :, p, q, None, None]
    return dx


def test_shares_of_tied_winners() -> None:
    """A fair split is a valid subgradient; the whole to each winner is not, though each entry lies in its bracket."""
    x = with_ties(1, 2, 7, 7)
    assert anp.gradcheck((pool, lambda dy, x: pay_winners(dy, x, lambda n: 1 / n)), x).ok
    assert not anp.gradcheck((pool, lambda dy, x: pay_winners(dy, x, lambda n: 1.0)), x).ok


class Faint:
    """1000 + x + 1e-6 · max(x, 0) in float32: the bend is below rounding, but the layer shows its mask."""

    shows = True

    def forward(self, x: Any) -> Any:
        self.cache = {"positive": x > 0} if self.shows else {}
        self.x = x
        return np.float32(1000) + x + np.float32(1e-6) * np.maximum(x, 0)

    def backward(self, dy: Any) -> Any:
        return dy * (1 + np.float32(1e-6) * (self.x > 0))


def test_kinks_from_a_mask_that_the_layer_shows() -> None:
    """Where slopes cannot tell, the mask does; for an operation it is what it caches, as max-pooling its index."""
    x = np.array([0.0, 1.0, -2.0, 0.0, 3.0], np.float32)
    assert anp.gradcheck(Faint(), x).rows[0].bracketed == 2
    blind = Faint()
    blind.shows = False
    assert anp.gradcheck(blind, x).rows[0].bracketed == 0
    target = target_of(ops.maxpool2d, (with_ties(1, 1, 5, 5),), {"size": 3, "stride": 2})
    y = target.forward(target.arrays)
    shown = target.decisions()
    assert shown is not None
    np.testing.assert_array_equal(target.arrays["x"].reshape(-1)[shown], y.reshape(-1))
    smooth = target_of(ops.softmax, (RANDOM.standard_normal((2, 3)),), {})
    smooth.forward(smooth.arrays)
    assert smooth.decisions() is None


def lrn_without_neighbours(alpha: float) -> Any:
    def forward(x: Any) -> Any:
        return ops.lrn(x, alpha=alpha)[0]

    def backward(dy: Any, x: Any) -> Any:
        scale = ops.lrn(x, alpha=alpha)[1]
        return dy * scale**-0.75 - 2 * alpha * 0.75 * dy * x * x * scale**-1.75

    return forward, backward


@pytest.mark.parametrize("alpha", [1e-4, 2e-5])
def test_a_missing_cross_channel_term_is_seen(alpha: float) -> None:
    """At the paper's α, and the authors' effective one, it is a ten-thousandth of the gradient."""
    x = RANDOM.standard_normal((1, 8, 2, 2))
    assert anp.gradcheck(ops.lrn, x, alpha=alpha).ok
    assert not anp.gradcheck(lrn_without_neighbours(alpha), x).ok


X, W, B = RANDOM.standard_normal((2, 4, 6, 6)), RANDOM.standard_normal((6, 2, 3, 3)), RANDOM.standard_normal(6)
GEOMETRY: dict[str, Any] = {"stride": 2, "padding": ((1, 0), (0, 1)), "groups": 2}


def conv(x: Any, w: Any, b: Any) -> Any:
    return ops.conv2d(x, w, b, **GEOMETRY)


def right(dy: Any, x: Any, w: Any) -> Any:
    return ops.conv2d_backward(dy, x, w, **GEOMETRY)


def altered(dx: Any = lambda g: g, dw: Any = lambda g: g, db: Any = lambda g: g) -> Any:
    """The right backward of a convolution with its gradients changed."""

    def backward(dy: Any, x: Any, w: Any, b: Any) -> Any:
        gradients = right(dy, x, w)
        return dx(gradients[0]), dw(gradients[1]), db(gradients[2])

    return backward


def other_padding(dy: Any, x: Any, w: Any, b: Any) -> Any:
    return ops.conv2d_backward(dy, x, w, **{**GEOMETRY, "padding": ((0, 1), (1, 0))})


MISTAKES = {
    "dx by 1/N": altered(dx=lambda g: g / 2),
    "dx of 1 + 1e-6": altered(dx=lambda g: g * (1 + 1e-6)),
    "dw transposed": altered(dw=lambda g: np.ascontiguousarray(g.transpose(0, 1, 3, 2))),
    "dw turned": altered(dw=lambda g: g[:, :, ::-1, ::-1].copy()),
    "dw's last group missing": altered(dw=lambda g: np.concatenate([g[:3], 0 * g[3:]])),
    "db a mean": altered(db=lambda g: g / 9),
    "dx's groups swapped": altered(dx=lambda g: np.roll(g, 2, axis=1)),
    "dx shifted": altered(dx=lambda g: np.roll(g, 1, axis=3)),
    "padding on the other side": other_padding,
    "dx in float32": altered(dx=lambda g: g.astype(np.float32).astype(np.float64)),
    "db of another dtype": altered(db=lambda g: g.astype(np.float32)),
    "db of another shape": altered(db=lambda g: g[:, None]),
    "NaN in dw": altered(dw=lambda g: np.where(g == g.flat[7], np.nan, g)),
}


def test_the_right_backward_passes() -> None:
    assert anp.gradcheck((conv, altered()), X, W, B).ok


WORDS = {
    "dx by 1/N": "dx .* it is off by a factor of 1/N, with N = 2 images",
    "dw transposed": "dw .* its last two axes are transposed",
    "dw's last group missing": r"dw .* it is right except where axis 0 is 3 … 5 \(of 6\)",
    "NaN in dw": "dw .* 1 elements are not finite",
}


@pytest.mark.parametrize("mistake", WORDS)
def test_a_pattern_is_put_in_words(mistake: str) -> None:
    assert re.search(WORDS[mistake], anp.gradcheck((conv, MISTAKES[mistake]), X, W, B).text())


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_backward_fails(mistake: str) -> None:
    report = anp.gradcheck((conv, MISTAKES[mistake]), X, W, B)
    assert not report.ok and not report.json()["ok"]


class Plain:
    """A layer as a user writes it, with no base class."""

    def __init__(self) -> None:
        self.params = {"w": RANDOM.standard_normal((3, 4))}
        self.grads = {"w": np.zeros((3, 4))}

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.tanh(x @ self.params["w"].T)

    def backward(self, dy: Any) -> Any:
        inner = dy * (1 - np.tanh(self.x @ self.params["w"].T) ** 2)
        self.grads["w"][...] = inner.T @ self.x
        return inner @ self.params["w"]


class Accumulates(Plain):
    def backward(self, dy: Any) -> Any:
        before = self.grads["w"].copy()
        dx = super().backward(dy)
        self.grads["w"] += before
        return dx


class SpoilsUpstream(Plain):
    def backward(self, dy: Any) -> Any:
        dx = super().backward(dy)
        dy *= 2
        return dx


class SpoilsInput(Plain):
    def forward(self, x: Any) -> Any:
        y = super().forward(x.copy())
        x += 1
        return y


class StaleCache(Plain):
    """Keeps the first input it ever saw."""

    def forward(self, x: Any) -> Any:
        kept = getattr(self, "x", x)
        y = super().forward(x)
        self.x = kept
        return y


@pytest.mark.parametrize(
    ("layer", "fault"),
    [(Accumulates, "dw differs from one backward to the next"), (SpoilsUpstream, "changes the upstream gradient"),
     (SpoilsInput, "x is changed")],
)  # fmt: skip
def test_a_users_layer(layer: Any, fault: str) -> None:
    x = RANDOM.standard_normal((5, 4))
    made = Plain()
    weights = made.params["w"].copy()
    assert anp.gradcheck(made, x).ok
    np.testing.assert_array_equal(made.params["w"], weights)
    report = anp.gradcheck(layer(), x)
    assert not report.ok and fault in report.text()


def test_a_stale_cache_is_seen() -> None:
    made = StaleCache()
    made.forward(RANDOM.standard_normal((5, 4)))
    assert not anp.gradcheck(made, RANDOM.standard_normal((5, 4))).ok


def test_a_whole_network() -> None:
    model = anp.alexnet("mini", 3, dtype=np.float64, input_shape=(3, 14, 14))
    x = RANDOM.standard_normal((1, 3, 14, 14))
    report = anp.gradcheck(model, x, elements=4)
    assert report.ok and len(report.rows) == 13, report.text()
    model["norm2"].options["alpha"] = 0.05
    backward = model["norm2"].backward
    model["norm2"].backward = lambda dy: 1.01 * backward(dy)  # type: ignore[method-assign]
    assert not anp.gradcheck(model, x, elements=4).ok


def test_what_cannot_be_checked_says_so() -> None:
    with pytest.raises(TypeError, match="cannot check a int"):
        anp.gradcheck(3, X)
    with pytest.raises(TypeError, match="relu_backward has no backward"):
        anp.gradcheck(ops.relu_backward, X, X)
