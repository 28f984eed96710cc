"""Vectors of which only some lanes are in use, where a row of an array does not fill them: masks, loads, stores.

Written into a kernel's code with an LLVM builder, as vector.py's are, for vectors of any type. Addresses are integers,
in bytes. Where the machine has no such instruction, LLVM writes a branch for each lane.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

WORD = ir.IntType(32)


def below(builder: Any, count: Any, lanes: int) -> Any:
    """The mask of the first `count` lanes, a number of the code."""
    numbers = ir.VectorType(WORD, lanes)
    return builder.icmp_signed("<", count_up(numbers), spread(builder, word(builder, count), lanes))


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


def load_where(builder: Any, mask: Any, address: Any, otherwise: Any) -> Any:
    """Consecutive elements from `address` on in the lanes of the mask; no other memory is read."""
    kind, item = otherwise.type, _item(otherwise.type)
    pointer = kind.as_pointer()
    function = ir.FunctionType(kind, [pointer, WORD, mask.type, kind])
    load = cgutils.get_or_insert_function(builder.module, function, f"llvm.masked.load.{_name(kind)}.p0")
    return builder.call(load, [builder.inttoptr(address, pointer), item, mask, otherwise])


def store_where(builder: Any, mask: Any, value: Any, address: Any) -> None:
    """The lanes of the mask to consecutive places from `address` on; no other memory is written."""
    pointer = value.type.as_pointer()
    function = ir.FunctionType(ir.VoidType(), [value.type, pointer, WORD, mask.type])
    store = cgutils.get_or_insert_function(builder.module, function, f"llvm.masked.store.{_name(value.type)}.p0")
    builder.call(store, [value, builder.inttoptr(address, pointer), _item(value.type), mask])


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
