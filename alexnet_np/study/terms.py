"""Terms of a sum: each a product of factors, each read at a place of an array or a constant of the formula."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import overload

import numpy as np

from ..backend import Array

Index = tuple[int, ...]
Source = tuple[str, str]  # a layer and one of its arrays, as a recording names them


@dataclass(frozen=True)
class Factor:
    """A number of a term.

    name    as the formula calls it
    value   float
    index   where it stands in its array; None for a constant
    source  the layer and the array that it was made as: what explains it further; None where nothing does
    """

    name: str
    value: float
    index: Index | None = None
    source: Source | None = None

    def __str__(self) -> str:
        if self.name == "−1":
            return self.name
        at = "" if self.index is None else f"[{','.join(map(str, self.index))}]"
        return f"{self.name}{at} = {self.value:.6g}"


@dataclass(frozen=True)
class Term:
    """A contribution. `product` is that of its factors, and 0 where a choice (a mask, a winner) is against it: what is
    not chosen does not count, were it infinite."""

    factors: tuple[Factor, ...]
    product: float

    def __str__(self) -> str:
        return f"{self.product:+.6g} = " + " · ".join(map(str, self.factors))


@dataclass(frozen=True)
class Column:
    """One factor of all terms: values (T,), and their places (T, rank) in the array."""

    name: str
    values: Array
    at: Array | None = None
    source: Source | None = None
    choice: bool = False  # 1 or 0: whether the term counts

    def factor(self, i: int) -> Factor:
        at = None if self.at is None else tuple(map(int, self.at[i]))
        return Factor(self.name, float(self.values[i]), at, self.source)


@dataclass(frozen=True)
class Block:
    """Terms with the same factors."""

    columns: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.columns[0].values)

    @cached_property
    def products(self) -> Array:
        """(T,) float64."""
        with np.errstate(invalid="ignore", over="ignore"):
            product = prod((c.values for c in self.columns if not c.choice), start=np.ones(len(self)))
            for column in self.columns:
                if column.choice:
                    product = np.where(column.values == 0, 0.0, product)
        return product

    def term(self, i: int) -> Term:
        return Term(tuple(column.factor(i) for column in self.columns), float(self.products[i]))


class Terms(Sequence[Term]):
    """All terms, in the formula's order; made one by one as they are asked for, since there may be many."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = [block for block in blocks if len(block)]

    @cached_property
    def products(self) -> Array:
        """(T,) float64."""
        return np.concatenate([block.products for block in self.blocks]) if self.blocks else np.zeros(0)

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    @overload
    def __getitem__(self, i: int) -> Term: ...
    @overload
    def __getitem__(self, i: slice) -> list[Term]: ...
    def __getitem__(self, i: int | slice) -> Term | list[Term]:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        at = i + len(self) if i < 0 else i
        if not 0 <= at < len(self):
            raise IndexError(f"there are {len(self)} terms, asked for number {i}")
        for block in self.blocks:
            if at < len(block):
                return block.term(at)
            at -= len(block)
        raise AssertionError

    def __iter__(self) -> Iterator[Term]:
        for block in self.blocks:
            yield from map(block.term, range(len(block)))

    def largest(self, count: int) -> list[Term]:
        """The terms of the largest magnitude, largest first; NaN above all. Equal ones in the formula's order."""
        size = np.abs(self.products)
        order = np.argsort(-np.where(np.isnan(size), np.inf, size), kind="stable")
        return [self[int(i)] for i in order[:count]]


def constants(name: str, value: float, count: int, choice: bool = False) -> Column:
    """The same number in every term."""
    return Column(name, np.full(count, value, np.float64), choice=choice)


def grid(*axes: Sequence[int] | range) -> Array:
    """All combinations of indices, the last running fastest: (T, len(axes))."""
    return np.stack(np.meshgrid(*(np.asarray(axis, np.int64) for axis in axes), indexing="ij"), -1).reshape(
        -1, len(axes)
    )


def read(array: Array, at: Array) -> Array:
    """The numbers of an array at (T, rank) places, as float64; 0 at places outside of it, as in padding."""
    inside = ((at >= 0) & (at < np.array(array.shape))).all(axis=1)
    values = np.zeros(len(at))
    values[inside] = array[tuple(at[inside].T)]
    return values
