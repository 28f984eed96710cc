"""The cores of a linear stage by themselves: weights that stream through a forward, and through backward and step."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from planned import Twins, state

import alexnet_np as anp
from alexnet_np.kernels.linear import momentum, streamed
from alexnet_np.kernels.panel import ROWS, WIDTH
from alexnet_np.kernels.stages import linear
from alexnet_np.kernels.static import Static
from alexnet_np.kernels.vector import REGISTER_BYTES
from alexnet_np.layers import Flatten, Linear, ReLU

LINE = 64  # bytes of NaN before and behind an array
LIMIT = 4  # times epsilon times the sum of what a result's terms are without their signs
floats = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture
def threads() -> Iterator[None]:
    before = anp.threads()
    yield
    anp.set_threads(before)


def guarded(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array of NaN amid NaN."""
    around = LINE // np.dtype(dtype).itemsize
    return np.full(int(np.prod(shape)) + 2 * around, np.nan, dtype)[around:-around].reshape(shape)


def drawn(random: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    out = guarded(shape, dtype)
    out[...] = random.standard_normal(shape)
    return out


def wide(*arrays: Any) -> list[Any]:
    return [a.astype(np.longdouble) for a in arrays]


def close(found: Any, expected: Any, terms: Any) -> bool:
    return bool((np.abs(found - expected) <= LIMIT * np.finfo(found.dtype).eps * terms).all())


def full(dtype: Any) -> int:
    return int(REGISTER_BYTES // np.dtype(dtype).itemsize)


def packed_images(x: Any, lanes: int, piece: int, parts: int) -> Any:
    """As `parts` threads pack them."""
    (N, C), count = x.shape, -(-x.shape[1] // piece)
    packed = guarded((C * (-(-N // lanes) * lanes),), x.dtype)
    ends = [count * part // parts for part in range(parts + 1)]
    for first, last in pairwise(ends):
        streamed.pack_transposed(x, lanes, piece, first, last, packed)
    return packed


def product_of(x: Any, w: Any, b: Any, piece: int, block: int, least: float = -np.inf, factor: float = 1.0) -> Any:
    """factor · max(x·wᵀ + b, least), so many rows of w at a time; the last first, as another thread might."""
    (N, C), K, lanes = x.shape, len(w), full(x.dtype)
    packed, y = packed_images(x, lanes, piece, 2), guarded((N, K), x.dtype)
    begin = K // 2 // ROWS * ROWS
    for part in (slice(begin, K), slice(0, begin)):
        turned, others = guarded((block, -(-N // lanes) * lanes), x.dtype), np.delete(y, part, axis=1)
        streamed.forward(Static(x.itemsize, lanes), packed.ctypes.data, w.ctypes.data, b, y, part.start, part.stop,
                         turned, N, C, piece, least, factor)  # fmt: skip
        np.testing.assert_array_equal(np.delete(y, part, axis=1), others, "its own rows only")
    return y


@floats
@pytest.mark.parametrize("N", [2, 17, 33, 70])
def test_packed_images(N: int, dtype: Any) -> None:
    """Every number once, in the order in which the products read them, and zeros past the batch."""
    random, lanes = np.random.default_rng(N), full(dtype)
    for C, piece, parts in ((23, 5, 3), (20, 5, 1), (7, 7, 1)):
        x = drawn(random, (N, C), dtype)
        images = np.zeros((C, -(-N // lanes) * lanes), dtype)
        images[:, :N] = x.T
        pieces = [images[begin : begin + piece] for begin in range(0, C, piece)]
        panel = WIDTH * lanes
        expected = [part[:, j : j + panel].ravel() for part in pieces for j in range(0, images.shape[1], panel)]
        np.testing.assert_array_equal(packed_images(x, lanes, piece, parts), np.concatenate(expected))


@floats
@pytest.mark.parametrize("N", [2, 17, 33, 70])
def test_streamed_forward(N: int, dtype: Any) -> None:
    """Every number of rows that is left of six; one piece, several, and such that a sum in registers does not fill."""
    random, lanes = np.random.default_rng(N), full(dtype)
    for K, C, block in ((1, 1, 6), (8, 5, 6), (9, 140, 12), (16, 37, 16), (17, 130, 6), (29, 1100, 12)):
        x, w, b = (drawn(random, shape, dtype) for shape in ((N, C), (K, C), (K,)))
        exact_x, exact_w, exact_b = wide(x, w, b)
        expected = exact_x @ exact_w.T + exact_b
        terms = np.abs(exact_x) @ np.abs(exact_w).T + np.abs(exact_b)
        for piece in {streamed.piece(N, C, lanes, x.itemsize), min(C, 100)}:
            y = product_of(x, w, b, piece, block)
            assert close(y, expected, terms), (K, C, piece)
            np.testing.assert_array_equal(
                product_of(x, w, b, piece, block, 0.0, 0.3), np.maximum(y, 0) * y.dtype.type(0.3)
            )


@floats
@pytest.mark.parametrize("lanes", ["full", "one"])
def test_streamed_forward_of_one(lanes: str, dtype: Any) -> None:
    """Rows that fill the sums, that leave some vectors over, that are shorter than all sums; the first rows or all."""
    random, width = np.random.default_rng(5), full(dtype) if lanes == "full" else 1
    for K, vectors in ((1, 1), (5, 7), (17, 8), (13, 8 * streamed.SUMS + 3), (7, 41)):
        C, item = vectors * width, np.dtype(dtype).itemsize
        x, w, b, y = (drawn(random, shape, dtype) for shape in ((C,), (K, C), (K,), (K,)))
        exact_x, exact_w, exact_b = wide(x, w, b)
        terms = np.abs(exact_w) @ np.abs(exact_x) + np.abs(exact_b)
        places = (array.ctypes.data for array in (x, w, b, y))
        run = partial(streamed.forward_one, Static(item, width), *places, C)
        for rows in (K, K // 2):
            y[...] = np.nan
            run(rows, -np.inf, 1.0)
            assert close(y[:rows], (exact_w @ exact_x + exact_b)[:rows], terms[:rows]), (K, vectors)
            assert np.isnan(y[rows:]).all() and np.isnan(y.base[-(LINE // item) :]).all(), "its own rows only"
            plain = y.copy()
            run(rows, 0.0, 0.3)
            np.testing.assert_array_equal(y, np.maximum(plain, 0) * y.dtype.type(0.3))


@floats
def test_streamed_nan_stays_in_its_image_and_its_row(dtype: Any) -> None:
    random = np.random.default_rng(1)
    x, w, b = (drawn(random, shape, dtype) for shape in ((17, 40), (13, 40), (13,)))
    x[4, 7], w[8, 30], w[11, 2], b[2] = np.inf, np.nan, -np.inf, np.nan
    bad = np.zeros((17, 13), bool)
    bad[4], bad[:, [2, 8, 11]] = True, True
    np.testing.assert_array_equal(~np.isfinite(product_of(x, w, b, 9, 6)), bad)


@floats
@pytest.mark.parametrize("lanes", ["full", "one"])
@pytest.mark.parametrize("N", [1, 7, 33])
def test_momentum(N: int, lanes: str, dtype: Any) -> None:
    """dx of the weights before, dw = dyᵀ·x and the step. Every edge of vectors and rows; several panels and pieces."""
    random, width = np.random.default_rng(N), full(dtype) if lanes == "full" else 1
    rates = (0.25, 0.9, 0.125), (0.5, 0.0, 0.25), (0.125, 0.5, 0.0)
    BLOCK, several = momentum.BLOCK, 2 * momentum.PANELS * WIDTH + 3
    sizes = (1, 1), (2, 8), (3, 9), (4, 16), (5, 17), (6, 5), (7, 6), (8, 19), (9, 12), (5, 107), (several, 59)
    for vectors, K in sizes:
        lr, mu, decay = rates[vectors % 3]
        C, item = vectors * width, np.dtype(dtype).itemsize
        x, dy, w, v = (drawn(random, shape, dtype) for shape in ((N, C), (N, K), (K, C), (K, C)))
        given = x.copy(), dy.copy(), w.copy(), v.copy()
        columns, rows = guarded((N * C,), dtype), guarded((-(-K // BLOCK), N, BLOCK), dtype)
        panels = -(-C // (WIDTH * width))
        for first, last in ((0, panels // 2), (panels // 2, panels)):
            momentum.pack_columns(x, width, first, last, columns)
        momentum.pack_rows(dy, rows)
        whole = np.zeros((len(rows) * BLOCK, N), dtype)
        whole[:K] = dy.T
        np.testing.assert_array_equal(rows.transpose(0, 2, 1).reshape(-1, N), whole)
        panel = WIDTH * width
        np.testing.assert_array_equal(
            columns, np.concatenate([x[:, j : j + panel].ravel() for j in range(0, C, panel)])
        )

        exact_x, exact_dy, exact_w, exact_v = wide(*given)
        gradient = decay * exact_w + exact_dy.T @ exact_x
        step = mu * exact_v - lr * gradient
        terms = mu * np.abs(exact_v) + lr * (decay * np.abs(exact_w) + np.abs(exact_dy).T @ np.abs(exact_x))
        dx, packed, wanted = guarded((N, C), dtype), guarded((N * C,), dtype), vectors % 4 != 3
        for first, last in ((panels // 2, panels), (0, panels // 2)):
            momentum.backward(
                Static(item, width), rows.ctypes.data, columns.ctypes.data, packed.ctypes.data if wanted else 0,
                w.ctypes.data, v.ctypes.data, N, K, vectors, first, last, lr, mu, decay,
            )  # fmt: skip
            if wanted:
                momentum.unpack_columns(packed, width, first, last, dx)
            if first:
                own = first * WIDTH * width
                np.testing.assert_array_equal((w[:, :own], v[:, :own]), (given[2][:, :own], given[3][:, :own]))
        if wanted:
            assert close(dx, exact_dy @ exact_w, np.abs(exact_dy) @ np.abs(exact_w)), (vectors, K)
        else:
            assert np.isnan(packed).all()
        assert close(v, step, terms) and close(w, exact_w + step, terms + np.abs(exact_w)), (vectors, K)
        np.testing.assert_array_equal(x, given[0])
        np.testing.assert_array_equal(dy, given[1])
        for array in (w, v, dx, packed, columns, rows):
            around = LINE // item
            assert np.isnan(array.base[:around]).all() and np.isnan(array.base[-around:]).all(), "nothing around it"


def layers(dtype: Any) -> anp.Sequential:
    """Features that fill no vector, then some that do; outputs that are no multiple of six."""
    named = {"flatten": Flatten(), "fc1": Linear(3 * 5 * 7, 112, dtype=dtype), "relu": ReLU(),
             "fc2": Linear(112, 59, dtype=dtype), "fc3": Linear(59, 7, dtype=dtype)}  # fmt: skip
    return anp.Sequential(named, input_shape=(3, 5, 7), seed=3)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("batch", [1, 2, 33])
def test_stages_by_several_threads(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As layer by layer, and the same bits for any number of threads, though each has some rows of a layer."""
    monkeypatch.setattr(linear, "LEAST_WORK", 1)

    def results(count: int, dtype: Any) -> list[Any]:
        anp.set_threads(count)
        twins = Twins(lambda: layers(dtype), batch)
        losses = [twins.plan.step(*twins.batch()) for _ in range(2)]
        assert [s.least for s in twins.plan.schedule.stages if hasattr(s, "least")] == [1, 1, 1]
        return [losses, twins.plan.predict(twins.batch()[0]), *state(twins.model, twins.plan.sgd).values()]

    for count in (1, 3):
        anp.set_threads(count)
        Twins(lambda: layers(np.float64), batch).steps(2)
    for dtype in (np.float32, np.float64):
        for found, expected in zip(results(3, dtype), results(1, dtype), strict=True):
            np.testing.assert_array_equal(found, expected)
