"""Winograd's convolution in the vectors that AlexNet's layers use, and the microkernel of its matrix products."""

from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.kernels.conv2d.tiles import TILES, best, matrices
from alexnet_np.kernels.panel import WIDTH, matmul
from alexnet_np.kernels.static import Static
from alexnet_np.kernels.vector import lanes

# (C, side, K, filter, padding, groups): each brings another tile, with channels that fill vectors.
LAYERS = {
    "paper's conv2, F(4, 5)": (96, 27, 256, 5, 2, 2),
    "torchvision's conv4, F(5, 3)": (384, 13, 256, 3, 1, 1),
    "keras' conv3, F(6, 3)": (64, 14, 96, 3, 0, 1),
    "F(4, 3)": (32, 8, 32, 3, 1, 1),
    "F(2, 3)": (32, 2, 48, 3, 1, 1),
    "F(2, 5)": (16, 6, 32, 5, 0, 1),
}
LIMIT = 2e-5  # of a layer's largest value, for what runs unasked


@pytest.mark.parametrize(("m", "r"), TILES)
def test_matrices_give_the_correlation(m: int, r: int) -> None:
    random = np.random.default_rng(m)
    d, w, form = random.standard_normal(m + r - 1), random.standard_normal(r), matrices(m, r)
    y = form.output @ ((form.weights @ w) * (form.input @ d))
    np.testing.assert_allclose(y, [d[i : i + r] @ w for i in range(m)], atol=1e-13)


def test_one_image_takes_a_tile_whose_filters_are_read_sooner() -> None:
    assert best(3, (13, 13)) == best(3, (13, 13), 128) == (5, 3)
    assert best(3, (13, 13), 1) == (2, 3)


def test_layers_bring_every_tile() -> None:
    brought = set()
    for _, side, _, r, padding, _ in LAYERS.values():
        side += 2 * padding - r + 1
        brought.add(best(r, (side, side)))
    assert brought == set(TILES)


@pytest.mark.parametrize("name", LAYERS)
def test_error_against_float64(name: str) -> None:
    """Forward and both backward passes of a layer of real size, against float64 by another algorithm."""
    C, side, K, r, padding, groups = LAYERS[name]
    random = np.random.default_rng(0)
    x = random.standard_normal((3, C, side, side))
    w = random.standard_normal((K, C // groups, r, r)) / np.sqrt(C // groups * r * r)
    b = random.standard_normal(K)
    options: dict[str, Any] = {"padding": padding, "groups": groups}
    dy = random.standard_normal(ops.conv2d(x, w, b, **options).shape)

    def passes(*arrays: Any) -> list[Any]:
        x, w, b, dy = arrays
        return [
            ops.conv2d(x, w, b, **options),
            ops.conv2d_backward_data(dy, w, x_shape=x.shape, **options),
            *ops.conv2d_backward_weights(dy, x, w_shape=w.shape, **options),
        ]

    with anp.use(conv2d="cpu_numpy"):
        truth = passes(x, w, b, dy)
    with anp.use(conv2d="cpu_numba/winograd"):
        found = passes(*(a.astype(np.float32) for a in (x, w, b, dy)))
    for what, got, expected in zip(("y", "dx", "dw", "db"), found, truth, strict=True):
        error = np.abs(got - expected).max() / np.abs(expected).max()
        assert error <= LIMIT, f"{what} of {name}: {error:.2g}"


def test_choice_is_seen() -> None:
    random = np.random.default_rng(0)
    wide, narrow = random.standard_normal((16, 32, 13, 13)), random.standard_normal((16, 3, 13, 13))

    def ran(x: Any, asked: str, side: int = 3, stride: int = 1) -> str:
        w = random.standard_normal((32, x.shape[1], side, side)).astype(x.dtype)
        with anp.use(asked), anp.trace() as calls:
            ops.conv2d(x, w, np.zeros(32, x.dtype), stride=stride, padding=1)
        assert calls[0].asked == asked
        return calls[0].kernel

    assert ran(wide.astype(np.float32), "cpu_numba") == "cpu_numba/winograd"
    assert ran(wide.astype(np.float32)[:1], "cpu_numba") == "cpu_numba/columns"
    assert ran(narrow.astype(np.float32), "cpu_numba") == "cpu_numba/columns"
    assert ran(wide, "cpu_numba") == "cpu_numba/columns"
    assert ran(wide.astype(np.float32), "cpu_numpy") == "cpu_numpy"
    image = random.standard_normal((1, 3, 227, 227))
    assert ran(image.astype(np.float32), "cpu_numba", 11, 4) == "cpu_numba/blocks"  # conv1
    assert ran(image, "cpu_numba", 11, 4) == "cpu_numba/columns"
    assert ran(image.astype(np.float32), "cpu_numba", 11, 2) == "cpu_numba/columns"  # 6 blocks


def test_a_choice_stands_for_the_plain_name() -> None:
    anp.load_kernels()
    with pytest.raises(ValueError, match="registered already"):
        ops.conv2d.kernel("cpu_numba")
    with pytest.raises(ValueError, match="has its default kernel already"):
        ops.relu.choose("cpu_numpy")


def test_winograd_refuses_with_a_reason() -> None:
    random = np.random.default_rng(0)
    x, w, b = (random.standard_normal(shape, np.float32) for shape in ((2, 4, 9, 9), (5, 4, 3, 3), 5))
    with anp.use(conv2d="cpu_numba/winograd"), pytest.raises(anp.NoKernel, match="a stride of"):
        ops.conv2d(x, w, b, stride=2)
    with anp.use(conv2d="cpu_numba/winograd"), pytest.raises(anp.NoKernel, match="a window of 3 x 2 is not square"):
        ops.conv2d(x, np.ascontiguousarray(w[..., :2]), b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "k", "n"), [(13, 7, 16), (6, 33, 64), (25, 48, 144), (1, 5, 80)])
def test_matrix_product(m: int, k: int, n: int, dtype: Any) -> None:
    """Ragged rows, panels of every width; A as it is, transposed; B packed or not; written or added."""
    random = np.random.default_rng(m)
    a, b = random.standard_normal((m, k)).astype(dtype), random.standard_normal((k, n)).astype(dtype)
    item, width = a.itemsize, lanes(dtype, n)
    vector, panel = Static(item, width), WIDTH * width
    packed = np.concatenate([b[:, j : j + panel].ravel() for j in range(0, n, panel)])
    transposed = np.ascontiguousarray(a.T)
    expected, tolerance = a.astype(np.float64) @ b, 50 * k * np.finfo(dtype).eps

    def product(a: Any, a_row: int, a_k: int, b: Any, b_row: int, add: int) -> Any:
        c = np.full((m, n), 1 if add else np.nan, dtype)
        matmul(vector, a.ctypes.data, a_row, a_k, b.ctypes.data, b_row, c.ctypes.data, n * item, m, n // width, k, add)
        return c

    np.testing.assert_allclose(product(a, k * item, item, packed, 0, 0), expected, atol=tolerance)
    np.testing.assert_allclose(product(a, k * item, item, b, n * item, 0), expected, atol=tolerance)
    np.testing.assert_allclose(product(transposed, item, m * item, packed, 0, 1), expected + 1, atol=tolerance)


def test_static_values_are_told_apart() -> None:
    assert Static(4, 16) == Static(4, 16) != Static(4, 8)
    assert hash(Static(4, 16)) == hash(Static(4, 16)) and repr(Static(4, 16)) == "Static(4, 16)"
