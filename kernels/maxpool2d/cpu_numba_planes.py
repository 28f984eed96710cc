"""maxpool2d a plane at a time: all its windows at once, in vectors.

Math     y = max over (r, s) of x̂[p·stride + r, q·stride + s]
Shapes   x (N·C, H, W), y and index (N·C, P, Q)
Threads  each has a contiguous part of the planes
Traffic  the least from memory. A plane is first dealt out by row and column modulo stride, with −∞ around it: then
         element (r, s) of all windows is one contiguous run. That copy stays in the first-level cache
Change   against cpu_numpy: one pass over memory in place of one for each element of a window, and threads
"""

from math import ceil

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import maxpool2d
from alexnet_np.ops.windows import Pair, Sides
from alexnet_np.parallel import share

from ..chunks import small_in_tests
from ..compiled import LEAST, jit, unsigned

small_in_tests(__name__, LEAST=1)


@maxpool2d.kernel("cpu_numba/planes")
def forward(x: Array, *, size: Pair, stride: Pair, padding: Sides, out: tuple[Array, Array]) -> None:
    (N, C, H, W), (P, Q) = x.shape, out[0].shape[2:]
    x, y, index = x.reshape(N * C, H, W), *(array.reshape(N * C, P, Q) for array in out)
    before = padding[0][0], padding[1][0]
    # Where each window begins in the plane, and the first of its elements that is no padding.
    rows, columns = np.arange(P) * stride[0] - before[0], np.arange(Q) * stride[1] - before[1]
    width = Q + (size[1] - 1) // stride[1]
    corner, first = np.zeros((2, P, width), np.int32)
    corner[:, :Q] = rows[:, None] * W + columns
    first[:, :Q] = rows.clip(0)[:, None] * W + columns.clip(0)

    corner, first = corner.reshape(-1), first.reshape(-1)

    def body(lo: int, hi: int) -> None:
        # One row more than windows reach, since the runs begin anywhere in a row.
        dealt = np.full((*stride, P + (size[0] - 1) // stride[0] + 1, width), -np.inf, x.dtype)
        runs = dealt.reshape(stride[0] * stride[1], -1)
        best, where = np.empty(P * width, x.dtype), np.empty(P * width, np.int32)
        _forward(x[lo:hi], size, stride, before, dealt, runs, corner, first, best, where, y[lo:hi], index[lo:hi])

    share(N * C, body, least=ceil(LEAST / (H * W)))


@jit
def _forward(x, size, stride, before, dealt, runs, corner, first, best, where, y, index):  # type: ignore[no-untyped-def]
    W, (_, P, Q), width = x.shape[2], y.shape, dealt.shape[3]
    for n in range(len(x)):
        _deal(x[n], stride, before, dealt)
        best[:] = -np.inf
        where[:] = first
        for r in range(size[0]):
            for s in range(size[1]):
                start = r // stride[0] * width + s // stride[1]
                run = runs[r % stride[0] * stride[1] + s % stride[1], start : start + best.size]
                _take_larger(run, np.int32(r * W + s), corner, best, where)
        for p in range(P):
            for q in range(Q):
                i = unsigned(p * width + q)
                y[n, p, unsigned(q)], index[n, p, unsigned(q)] = best[i], where[i]


@jit
def _deal(x, stride, before, dealt):  # type: ignore[no-untyped-def]
    """Row h and column w, counted with the padding, go to dealt[h % stride, w % stride, h // stride, w // stride]."""
    H, W = x.shape
    rows, step = dealt.shape[2] * stride[0], stride[1]
    for s in range(step):
        column = max(0, -((s - before[1]) // step))  # the first that is no padding
        begin = column * step + s - before[1]
        count = min((W - begin + step - 1) // step, dealt.shape[3] - column)
        for h in range(min(H, rows - before[0])):
            row, r = divmod(h + before[0], stride[0])
            if step == 2:  # a step that is known makes vectors
                for i in range(count):
                    dealt[r, s, row, unsigned(column + i)] = x[h, unsigned(begin + 2 * i)]
            else:
                for i in range(count):
                    dealt[r, s, row, unsigned(column + i)] = x[h, unsigned(begin + step * i)]


@jit
def _take_larger(run, offset, corner, best, where):  # type: ignore[no-untyped-def]
    """Of equal elements the first stays; a NaN beats every number, and stays."""
    for i in range(len(best)):
        value, so_far, here, there = (
            run[i],
            best[i],
            corner[i] + offset,
            where[i],
        )  # read first, so that nothing branches
        larger = (not value <= so_far) & (so_far == so_far)
        best[i] = value if larger else so_far
        where[i] = here if larger else there
