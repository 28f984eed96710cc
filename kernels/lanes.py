"""Lanes of vectors: counted, filled, chosen and gathered.

Written into a kernel's code with an LLVM builder, as vector.py's are, for vectors of any type. Addresses are integers,
in bytes. Where the machine has no instruction that gathers, LLVM writes a load for each lane.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

WORD = ir.IntType(32)


def word(builder: Any, number: Any) -> Any:
    """A number of the code in 32 bits."""
    return builder.trunc(number, WORD)


def count_up(kind: Any, start: int = 0, step: int = 1) -> Any:
    """start, start + step, … as a constant vector of integers."""
    return ir.Constant(kind, [ir.Constant(kind.element, start + step * i) for i in range(kind.count)])


def spread(builder: Any, number: Any, count: int) -> Any:
    """A number of the code in every one of so many lanes."""
    undefined = ir.Constant(ir.VectorType(number.type, count), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(WORD, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(WORD, count), [0] * count))


def chosen(builder: Any, a: Any, b: Any, places: Sequence[int]) -> Any:
    """The elements of a, then b, at these places."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(WORD, len(places)), list(places)))


def gather(builder: Any, kind: Any, addresses: Any) -> Any:
    """The element at each of a vector of addresses."""
    pointers = ir.VectorType(kind.element.as_pointer(), kind.count)
    mask = ir.VectorType(ir.IntType(1), kind.count)
    name = f"llvm.masked.gather.{_name(kind)}.v{kind.count}p0"
    function = ir.FunctionType(kind, [pointers, WORD, mask, kind])
    load = cgutils.get_or_insert_function(builder.module, function, name)
    every, nothing = ir.Constant(mask, [1] * kind.count), ir.Constant(kind, ir.Undefined)
    return builder.call(load, [builder.inttoptr(addresses, pointers), _item(kind), every, nothing])


def _name(kind: Any) -> str:
    """A vector's type as the names of LLVM's intrinsics have it: v16f32."""
    return f"v{kind.count}{kind.element.intrinsic_name}"


def _item(kind: Any) -> Any:
    """Bytes of an element, which every address is a multiple of."""
    return ir.Constant(WORD, int(kind.element.intrinsic_name[1:]) // 8)
