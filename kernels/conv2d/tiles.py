"""Winograd's convolution of a tile: its matrices, and which tile fits a map.

F(m, r) gives m outputs of a filter with r taps from n = m + r − 1 products, where the definition needs m·r:

    y = Aᵀ [(G w) ⊙ (Bᵀ d)]           for a piece d of n inputs; in two dimensions each matrix from both sides

A polynomial of degree n − 1 is known from its values at n points. The filter and the outputs are evaluated there (G and
A hold powers of the points), the products interpolated (B holds Lagrange's polynomials). The last point is infinity.
The choice of points decides the error: 0, ±1 and then pairs ±p with p and 1/p, so that powers stay near 1.

Source: Winograd 1980; Lavin and Gray 2016; Barabasz et al. 2020 for the points.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import ceil, floor, log2, prod
from typing import NamedTuple

import numpy as np

from alexnet_np.backend import Array

POINTS = [Fraction(p) for p in ("0", "1", "-1", "1/2", "-2", "2", "-1/2")]
PAIRED = [Fraction(p) for p in ("0", "1", "-1", "1/2", "-1/2", "2", "-2")]

# (m, r) of the tiles whose error stays below 2e-5 of a layer's largest value in float32. F(7,3) and F(5,5) do not.
TILES = ((2, 3), (4, 3), (5, 3), (6, 3), (2, 5), (4, 5))

# To read a number of U takes as long as that many products with it: 4 bytes at some 40 GB/s, 2 operations at 450 GF/s.
U_READ = 22


class Matrices(NamedTuple):
    """Of F(m, r) in float64: output (m, n) is Aᵀ, weights (n, r) is G, input (n, n) is Bᵀ."""

    output: Array
    weights: Array
    input: Array


@cache
def matrices(m: int, r: int) -> Matrices:
    """The matrices of F(m, r), exact but for the last rounding."""
    n = m + r - 1
    points = (POINTS if n == 6 else PAIRED)[: n - 1]
    output = [[p**i for p in points] + [Fraction(i == m - 1)] for i in range(m)]
    weights, input_ = [], []
    for j, p in enumerate(points):
        others = points[:j] + points[j + 1 :]
        lagrange = prod((p - q for q in others), start=Fraction(1))
        weights.append([p**k / lagrange for k in range(r)])
        input_.append([*_polynomial(others), Fraction(0)])
    weights.append([Fraction(k == r - 1) for k in range(r)])
    input_.append(_polynomial(points))
    for row, partner in zip(input_, weights, strict=True):
        # A power of two moved from one factor to the other changes no product, and keeps both near 1.
        scale = Fraction(2) ** (floor(log2(max(map(abs, row))) + 0.5) - 1)
        row[:] = [v / scale for v in row]
        partner[:] = [v * scale for v in partner]
    return Matrices(*(np.array(rows, np.float64) for rows in (output, weights, input_)))


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of Π (x − root), the constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [root * c for c in coefficients] + [Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def multiplications(m: int, r: int, outputs: tuple[int, int]) -> int:
    """Products for one channel pair and a map of `outputs`, which tiles of m × m cover."""
    return ceil(outputs[0] / m) * ceil(outputs[1] / m) * (m + r - 1) ** 2


def best(r: int, outputs: tuple[int, int], images: int | None = None) -> tuple[int, int] | None:
    """The tile (m, r) for a map; None where no tile has such a filter.

    It needs the fewest products for many images. For so many `images`, the n² matrices of U count too, which are read
    from memory for them: one image takes a smaller tile, and less than half the time of the larger one.
    """

    def cost(tile: tuple[int, int]) -> int:
        n = sum(tile) - 1
        products = multiplications(*tile, outputs)
        return products if images is None else images * products + U_READ * n * n

    return min((tile for tile in TILES if tile[1] == r), key=cost, default=None)
