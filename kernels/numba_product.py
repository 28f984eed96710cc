"""Matrix products in Numba CUDA, rung by rung: C[m,n] = Σ_k left[m,k] · right[k,n] of an operation's own arrays.

Rungs    naive      a thread for each element of C
         tiled      tiles of 16 × 16 in shared memory, an element of C for each thread
         registers  tiles of 32 × 32 in shared memory, 2 × 2 elements of C for each thread
Shapes   given by a Problem: device functions of the flat arrays, a group and a tuple of sizes
Threads  naive: as many as `over` makes, along the columns; else a grid of tiles, with groups along z, block 256
Traffic  naive: both factors for each product; tiled: a 16th of that from memory; registers: a 32nd, and half of the
         loads from shared memory
Change   each rung against the one before: shared memory; registers. gpu_cuda goes on from here
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import from_dtype

from .numba_cuda import TILE, cuda, kernel, launch, over, per_dtype

SIDE = 2 * TILE  # of the register rung's tiles
PART = 16  # terms: sums of sums round less than one long chain


class Problem(NamedTuple):
    """A product: device functions of (array, …, group, sizes).

    left(a, m, k, g, s) and right(b, k, n, g, s) give an element, 0 where there is none; store(c, bias, m, n, sum, g, s)
    writes one. rows, columns, terms: from the sizes, of one group.
    """

    left: Any
    right: Any
    store: Any
    extent: Any  # (s) -> rows, columns, terms


Rung = Callable[..., None]
SIGNATURE = "float32[::1]", "float32[::1]", "float32[::1]", "float32[::1]"


def naive(problem: Problem, sizes: int) -> Rung:
    """run(a, b, bias, c, s, groups, rows, columns, dtype), a thread for each element of C."""
    left, right, store, extent = problem

    @kernel(*SIGNATURE, f"UniTuple(int64, {sizes})", "int64")
    def product(a, b, bias, c, s, groups):  # type: ignore[no-untyped-def]
        M, N, K = extent(s)
        for i in range(cuda.grid(1), groups * M * N, cuda.gridsize(1)):
            n, m, g = i % N, i // N % M, i // N // M
            total = c.dtype.type(0)
            for k0 in range(0, K, PART):
                part = c.dtype.type(0)
                for k in range(k0, min(k0 + PART, K)):
                    part += left(a, m, k, g, s) * right(b, k, n, g, s)
                total += part
            store(c, bias, m, n, total, g, s)

    def run(a: Any, b: Any, bias: Any, c: Any, s: Any, groups: int, rows: int, columns: int, dtype: Any) -> None:
        over(groups * rows * columns, product, a, b, bias, c, s, groups)

    return run


def tiled(problem: Problem, sizes: int) -> Rung:
    """As naive; a block loads what all its threads need once."""
    left, right, store, extent = problem

    @per_dtype
    def made(dtype: Any) -> Any:
        number = from_dtype(dtype)

        @kernel(*SIGNATURE, f"UniTuple(int64, {sizes})")
        def product(a, b, bias, c, s):  # type: ignore[no-untyped-def]
            lefts = cuda.shared.array((TILE, TILE), number)
            rights = cuda.shared.array((TILE, TILE), number)
            M, N, K = extent(s)
            x, y, g = cuda.threadIdx.x, cuda.threadIdx.y, cuda.blockIdx.z
            m, n = cuda.blockIdx.y * TILE + y, cuda.blockIdx.x * TILE + x
            zero = c.dtype.type(0)
            total = zero
            for k in range(0, K, TILE):
                lefts[y, x] = left(a, m, k + x, g, s) if m < M and k + x < K else zero
                rights[y, x] = right(b, k + y, n, g, s) if n < N and k + y < K else zero
                cuda.syncthreads()
                part = zero
                for i in range(TILE):
                    part += lefts[y, i] * rights[i, x]
                total += part
                cuda.syncthreads()
            if m < M and n < N:
                store(c, bias, m, n, total, g, s)

        return product

    def run(a: Any, b: Any, bias: Any, c: Any, s: Any, groups: int, rows: int, columns: int, dtype: Any) -> None:
        grid = -(-columns // TILE), -(-rows // TILE), groups
        launch(made(dtype), grid, (TILE, TILE), a, b, bias, c, s)

    return run


def registers(problem: Problem, sizes: int) -> Rung:
    """As tiled; a thread has 2 × 2 elements of C, and two products for each load from shared memory."""
    left, right, store, extent = problem

    @per_dtype
    def made(dtype: Any) -> Any:
        number = from_dtype(dtype)

        @kernel(*SIGNATURE, f"UniTuple(int64, {sizes})")
        def product(a, b, bias, c, s):  # type: ignore[no-untyped-def]
            lefts = cuda.shared.array((SIDE, TILE), number)
            rights = cuda.shared.array((TILE, SIDE), number)
            M, N, K = extent(s)
            x, y, g = cuda.threadIdx.x, cuda.threadIdx.y, cuda.blockIdx.z
            m0, n0 = cuda.blockIdx.y * SIDE, cuda.blockIdx.x * SIDE
            zero = c.dtype.type(0)
            t00 = t01 = t10 = t11 = zero
            for k in range(0, K, TILE):
                for half in range(0, SIDE, TILE):
                    m, n = m0 + half + y, n0 + half + x
                    lefts[half + y, x] = left(a, m, k + x, g, s) if m < M and k + x < K else zero
                    rights[y, half + x] = right(b, k + y, n, g, s) if n < N and k + y < K else zero
                cuda.syncthreads()
                p00 = p01 = p10 = p11 = zero
                for i in range(TILE):
                    a0, a1 = lefts[y, i], lefts[y + TILE, i]
                    b0, b1 = rights[i, x], rights[i, x + TILE]
                    p00 += a0 * b0
                    p01 += a0 * b1
                    p10 += a1 * b0
                    p11 += a1 * b1
                t00, t01, t10, t11 = t00 + p00, t01 + p01, t10 + p10, t11 + p11
                cuda.syncthreads()
            m, n = m0 + y, n0 + x
            if m < M and n < N:
                store(c, bias, m, n, t00, g, s)
            if m < M and n + TILE < N:
                store(c, bias, m, n + TILE, t01, g, s)
            if m + TILE < M and n < N:
                store(c, bias, m + TILE, n, t10, g, s)
            if m + TILE < M and n + TILE < N:
                store(c, bias, m + TILE, n + TILE, t11, g, s)

        return product

    def run(a: Any, b: Any, bias: Any, c: Any, s: Any, groups: int, rows: int, columns: int, dtype: Any) -> None:
        grid = -(-columns // SIDE), -(-rows // SIDE), groups
        launch(made(dtype), grid, (TILE, TILE), a, b, bias, c, s)

    return run


RUNGS = {"naive": naive, "tiled": tiled, "registers": registers}


@kernel("float32[:, :, ::1]", "float32[::1]")
def bias_gradient(dy, db):  # type: ignore[no-untyped-def]
    """db[k] = Σ dy[:, k, :], a thread for each k, as sums of sums."""
    for k in range(cuda.grid(1), db.size, cuda.gridsize(1)):
        total = db.dtype.type(0)
        for n in range(dy.shape[0]):
            part = db.dtype.type(0)
            for i in range(dy.shape[2]):
                part += dy[n, k, i]
            total += part
        db[k] = total
