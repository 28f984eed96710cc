"""Matrix products on the GPU: the rungs that convolution and the linear layers share, their grids and split sums."""

from math import prod
from typing import Any, NamedTuple

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.operation import Spec
from alexnet_np.precision import accumulator

from .source import BLOCK, Source, blocks

BLOCKS = 264  # that fill a GPU of 132 processors twice
TERMS = 256  # of a sum over k that are worth a block
MOST_BLOCKS = 65535  # of a grid, along y and along z
MOST = 2**31 - 1  # what an int counts

FLOAT, HALF = ("float32",), ("bfloat16",)
# How many times the error of the definition a rung may have: sums in one chain, and TF32's 10 of 23 bits.
CHAIN = 4.0
ERRORS = {"tiled": 2.0, "tf32": 2.0**13}
SUMS = Source(__file__, "sums.cu", ["sum_splits<{T}, {T}>", "sum_splits<float, bfloat16>"])

Product = tuple[int, int, int]  # rows and columns of C, terms of each of its sums


class Rung(NamedTuple):
    """A .cu file with a kernel for each of an operation's products.

    threads: of a block. tile: of C, for a block; 0 where a thread has one element, and no sum is split. along_rows:
    whether neighbouring threads have neighbouring rows of C, not columns.
    """

    source: Source
    threads: int
    tile: int
    along_rows: bool = False

    def splits(self, product: Product, groups: int = 1) -> int:
        """Parts into which the sum over k is split: where C has too few tiles to fill a GPU."""
        if not self.tile:
            return 1
        rows, columns, terms = product
        there = -(-rows // self.tile) * -(-columns // self.tile) * groups
        return max(1, min(BLOCKS // there, terms // TERMS, MOST_BLOCKS // groups))

    def grid(self, product: Product, z: int) -> tuple[int, int, int]:
        rows, columns, _ = product
        if self.tile:
            return -(-columns // self.tile), -(-rows // self.tile), z
        quick, slow = (rows, columns) if self.along_rows else (columns, rows)
        return -(-quick // self.threads), min(slow, MOST_BLOCKS), z

    def refusal(self, product: Product) -> str | None:
        if max(product) > MOST or (self.tile and product[0] > MOST_BLOCKS * self.tile):
            return f"a product of {product} rows, columns and terms is more than a grid or an int counts"
        return None

    def workspace(self, product: Product, out: tuple[int, ...], like: Spec, groups: int = 1) -> Spec:
        """Room for the parts of a split sum; a single element where it is not split."""
        splits = self.splits(product, groups)
        return Spec((splits, prod(out)) if splits > 1 else (1, 1), accumulator(like.dtype), like.device)

    def launch(
        self,
        name: str,
        product: Product,
        arrays: tuple[Array, ...],
        out: Array,
        workspace: Array,
        *parameters: Any,
        groups: int = 1,
        bias: tuple[Array, int] | None = None,
        relu: bool = False,
    ) -> None:
        """One product into `out`, through `workspace` where its sum is split; then the bias, (b, elements for each)."""
        splits = self.splits(product, groups)
        to, grid = workspace if splits > 1 else out, self.grid(product, groups * splits)
        self.source.launch(name, grid, (self.threads,), *arrays, to, *parameters, to=to.dtype)
        if splits > 1:
            b, pixels = bias or (workspace, 1)
            rest = np.int64(out.size), splits, pixels, b.size if bias else 0, int(relu)
            SUMS.launch("sum_splits<{T}, {Y}>", blocks(out.size), (BLOCK,), workspace, b, out, *rest, to=out.dtype)
