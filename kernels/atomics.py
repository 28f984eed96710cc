"""What threads tell each other in compiled code: int64s in memory, read, written and added to as one step each.

Addresses are integers, in bytes. All threads see these steps in one order.
"""

import os
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vector import INT

ORDER = "seq_cst"
WORD = ir.IntType(32)


@intrinsic
def read(_: Any, address: Any) -> Any:
    """The int64 there."""
    return types.int64(types.int64), lambda _, builder, __, given: look(builder, *given)


@intrinsic
def write(_: Any, address: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, _: Any, given: Any) -> Any:
        builder.store_atomic(given[1], _there(builder, given[0]), ORDER, 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def add(_: Any, address: Any, number: Any) -> Any:
    """The int64 there before the number was added."""
    return types.int64(types.int64, types.int64), lambda _, builder, __, given: change(builder, "add", *given)


@intrinsic
def swap(_: Any, address: Any, number: Any) -> Any:
    """The int64 there before the number took its place."""
    return types.int64(types.int64, types.int64), lambda _, builder, __, given: change(builder, "xchg", *given)


@intrinsic
def offer(_: Any) -> Any:
    """Let another thread have the CPU that wants it."""

    def generate(context: Any, builder: Any, *_: Any) -> Any:
        offer_cpu(builder)
        return context.get_dummy_value()

    return types.void(), generate


def look(builder: Any, address: Any) -> Any:
    """For generators: the int64 at an address."""
    return builder.load_atomic(_there(builder, address), ORDER, 8)


def change(builder: Any, how: str, address: Any, number: Any) -> Any:
    """For generators: what was there before."""
    return builder.atomic_rmw(how, _there(builder, address), number, ORDER)


def offer_cpu(builder: Any) -> None:
    """For generators: `offer`, where the system has it."""
    if os.name == "posix":
        call_c(builder, "sched_yield")


def call_c(builder: Any, name: str, *arguments: Any) -> None:
    """For generators: call a function of the C library that takes ints and returns one."""
    kind = ir.FunctionType(WORD, [WORD] * len(arguments))
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _there(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, INT.as_pointer())
