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


def within(builder: Any, numbers: Any, end: Any) -> Any:
    """The mask of the lanes whose number is at least 0 and below `end`, a number of the code."""
    return builder.icmp_unsigned("<", numbers, spread(builder, word(builder, end), numbers.type.count))


def word(builder: Any, number: Any) -> Any:
    """A number of the code in 32 bits."""
    return builder.trunc(number, WORD)


def count_up(kind: Any, start: int = 0, step: int = 1) -> Any:
    """start, start + step, … as a constant vector of integers."""
    return ir.Constant(kind, [ir.Constant(kind.element, start + step * i) for i in range(kind.count)])


def spread(builder: Any, number: Any, count: int) -> Any:
    """A number of the code in every one of so many lanes."""
    undefined, lane = ir.Constant(ir.VectorType(number.type, count), ir.Undefined), ir.IntType(32)
    first = builder.insert_element(undefined, number, ir.Constant(lane, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(lane, count), [0] * count))


def chosen(builder: Any, a: Any, b: Any, places: Sequence[int]) -> Any:
    """The elements of a, then b, at these places."""
    lane = ir.VectorType(ir.IntType(32), len(places))
    return builder.shuffle_vector(a, b, ir.Constant(lane, list(places)))


def load_where(builder: Any, mask: Any, address: Any, otherwise: Any) -> Any:
    """Consecutive elements from `address` on in the lanes of the mask; no other memory is read."""
    kind, item = otherwise.type, _item(otherwise.type)
    pointer, word = kind.as_pointer(), ir.IntType(32)
    function = ir.FunctionType(kind, [pointer, word, mask.type, kind])
    load = cgutils.get_or_insert_function(builder.module, function, f"llvm.masked.load.{_name(kind)}.p0")
    return builder.call(load, [builder.inttoptr(address, pointer), ir.Constant(word, item), mask, otherwise])


def store_where(builder: Any, mask: Any, value: Any, address: Any) -> None:
    """The lanes of the mask to consecutive places from `address` on; no other memory is written."""
    pointer, word = value.type.as_pointer(), ir.IntType(32)
    function = ir.FunctionType(ir.VoidType(), [value.type, pointer, word, mask.type])
    store = cgutils.get_or_insert_function(builder.module, function, f"llvm.masked.store.{_name(value.type)}.p0")
    item = ir.Constant(word, _item(value.type))
    builder.call(store, [value, builder.inttoptr(address, pointer), item, mask])


def gather(builder: Any, kind: Any, addresses: Any) -> Any:
    """The element at each of a vector of addresses."""
    pointers, word = ir.VectorType(kind.element.as_pointer(), kind.count), ir.IntType(32)
    mask = ir.VectorType(ir.IntType(1), kind.count)
    name = f"llvm.masked.gather.{_name(kind)}.v{kind.count}p0"
    function = ir.FunctionType(kind, [pointers, word, mask, kind])
    load = cgutils.get_or_insert_function(builder.module, function, name)
    every, nothing = ir.Constant(mask, [1] * kind.count), ir.Constant(kind, ir.Undefined)
    item = ir.Constant(word, _item(kind))
    return builder.call(load, [builder.inttoptr(addresses, pointers), item, every, nothing])


def total(builder: Any, numbers: Any) -> Any:
    """The sum of a vector of integers."""
    kind = numbers.type
    function = ir.FunctionType(kind.element, [kind])
    add = cgutils.get_or_insert_function(builder.module, function, f"llvm.vector.reduce.add.{_name(kind)}")
    return builder.call(add, [numbers])


def _name(kind: Any) -> str:
    """A vector's type as the names of LLVM's intrinsics have it: v16f32."""
    return f"v{kind.count}{kind.element.intrinsic_name}"


def _item(kind: Any) -> int:
    """Bytes of an element."""
    return (
        int(kind.element.width) // 8
        if isinstance(kind.element, ir.IntType)
        else int(kind.element.intrinsic_name[1:]) // 8
    )
