"""Properties of the operations that no single kernel shows: adjoints, ties, stability, gradients of every layer."""

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import layers, ops
from alexnet_np.ops.cases import cases

RANDOM = np.random.default_rng(0)
GEOMETRIES = [
    ((2, 3, 9, 7), (3, 2), (2, 1), ((1, 2), (0, 1))),
    ((1, 2, 11, 11), 11, 4, ((0, 3), (0, 3))),
    ((2, 1, 5, 5), 2, 3, 0),
]


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), GEOMETRIES)
def test_im2col_and_col2im_are_adjoint(shape, size, stride, padding) -> None:
    """⟨im2col(x), c⟩ = ⟨x, col2im(c)⟩, which is what the backward of a convolution rests on."""
    x = RANDOM.standard_normal(shape)
    columns = anp.im2col(x, size, stride, padding)
    c = RANDOM.standard_normal(columns.shape)
    np.testing.assert_allclose((columns * c).sum(), (x * anp.col2im(c, shape, size, stride, padding)).sum(), rtol=1e-12)


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), GEOMETRIES)
def test_im2col_makes_a_convolution_a_product(shape, size, stride, padding) -> None:
    x, (R, S) = RANDOM.standard_normal(shape), ops.windows.pair("size", size)
    w, b = RANDOM.standard_normal((4, shape[1], R, S)), RANDOM.standard_normal(4)
    y = ops.conv2d(x, w, b, stride=stride, padding=padding)
    product = w.reshape(4, -1) @ anp.im2col(x, size, stride, padding) + b[:, None]
    np.testing.assert_allclose(y.reshape(product.shape), product, rtol=1e-12)


def test_columns_hold_windows() -> None:
    """A small case by hand: 1 … 9 in a 3×3 plane, windows of 2×2."""
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    np.testing.assert_array_equal(anp.im2col(x, 2)[0], [[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]])
    np.testing.assert_array_equal(anp.col2im(np.ones((1, 4, 4)), x.shape, 2)[0, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])


def test_pooling_by_hand() -> None:
    """The first of equal elements wins, and takes the whole gradient of each window that it wins."""
    x = np.array([[[[1, 3, 3], [3, 2, 0], [0, 0, 3]]]], np.float64)
    y, index = ops.maxpool2d(x, size=2, stride=1)
    np.testing.assert_array_equal(y[0, 0], [[3, 3], [3, 3]])
    np.testing.assert_array_equal(index[0, 0], [[1, 1], [3, 8]])
    dy = np.array([[[[10.0, 20], [30, 40]]]])
    dx = ops.maxpool2d_backward(dy, index, x_shape=x.shape, size=2, stride=1)
    np.testing.assert_array_equal(dx[0, 0], [[0, 30, 0], [30, 0, 0], [0, 0, 40]])


def test_softmax_is_stable() -> None:
    """Logits of ±1e4: finite, and right where the answer is plain."""
    logits = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]], np.float32)
    np.testing.assert_allclose(ops.softmax(logits), [[1, 0, 0], [1 / 3] * 3, [0.5, 0.5, 0]], rtol=1e-6)
    loss, probs = ops.softmax_cross_entropy(logits, np.array([1, 0, 2]))
    np.testing.assert_allclose(loss, (2e4 + np.log(3) + 2e4 + np.log(2)) / 3, rtol=1e-6)
    gradient = ops.softmax_cross_entropy_backward(probs, np.array([1, 0, 2]))
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-7)


def test_update_by_hand() -> None:
    """v ← μ·v − λ·ε·w − ε·g and w ← w + v, twice, with the rate lowered in between: decay is scaled by each ε."""
    w, v, g = np.array([2.0]), np.array([0.5]), np.array([3.0])
    ops.sgd_momentum_(w, v, g, lr=0.1, momentum=0.9, weight_decay=0.01)
    first = 0.45 - 0.01 * 0.1 * 2 - 0.3
    np.testing.assert_allclose([v[0], w[0]], [first, 2 + first], rtol=1e-15)
    ops.sgd_momentum_(w, v, g, lr=np.array(0.01), momentum=0.9, weight_decay=0.01)
    second = 0.9 * first - 0.01 * 0.01 * (2 + first) - 0.03
    np.testing.assert_allclose([v[0], w[0]], [second, 2 + first + second], rtol=1e-15)


def test_gradients_of_every_layer() -> None:
    """Central differences for every element of every kind of layer, with the odd arguments too."""
    f64 = {"dtype": np.float64}
    x = np.random.default_rng(3).standard_normal((2, 4, 7, 6))
    chain = [
        layers.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, **f64),
        layers.MaxPool2d(3, stride=2, padding=1),
        layers.LRN(size=3, k=1.0, alpha=0.9, beta=0.6, groups=2),
        layers.LRN(size=5, alpha=2.0, alpha_over_size=True),
        layers.ReLU(),
        layers.Dropout(0.4),
        layers.Dropout(0.4, scale_at_train=False),
    ]
    for layer in chain:
        assert anp.gradcheck(layer, x, seed=1).ok, layer
    for layer in (layers.Linear(5, 3, **f64), layers.Softmax()):
        assert anp.gradcheck(layer, x.reshape(-1)[:20].reshape(4, 5).copy(), seed=1).ok, layer
    assert anp.gradcheck(layers.Flatten(), x[:1].copy()).ok


def test_gradcheck_sees_a_mistake() -> None:
    class Wrong(layers.ReLU):
        def backward(self, dy):
            return 1.001 * super().backward(dy)

    report = anp.gradcheck(Wrong(), np.random.default_rng(0).standard_normal((3, 4)))
    assert not report.ok and "WRONG at" in report.text()


def test_gradient_of_the_loss() -> None:
    logits, labels = RANDOM.standard_normal((4, 6)), np.array([0, 5, 2, 2])
    _, probs = ops.softmax_cross_entropy(logits, labels)
    analytic, numeric, h = ops.softmax_cross_entropy_backward(probs, labels), np.empty((4, 6)), 1e-6
    for i in np.ndindex(logits.shape):
        moved = [logits.copy(), logits.copy()]
        moved[0][i] += h
        moved[1][i] -= h
        up, down = (ops.softmax_cross_entropy(m, labels)[0] for m in moved)
        numeric[i] = (up - down) / (2 * h)
    np.testing.assert_allclose(analytic, numeric, atol=1e-9)


def test_complex_step_through_definitions() -> None:
    """The analytic operations' definitions take complex numbers: a derivative without a difference."""
    h = 1e-30
    for op in (ops.conv2d, ops.lrn, ops.linear, ops.softmax):
        for case in cases(op)[:3]:
            x, *rest = case.arrays
            dx = np.random.default_rng(1).standard_normal(x.shape)
            result = op.definition(x + 1j * h * dx, *rest, **case.keywords)
            y = result[0] if isinstance(result, tuple) else result
            central = []
            for sign in (1, -1):
                moved = op.definition(x + sign * 1e-6 * dx, *rest, **case.keywords)
                central.append(moved[0] if isinstance(moved, tuple) else moved)
            np.testing.assert_allclose(y.imag / h, (central[0] - central[1]) / 2e-6, atol=1e-7, err_msg=op.name)


def test_every_backward_is_wired_by_name() -> None:
    """Its arguments are its forward's inputs, outputs and keywords, or an upstream gradient."""
    for op in anp.load_kernels().values():
        if op.forward is None:
            continue
        known = {*op.forward.inputs, *op.forward.returns}
        upstream = [name for name in op.inputs if name not in known]
        assert upstream in ([], [f"d{op.forward.returns[0]}"]), op.name
        assert set(op.keywords) <= {*op.forward.keywords, *(f"{name}_shape" for name in known)}, op.name
        assert all(name[0] == "d" and name[1:] in op.forward.inputs for name in op.returns), op.name
