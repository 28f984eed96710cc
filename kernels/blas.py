"""Matrix products by BLAS from inside compiled code, where no interpreter can be asked for one.

SciPy says where in memory its BLAS has sgemm and dgemm; LLVM gets these addresses under names, so that compiled code
that calls them can be kept on the disk.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

from alexnet_np import blas_threads

from .compiled import jit

for name in ("sgemm", "dgemm"):
    llvm.add_symbol(f"alexnet_np_{name}", get_cython_function_address("scipy.linalg.cython_blas", name))
blas_threads.loaded()

INT = ir.IntType(32)


@jit
def gemm(a, a_transposed, b, b_transposed, c, add):  # type: ignore[no-untyped-def]
    """C = A·B, or C += A·B where `add`, with A or B transposed first; rows contiguous, no shape is checked."""
    (m, n), k = c.shape, a.shape[0] if a_transposed else a.shape[1]
    # BLAS counts along columns. What it takes for the columns are our rows: it is given Cᵀ = Bᵀ·Aᵀ.
    _gemm(b_transposed, a_transposed, n, m, k, b, a, c, add)


@intrinsic
def _gemm(
    _: Any, b_transposed: Any, a_transposed: Any, n: Any, m: Any, k: Any, b: Any, a: Any, c: Any, add: Any
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *transposed, n, m, k, b, a, c, add = arguments
        single = c_type.dtype == types.float32
        number = ir.FloatType() if single else ir.DoubleType()

        def place(value: Any) -> Any:
            return cgutils.alloca_once_value(builder, value)

        def flag(value: Any) -> Any:
            n_or_t = (ir.Constant(ir.IntType(8), ord(letter)) for letter in "TN")
            return place(builder.select(cgutils.is_not_null(builder, value), *n_or_t))

        def count(value: Any) -> Any:
            return place(builder.trunc(value, INT))

        def matrix(kind: Any, value: Any) -> tuple[Any, Any]:
            """Its address, and the elements from one row to the next."""
            array = context.make_array(kind)(context, builder, value)
            rows = cgutils.unpack_tuple(builder, array.strides)[0]
            bytes_ = ir.Constant(rows.type, 4 if single else 8)
            return array.data, place(builder.trunc(builder.sdiv(rows, bytes_), INT))

        one, zero = ir.Constant(number, 1), ir.Constant(number, 0)
        beta = place(builder.select(cgutils.is_not_null(builder, add), one, zero))
        sizes = [*map(flag, transposed), *map(count, (n, m, k))]
        parts = [*sizes, place(one), *matrix(b_type, b), *matrix(a_type, a), beta, *matrix(c_type, c)]
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer] * 13)
        name = f"alexnet_np_{'s' if single else 'd'}gemm"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        builder.call(function, [builder.bitcast(part, pointer) for part in parts])
        return context.get_dummy_value()

    a_type, b_type, c_type = a, b, c
    return types.void(b_transposed, a_transposed, n, m, k, b, a, c, add), generate
