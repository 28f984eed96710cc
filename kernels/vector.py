"""Vectors in compiled kernels: LLVM's own, where a loop would leave it to luck.

A kernel that must hold 24 accumulators in registers, or unroll a product with a known matrix, is written as a generator
of LLVM code: a function marked @intrinsic that takes a Static and addresses. `Vectors` is what such a generator writes
with. Addresses are integers, in bytes.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils, config

INT = ir.IntType(64)


WIDTHS = 16, 32, 64


def _register_bytes() -> int:
    """Of the vector registers that a product of 16 floats is compiled to: of this CPU, or of the one that
    NUMBA_CPU_NAME and NUMBA_CPU_FEATURES name. ALEXNET_VECTOR_BYTES, which is for tests, has LLVM split wider vectors.

    Raises ValueError for an ALEXNET_VECTOR_BYTES that is not 16, 32 or 64.
    """
    if text := os.environ.get("ALEXNET_VECTOR_BYTES", ""):
        if text not in map(str, WIDTHS):
            raise ValueError(f"ALEXNET_VECTOR_BYTES must be one of {WIDTHS}, got {text!r}")
        return int(text)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu = config.CPU_NAME or llvm.get_host_cpu_name()
    here = "" if config.CPU_NAME else llvm.get_host_cpu_features().flatten()
    features = here if config.CPU_FEATURES is None else config.CPU_FEATURES
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=features)
    floats = "<16 x float>"
    square = f"define {floats} @square({floats} %x) {{ %y = fmul {floats} %x, %x\n ret {floats} %y }}"
    code = machine.emit_assembly(llvm.parse_assembly(square))
    return 64 if "zmm" in code else 32 if "ymm" in code else 16


REGISTER_BYTES = _register_bytes()
# How many vector registers there are: AVX-512 and 64-bit ARM have 32, other x86-64 has 16.
REGISTERS = 32 if REGISTER_BYTES == 64 or llvm.get_process_triple().startswith(("aarch64", "arm64")) else 16


def lanes(dtype: Any, *channels: int) -> int:
    """Elements of the widest vector that fits a register of this machine and divides every one of `channels`."""
    width = REGISTER_BYTES // np.dtype(dtype).itemsize
    while any(c % width for c in channels):
        width //= 2
    return width


class Vectors:
    """Writes vector code of one type (itemsize 4 or 8, a power of two lanes) with an LLVM builder."""

    def __init__(self, builder: Any, itemsize: int, lanes: int) -> None:
        self.builder, self.itemsize, self.lanes = builder, itemsize, lanes
        self.scalar = ir.FloatType() if itemsize == 4 else ir.DoubleType()
        self.type = ir.VectorType(self.scalar, lanes)
        self.bytes = itemsize * lanes
        self._fma = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(self.type, [self.type] * 3),
            f"llvm.fma.v{lanes}f{8 * itemsize}",
        )

    def constant(self, value: float) -> Any:
        number = float(np.float32(value)) if self.itemsize == 4 else float(value)
        return ir.Constant(self.type, [ir.Constant(self.scalar, number)] * self.lanes)

    def at(self, address: Any, offset: Any) -> Any:
        """address + offset, both in bytes; a Python int or a value of the code."""
        return self.builder.add(address, integer(offset) if isinstance(offset, int) else offset)

    def load(self, address: Any) -> Any:
        pointer = self.builder.inttoptr(address, self.type.as_pointer())
        return self.builder.load(pointer, align=self.itemsize)

    def store(self, value: Any, address: Any) -> None:
        pointer = self.builder.inttoptr(address, self.type.as_pointer())
        self.builder.store(value, pointer, align=self.itemsize)

    def prefetch_to_write(self, address: Any) -> None:
        """Bring the line at `address`, which is going to be written, into the first cache."""
        self._prefetch(address, write=1, nearness=3)

    def prefetch(self, address: Any, nearness: int = 2) -> None:
        """Bring the line at `address` into the second cache, or with a nearness of 3 into the first."""
        self._prefetch(address, write=0, nearness=nearness)

    def _prefetch(self, address: Any, write: int, nearness: int) -> None:
        byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
        hint = cgutils.get_or_insert_function(self.builder.module, function, "llvm.prefetch.p0")
        rest = [ir.Constant(i32, n) for n in (write, nearness, 1)]
        self.builder.call(hint, [self.builder.inttoptr(address, byte), *rest])

    def splat(self, address: Any) -> Any:
        """The number at `address` in every lane."""
        pointer = self.builder.inttoptr(address, self.scalar.as_pointer())
        return self._spread(self.builder.load(pointer, align=self.itemsize))

    def everywhere(self, double: Any) -> Any:
        """A double of the code, rounded, in every lane."""
        return self._spread(double if self.itemsize == 8 else self.builder.fptrunc(double, self.scalar))

    def _spread(self, number: Any) -> Any:
        undefined, lane = ir.Constant(self.type, ir.Undefined), ir.IntType(32)
        first = self.builder.insert_element(undefined, number, ir.Constant(lane, 0))
        everywhere = ir.Constant(ir.VectorType(lane, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, everywhere)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a · b + c, rounded once."""
        return self.builder.call(self._fma, [a, b, c])

    def sqrt(self, x: Any) -> Any:
        kind = ir.FunctionType(self.type, [self.type])
        name = f"llvm.sqrt.v{self.lanes}f{8 * self.itemsize}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [x])

    def relu(self, x: Any) -> Any:
        """0 where x ≤ 0, else x: NaN stays."""
        zero = self.constant(0)
        return self.builder.select(self.builder.fcmp_ordered("<=", x, zero), zero, x)

    def relu_backward(self, dy: Any, y: Any) -> Any:
        """dy where y > 0, else 0."""
        zero = self.constant(0)
        return self.builder.select(self.builder.fcmp_ordered(">", y, zero), dy, zero)

    def dot(self, coefficients: Iterable[float], vectors: Sequence[Any]) -> Any:
        """Σ coefficient · vector without those that are 0; ±1 cost an addition."""
        terms = [(c, v) for c, v in zip(coefficients, vectors, strict=True) if c != 0]
        terms.sort(key=lambda term: abs(term[0]) != 1)
        first, *rest = terms
        sum_ = first[1] if first[0] == 1 else self.builder.fmul(self.constant(first[0]), first[1])
        for c, v in rest:
            if c == 1:
                sum_ = self.builder.fadd(sum_, v)
            elif c == -1:
                sum_ = self.builder.fsub(sum_, v)
            else:
                sum_ = self.fma(self.constant(c), v, sum_)
        return sum_


def integer(value: int) -> Any:
    """An int as a constant of the code."""
    return ir.Constant(INT, value)


@contextmanager
def each(builder: Any, begin: Any, end: Any, by: int = 1) -> Iterator[Any]:
    """for index in range(begin, end, by), as code that LLVM is told not to unroll: a body that fills the registers
    gains nothing from it, and takes several times as long to compile."""
    before, looped, after = builder.block, builder.append_basic_block("each"), builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed("<", begin, end), looped, after)
    builder.position_at_end(looped)
    index = builder.phi(INT)
    index.add_incoming(begin, before)
    yield index
    following = builder.add(index, integer(by), flags=["nsw"])
    index.add_incoming(following, builder.block)
    again = builder.cbranch(builder.icmp_signed("<", following, end), looped, after)
    hint = builder.module.add_metadata([ir.MetaDataString(builder.module, "llvm.loop.unroll.disable")])
    loop = builder.module.add_metadata([hint, integer(len(builder.module.metadata))])
    loop.operands = [loop, hint]  # a loop's metadata names itself first, so that no two loops share one
    again.set_metadata("llvm.loop", loop)
    builder.position_at_end(after)


def unrolled(builder: Any, begin: Any, end: Any, step: Callable[[Any], None], times: int) -> None:
    """step(index) for index in range(begin, end), so many `times` in a round: a processor foresees where a loop ends
    if its rounds are few."""
    if times > 1:
        whole = builder.add(begin, builder.mul(builder.sdiv(builder.sub(end, begin), integer(times)), integer(times)))
        with each(builder, begin, whole, times) as first:
            for i in range(times):
                step(builder.add(first, integer(i)))
        begin = whole
    with each(builder, begin, end) as index:
        step(index)
