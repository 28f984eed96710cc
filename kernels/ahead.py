"""Asking for memory before its turn comes.

A processor fetches ahead by itself where addresses run on, but stops at the end of each page, and does not know what is
about to be written. A kernel that goes through memory a small piece at a time says so: as it begins a piece, it asks
for as much memory some way further on. There need not be any; nothing is read. Only so many answers can be waited for
at a time, so a piece of a few kilobytes is better asked for in parts, between which there is work.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiled import jit
from .vector import INT, integer

AHEAD = 4096  # bytes: a page, which takes longer than the memory's answer
LINE = 64  # bytes that one hint brings


@jit
def to_read(piece):  # type: ignore[no-untyped-def]
    """What lies beyond an array that is about to be read."""
    _hint_to_read(piece.ctypes.data + AHEAD, piece.size * piece.itemsize)


@jit
def to_write(piece, whole):  # type: ignore[no-untyped-def]
    """What lies beyond an array that is being written, a part of `whole` that has been touched already."""
    _hint_to_write(piece.ctypes.data + max(AHEAD, whole.size * whole.itemsize), piece.size * piece.itemsize)


@intrinsic
def _hint_to_read(_: Any, address: Any, count: Any) -> Any:
    return types.void(types.int64, types.int64), _generator(0)


@intrinsic
def _hint_to_write(_: Any, address: Any, count: Any) -> Any:
    return types.void(types.int64, types.int64), _generator(1)


def _generator(write: int) -> Any:
    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        hint = cgutils.get_or_insert_function(builder.module, function, "llvm.prefetch.p0")
        how = [ir.Constant(word, n) for n in (write, 3, 1)]  # into the first cache, as data
        with cgutils.for_range_slice(builder, integer(0), arguments[1], integer(LINE), INT) as (offset, _):
            builder.call(hint, [builder.inttoptr(builder.add(arguments[0], offset), byte), *how])
        return context.get_dummy_value()

    return generate
