"""`exponential`: e^x for x ≤ 0, of which the compiler makes vector code where it stands in a loop.

Numba's math.exp calls the C library for each element, unless a library of Intel's is there. Here, with n the integer
nearest to x / ln 2 and r = x − n · ln 2, so that |r| ≤ ½ ln 2,

    e^x = 2ⁿ · e^r   and   e^r = Σ r^k / k!,

as far as terms matter. ln 2 is two numbers, so that r keeps all its digits. n is read from the last bits of
x / ln 2 + 1.5 · 2^digits, a number without room for a fraction, and 2ⁿ is made by shifting it to a float's exponent.
What is made is 2^lift as large, and is brought down at the end: so what is below the least normal number is rounded
once, and no exponent is negative.

Source: Cody, Waite, Software manual for the elementary functions (1980), chapter 6.
"""

from math import factorial, log
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LN2 = log(2), 2.3190468138462996e-17  # as float64, and what that lacks


class Format(NamedTuple):
    """digits: of a fraction, in bits. bias: of an exponent. terms: of the sum after 1. zero: where e^x has become 0."""

    dtype: Any
    bits: int
    digits: int
    bias: int
    terms: int
    lift: int
    zero: float


FORMATS = {
    types.float32: Format(np.float32, 32, 23, 127, 7, 64, -104),
    types.float64: Format(np.float64, 64, 52, 1023, 13, 512, -746),
}


@intrinsic
def exponential(_: Any, x: Any) -> Any:
    """e^x for x ≤ 0 in float32 or float64, within a unit of the last place. It is 0 for −∞, and NaN stays."""
    form = FORMATS[x]

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        (x,) = arguments
        kind, integers = x.type, ir.IntType(form.bits)
        name = f"llvm.fma.{kind.intrinsic_name}"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)

        def number(value: float) -> Any:
            return ir.Constant(kind, float(form.dtype(value)))

        upper = float(form.dtype(LN2[0]))
        lower = LN2[0] - upper + LN2[1]
        x = builder.select(builder.fcmp_ordered("<", x, number(form.zero)), number(form.zero), x)
        whole = number(1.5 * 2**form.digits)
        shifted = builder.call(fma, [x, number(1 / LN2[0]), whole])
        n = builder.fsub(shifted, whole)
        r = builder.call(fma, [n, number(-upper), x])
        r = builder.call(fma, [n, number(-lower), r])
        total = number(1 / factorial(form.terms))
        for k in reversed(range(form.terms)):
            total = builder.call(fma, [total, r, number(1 / factorial(k))])
        exponent = builder.add(builder.bitcast(shifted, integers), ir.Constant(integers, form.bias + form.lift))
        power = builder.bitcast(builder.shl(exponent, ir.Constant(integers, form.digits)), kind)
        return builder.fmul(builder.fmul(total, power), number(2.0**-form.lift))

    return x(x), generate
