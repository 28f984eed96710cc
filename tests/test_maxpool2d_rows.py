"""Max-pooling in vectors, in places where the lanes of a vector meet an edge: bit for bit what the definition gives."""

import ctypes
import mmap
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.backend import Array
from alexnet_np.dispatch import NoKernel
from alexnet_np.kernels import vector
from alexnet_np.kernels.maxpool2d import cpu_numba_backward_rows, cpu_numba_rows

ROWS = "cpu_numba/rows"
NOTHING = 0  # that may be done with a page
DTYPES = np.float32, np.float64
# Rows of the output from one window to more than two vectors of 16, whose last one repeats windows or does not.
WIDTHS = 3, 4, 13, 16, 17, 27, 31, 32, 33, 35, 55, 67, 71
# size, stride, padding: columns side by side, by twos and by more, windows that overlap and windows with gaps, and a
# side of the plane that has padding and one that has not.
WINDOWS: tuple[dict[str, Any], ...] = (
    {"size": 3, "stride": 2},
    {"size": 2, "stride": 2},
    {"size": 3, "stride": 1},
    {"size": 1, "stride": 2},
    {"size": (1, 3), "stride": (3, 2)},
    {"size": (3, 2), "stride": (1, 4)},
    {"size": 3, "stride": 2, "padding": 1},
    {"size": 3, "stride": 2, "padding": ((0, 2), (1, 0))},
    {"size": (2, 3), "stride": (1, 1), "padding": ((1, 0), (0, 2))},
)


BACKWARDS = ROWS, "cpu_numba/scatter"
INSIDE = [keywords for keywords in WINDOWS if "padding" not in keywords and keywords["stride"] != (1, 4)]


def with_surprises(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Few values, so that many are equal, both zeros among them, with infinities, and NaNs of both signs."""
    values = np.array([-2, -1, -0.0, 0.0, 1, 1, 2, np.inf, -np.inf, np.nan, -np.nan], dtype)
    chances = np.array([*[1.0] * 7, 0.3, 3.0, 0.1, 0.1])
    return np.random.default_rng(seed).choice(values, shape, p=chances / chances.sum())


def assert_same_bits(found: Any, expected: Any) -> None:
    for got, right in zip(found, expected, strict=True):
        assert got.dtype == right.dtype
        np.testing.assert_array_equal(got.view(f"i{got.itemsize}"), right.view(f"i{right.itemsize}"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keywords", WINDOWS, ids=str)
def test_every_edge(keywords: dict[str, Any], dtype: Any) -> None:
    for width, height in product(WIDTHS, (3, 6)):
        x = with_surprises((2, 2, height, width), dtype, seed=width)
        with anp.use(maxpool2d=ROWS):
            found = ops.maxpool2d(x, **keywords)
        assert_same_bits(found, ops.maxpool2d.definition(x, **keywords))


@pytest.mark.parametrize("dtype", DTYPES)
def test_reads_and_writes_nothing_else(dtype: Any) -> None:
    """The last row ends where a page ends whose successor may not be read; the results lie amid numbers that stay."""
    pages = mmap.mmap(-1, 16 * mmap.PAGESIZE)
    whole = np.frombuffer(pages, dtype)
    forbidden = ctypes.c_void_p(whole.ctypes.data + 15 * mmap.PAGESIZE)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    ends = 15 * mmap.PAGESIZE // whole.itemsize
    assert protect(forbidden, mmap.PAGESIZE, NOTHING) == 0
    try:
        for keywords, width in product(WINDOWS, WIDTHS):
            right_x = with_surprises((2, 2, 6, width), dtype, seed=width)
            x = whole[ends - right_x.size : ends].reshape(right_x.shape)
            x[...] = right_x
            right = ops.maxpool2d.definition(right_x, **keywords)
            around = [np.full(r.size + 2 * vector.REGISTER_BYTES, 77, r.dtype) for r in right]
            out = [a[vector.REGISTER_BYTES : -vector.REGISTER_BYTES] for a in around]
            with anp.use(maxpool2d=ROWS):
                ops.maxpool2d(x, **keywords, out=tuple(o.reshape(r.shape) for o, r in zip(out, right, strict=True)))
            assert_same_bits([o.reshape(r.shape) for o, r in zip(out, right, strict=True)], right)
            for array, inner in zip(around, out, strict=True):
                inner[...] = 77
                assert (array == 77).all()
    finally:
        assert protect(forbidden, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE) == 0


@pytest.mark.parametrize("bytes_", [16, 32])
def test_narrower_registers(bytes_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without AVX-512, or without AVX2."""
    assert bytes_ <= vector.REGISTER_BYTES
    monkeypatch.setattr(cpu_numba_rows, "REGISTER_BYTES", bytes_)
    cpu_numba_rows._form.cache_clear()
    try:
        for keywords, width, dtype in product(WINDOWS[:7], (3, 17, 27), DTYPES):
            x = with_surprises((2, 1, 7, width), dtype)
            with anp.use(maxpool2d=ROWS):
                found = ops.maxpool2d(x, **keywords)
            assert_same_bits(found, ops.maxpool2d.definition(x, **keywords))
    finally:
        cpu_numba_rows._form.cache_clear()


@pytest.mark.parametrize("planes", [1, 2, 3, 37])
def test_threads_change_nothing(planes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the forward's bits nor the backward's, with fewer planes than threads or lanes, and with more."""
    for name in "rows", "backward_rows", "backward_scatter":
        monkeypatch.setattr(f"alexnet_np.kernels.maxpool2d.cpu_numba_{name}.LEAST_MOVED", 1)
    x, keywords = with_surprises((1, planes, 27, 29), np.float32), WINDOWS[0]
    random, before, found = np.random.default_rng(1), anp.threads(), []
    dy = random.standard_normal((1, planes, 13, 14)).astype(np.float32)
    try:
        for threads, backward in product((1, 2, 3), BACKWARDS):
            anp.set_threads(threads)
            with anp.use("cpu_numba", maxpool2d_backward=backward):
                y, index = ops.maxpool2d(x, **keywords)
                found.append((y, index, ops.maxpool2d_backward(dy, index, x_shape=x.shape, **keywords)))
    finally:
        anp.set_threads(before)
    right = ops.maxpool2d.definition(x, **keywords)
    expected = *right, ops.maxpool2d_backward.definition(dy, right[1], x_shape=x.shape, **keywords)
    for each in found:
        assert_same_bits(each, expected)


@pytest.mark.parametrize("bytes_", [16, 32])
def test_backward_in_narrower_registers(bytes_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_numba_backward_rows, "REGISTER_BYTES", bytes_)
    cpu_numba_backward_rows._form.cache_clear()
    try:
        for keywords, width, dtype in product(INSIDE, (5, 17, 27), DTYPES):
            assert_backward((2, 2, 7, width), dtype, keywords, ROWS)
    finally:
        cpu_numba_backward_rows._form.cache_clear()


@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keywords", INSIDE, ids=str)
def test_backward_at_every_edge(keywords: dict[str, Any], dtype: Any, backward: str) -> None:
    """Added in the order of dy, amid numbers that stay, also where indices point out of their windows."""
    for width, height in product((5, *WIDTHS[2:]), (5, 6, 7)):
        assert_backward((2, 3, height, width), dtype, keywords, backward)


def assert_backward(shape: tuple[int, ...], dtype: Any, keywords: dict[str, Any], backward: str) -> None:
    random, around = np.random.default_rng(shape[3]), 2 * vector.REGISTER_BYTES
    x = random.standard_normal(shape).astype(dtype)
    index = ops.maxpool2d.definition(x, **keywords)[1]
    dy = with_surprises(index.shape, dtype, seed=shape[3])
    dy[0] = random.standard_normal(dy[0].shape)
    astray = index.copy()
    astray[1, 1] = random.integers(0, shape[2] * shape[3], index.shape[2:])
    for places in index, astray:
        whole = np.full(x.size + 2 * around, 77, dtype)
        dx = whole[around:-around].reshape(shape)
        with anp.use(maxpool2d_backward=backward), np.errstate(invalid="ignore"):
            ops.maxpool2d_backward(dy, places, x_shape=shape, **keywords, out=dx)
            right = ops.maxpool2d_backward.definition(dy, places, x_shape=shape, **keywords)
        np.testing.assert_array_equal(dx, right)
        np.testing.assert_array_equal(np.signbit(dx[dx == 0]), np.signbit(right[right == 0]))
        assert (whole[:around] == 77).all() and (whole[-around:] == 77).all()


@pytest.fixture(params=[32, 64])
def register_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Registers as wide as this, as far as the choice is concerned."""
    with monkeypatch.context() as patch:
        patch.setattr("alexnet_np.kernels.maxpool2d.cpu_numba.REGISTER_BYTES", request.param)
        ops.maxpool2d_backward.changed()
        yield request.param
    ops.maxpool2d_backward.changed()


def test_which_backward_is_chosen(register_bytes: int) -> None:
    """Vectors where a row fills one of 64 bytes; all else is scattered, or refused when vectors are asked for."""
    random = np.random.default_rng(0)
    cases: tuple[tuple[int, dict[str, Any], str, str], ...] = (
        (55, {"size": 3, "stride": 2}, ROWS if register_bytes == 64 else "cpu_numba/scatter", ""),
        (5, {"size": 3, "stride": 2}, "cpu_numba/scatter", ""),  # can, but is not worth it
        (3, {"size": 3, "stride": 2}, "cpu_numba/scatter", "of which more lie over an element"),
        (55, {"size": 3, "stride": 2, "padding": 1}, "cpu_numba/scatter", "padding"),
        (55, {"size": 3, "stride": 3}, "cpu_numba/scatter", "a stride of 3"),
        (67, {"size": (1, 65), "stride": 1}, "cpu_numba/scatter", "more than the 64 elements"),
        (9, {"size": 1, "stride": (40, 2)}, "cpu_numba/scatter", "smaller than what is written behind"),
    )
    for side, keywords, chosen, why in cases:
        x = random.standard_normal((1, 2, side, side))
        y, index = ops.maxpool2d.definition(x, **keywords)
        with anp.use("cpu_numba"), anp.trace() as calls:
            ops.maxpool2d_backward(y, index, x_shape=x.shape, **keywords)
        assert [call.kernel for call in calls] == [chosen], keywords
        if why:
            with anp.use(maxpool2d_backward=ROWS), pytest.raises(NoKernel, match=why):
                ops.maxpool2d_backward(y, index, x_shape=x.shape, **keywords)


def test_large_windows_are_left_to_the_loops() -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 20, 20)).astype(np.float32)
    with anp.use("cpu_numba"), anp.trace() as calls:
        small, _ = ops.maxpool2d(x, size=8, stride=1)
        large, _ = ops.maxpool2d(x, size=(5, 13), stride=1)
    assert [call.kernel for call in calls] == [ROWS, "cpu_numba/planes"]
    assert small.max() == large.max() == x.max()
    with anp.use(maxpool2d=ROWS), pytest.raises(NoKernel, match="more than the 64 elements"):
        ops.maxpool2d(x, size=(5, 13), stride=1)
