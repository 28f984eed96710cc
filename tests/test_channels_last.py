"""The cores of fused stages by themselves, on channels-last images: pooling, LRN, blocks of pixels."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.kernels.conv2d import blocks
from alexnet_np.kernels.lrn import channels_last as lrn
from alexnet_np.kernels.maxpool2d import channels_last as maxpool
from alexnet_np.kernels.static import Static
from alexnet_np.kernels.vector import REGISTER_BYTES
from alexnet_np.ops.windows import output_size

FLOATS = [np.float32, np.float64]
LINE = 64  # bytes that a core may read before and behind an array


def guarded(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array of NaN, or of 255, amid NaN: a result that depends on what lies around it is none."""
    item = np.dtype(dtype).itemsize
    size, around = int(np.prod(shape)), LINE // item
    whole = np.full((size + 2 * around) * item, 255, np.uint8).view(dtype)
    return whole[around : around + size].reshape(shape)


def put(array: Any, dtype: Any) -> Any:
    out = guarded(array.shape, dtype)
    out[...] = array
    return out


def last(x: Any) -> Any:
    return x.transpose(0, 2, 3, 1)


def at(array: Any) -> int:
    return int(array.ctypes.data)


# (H, W), window, stride.
POOLS = {
    "overlapping": ((7, 9), (3, 3), (2, 2)),
    "a last row and column left out": ((8, 10), (3, 3), (2, 2)),
    "not overlapping": ((6, 8), (2, 2), (2, 2)),
    "overlapping a lot": ((6, 5), (3, 4), (1, 1)),
    "gaps": ((9, 11), (2, 1), (4, 3)),
    "one window": ((5, 3), (5, 3), (1, 2)),
    "of one": ((4, 3), (1, 1), (1, 1)),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("values", ["any", "ties", "NaN"])
def test_pooling(name: str, values: str, relu: bool, dtype: Any) -> None:
    """Against NumPy's kernels in float64: y exactly, the winners, and dx; after a ReLU with its backward."""
    (H, W), size, stride = POOLS[name]
    random = np.random.default_rng([H, W, relu])
    full = REGISTER_BYTES // np.dtype(dtype).itemsize
    halves = ((full, full // 2),) if name == "overlapping" else ()  # each width is compiled for itself
    for C, width in ((full, full), (3 * full, full), *halves):
        x = random.standard_normal((3, C, H, W)) if values == "any" else random.integers(-2, 3, (3, C, H, W)) / 2
        if values == "NaN":
            x[random.random(x.shape) < 0.2] = np.nan
            x[random.random(x.shape) < 0.1] = -np.inf
        x = x.astype(dtype).astype(np.float64)
        x = ops.relu(x) if relu else x
        P, Q = output_size((H, W), size, stride, ((0, 0), (0, 0)))
        dy = random.standard_normal((3, C, P, Q)).astype(dtype).astype(np.float64)
        with anp.use("cpu_numpy"):
            y, index = ops.maxpool2d(x, size=size, stride=stride)
            dx = ops.maxpool2d_backward(dy, index, x_shape=x.shape, size=size, stride=stride)
            dx = ops.relu_backward(dx, x) if relu else dx

        shape, vector, window = (H, W, C, P, Q, *size, *stride), Static(np.dtype(dtype).itemsize, width), (*size, relu)
        x_last, dy_last = put(last(x), dtype), put(last(dy), dtype)
        found, winner, found_dx = (guarded(s, t) for s, t in (((3, P, Q, C), dtype), ((3, P, Q, C), np.uint8),
                                                             (x_last.shape, dtype)))  # fmt: skip
        maxpool.forward(Static(*window), vector, shape, at(x_last), at(found), at(winner), 0, 2 * P)
        maxpool.backward(vector, shape, at(dy_last), at(winner), at(found_dx), 2)
        np.testing.assert_array_equal(found[:2], last(y)[:2])
        r, s = np.divmod(winner[:2].astype(int), size[1])
        rows, columns = np.arange(P)[:, None, None] * stride[0] + r, np.arange(Q)[:, None] * stride[1] + s
        passes = last(y)[:2] > 0 if relu else np.ones(r.shape, bool)
        np.testing.assert_array_equal((rows * W + columns)[passes], last(index)[:2][passes])
        np.testing.assert_array_equal(winner[:2] == maxpool.NOBODY, ~passes)
        np.testing.assert_allclose(found_dx[:2], last(dx)[:2], atol=20 * np.finfo(dtype).eps)
        assert (winner[2] == 255).all() and np.isnan(found[2]).all() and np.isnan(found_dx[2]).all(), "two images only"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("size", "groups"), [(5, 1), (5, 2), (3, 3), (1, 1), (9, 2)])
def test_lrn(size: int, groups: int, relu: bool, dtype: Any) -> None:
    """More pixels than are kept at a time, and some; a large α, so that every term of a window counts."""
    random, full = np.random.default_rng([size, groups, relu]), REGISTER_BYTES // np.dtype(dtype).itemsize
    options: dict[str, Any] = {"size": size, "k": 1.25, "alpha": 0.5, "groups": groups}
    for per_group, (H, W), width in ((full, (5, 13), full), (2 * full, (1, 1), full), (full, (4, 8), full // 2)):
        x, dy = (random.standard_normal((2, per_group * groups, H, W)).astype(dtype) for _ in range(2))
        x = ops.relu(x) if relu else x
        wide_x, wide_dy = x.astype(np.float64), dy.astype(np.float64)
        with anp.use("cpu_numpy"):
            y, scale = ops.lrn(wide_x, **options)
            dx = ops.lrn_backward(wide_dy, wide_x, scale, **options)
            dx = ops.relu_backward(dx, wide_x) if relu else dx
        item, pixels = np.dtype(dtype).itemsize, 2 * H * W
        window, vector, masks = Static(size, relu), Static(item, width), lrn.masks(per_group, size, dtype)
        rest = pixels, per_group, groups, at(masks), 1.25, 0.5
        x_last, dy_last = put(last(x), dtype), put(last(dy), dtype)
        found, found_dx = guarded(x_last.shape, dtype), guarded(x_last.shape, dtype)
        terms = guarded((lrn.STEP * per_group * groups,), dtype)
        lrn.forward(window, vector, at(x_last), at(found), *rest)
        lrn.backward(window, vector, at(dy_last), at(x_last), at(terms), at(found_dx), *rest)
        limit = 8 * np.finfo(dtype).eps
        np.testing.assert_allclose(found, last(y), rtol=limit)
        np.testing.assert_allclose(found_dx, last(dx), atol=limit * np.abs(dx).max())


@pytest.mark.parametrize("dtype", FLOATS)
def test_lrn_keeps_a_nan_to_its_windows(dtype: Any) -> None:
    full = REGISTER_BYTES // np.dtype(dtype).itemsize
    random, C = np.random.default_rng(6), 2 * full
    x, dy = (put(random.standard_normal((9, C)), dtype) for _ in range(2))
    x[4, full - 1] = np.nan
    vector, masks, terms = Static(x.itemsize, full), lrn.masks(full, 5, dtype), guarded((lrn.STEP * C,), dtype)
    y, dx = guarded(x.shape, dtype), guarded(x.shape, dtype)
    rest = 9, full, 2, at(masks), 2.0, 0.1
    lrn.forward(Static(5, False), vector, at(x), at(y), *rest)
    lrn.backward(Static(5, False), vector, at(dy), at(x), at(terms), at(dx), *rest)
    for array, reach in ((y, 2), (dx, 4)):
        row, channels = np.nonzero(np.isnan(array))
        assert set(row) == {4} and set(channels) == set(range(max(0, full - 1 - reach), full))


# (C, H, W), s, (top, left), (rows, columns), channels.
BLOCKS = [
    ((3, 11, 13), 4, (0, 0), (3, 4), 48),
    ((3, 11, 13), 4, (2, 1), (4, 4), 48),
    ((3, 10, 9), 2, (1, 3), (7, 8), 16),
    ((2, 7, 8), 3, (0, 2), (2, 2), 18),  # leaves the last pixels out
    ((5, 6, 7), 1, (2, 0), (9, 7), 8),
    ((1, 3, 3), 4, (3, 3), (2, 2), 16),
    ((2, 5, 4), 2, (5, 6), (2, 3), 8),  # blocks in the padding alone
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("image", "s", "padding", "grid", "channels"), BLOCKS)
def test_from_blocks_is_the_adjoint_of_to_blocks(
    image: Any, s: int, padding: Any, grid: Any, channels: int, dtype: Any
) -> None:
    random = np.random.default_rng(list(image))
    x, given = random.standard_normal((2, *image)).astype(dtype), random.standard_normal((2, *grid, channels))
    made, back = guarded((2, *grid, channels), dtype), guarded(x.shape, dtype)
    blocks.to_blocks(x, s, *padding, made, 0, len(made) * made.shape[1])
    blocks.from_blocks(given.astype(dtype), s, *padding, back)
    expected = np.zeros(made.shape)
    for i, j, c, r, q in product(range(grid[0]), range(grid[1]), range(image[0]), range(s), range(s)):
        h, w = i * s + r - padding[0], j * s + q - padding[1]
        if 0 <= h < image[1] and 0 <= w < image[2]:
            expected[:, i, j, (c * s + r) * s + q] = x[:, c, h, w]
    np.testing.assert_array_equal(made, expected)
    product_of_blocks, product_of_images = (made * given.astype(dtype)).sum(dtype=float), (x * back).sum(dtype=float)
    np.testing.assert_allclose(product_of_blocks, product_of_images, atol=1e3 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("K", "C", "R", "s", "taps", "channels"),
    [(4, 3, 11, 4, 3, 48), (4, 3, 7, 2, 5, 16), (6, 2, 5, 2, 3, 8), (3, 5, 4, 1, 5, 5), (2, 3, 1, 3, 3, 27)],
)
def test_filters_for_blocks(K: int, C: int, R: int, s: int, taps: int, channels: int, dtype: Any) -> None:
    """Convolving blocks at stride 1 is convolving the images at stride s; the way back is the adjoint."""
    random = np.random.default_rng([K, C, R])
    w = random.standard_normal((K, C, R, R)).astype(dtype)
    filters, back = guarded((K, channels, taps, taps), dtype), guarded(w.shape, dtype)
    blocks.filters_to_blocks(w, s, filters)
    given = random.standard_normal(filters.shape).astype(dtype)
    blocks.filters_from_blocks(given, s, back)
    one, other = (filters * given).sum(dtype=float), (w * back).sum(dtype=float)
    np.testing.assert_allclose(one, other, atol=1e3 * np.finfo(dtype).eps)

    x, b = random.standard_normal((2, C, R + 9, R + 6)), random.standard_normal(K)
    padding = ((1, 2), (0, 1))
    with anp.use("cpu_numpy"):
        y = ops.conv2d(x, w.astype(np.float64), b, stride=s, padding=padding)
        P, Q = y.shape[2:]
        made = guarded((2, P + taps - 1, Q + taps - 1, channels), np.float64)
        blocks.to_blocks(x, s, 1, 0, made, 0, len(made) * made.shape[1])
        by_blocks = ops.conv2d(np.ascontiguousarray(made.transpose(0, 3, 1, 2)), filters.astype(np.float64), b)
    np.testing.assert_allclose(by_blocks, y, atol=1e-12)
