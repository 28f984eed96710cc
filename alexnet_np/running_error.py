"""Running error analysis: a definition's true result, and how far rounding may take it in a working precision.

The definition runs on objects that carry two numbers: the value, with 32 decimal digits, and the standard deviation of
the error that rounding leaves in it. Every operation passes the deviations of its operands on by its derivatives and
adds a rounding of its own, as an independent error:

    z = f(x, y)        σ_z² = (∂f/∂x · σ_x)² + (∂f/∂y · σ_y)² + z²        in unit roundoffs u of the working precision

So a tolerance made of σ follows from the formula and the data alone: not from the instruction set, nor from the luck of
one draw, nor from a wider float, which some platforms do not have.

Source: Higham, Accuracy and Stability of Numerical Algorithms (2002), §3.3, with the probabilistic view of his §2.8.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from math import hypot
from typing import Any, NamedTuple

import numpy as np

from .backend import Array

DIGITS = 32
OF_FUNCTIONS = 2.0  # u beside the rounding: e^x, log and powers are good to the last place or so, not to half of it


class Estimate(NamedTuple):
    """A true result as value + rest, two arrays of float64, and the largest σ among its elements, in roundoffs u."""

    value: Array
    rest: Array
    deviation: float


def _rounded(value: Decimal, *deviations: float) -> "Tracked":
    return Tracked(value, hypot(float(value), *deviations))


def _sum(x: "Tracked", y: "Tracked") -> "Tracked":
    return _rounded(x.value + y.value, x.deviation, y.deviation)


def _difference(x: "Tracked", y: "Tracked") -> "Tracked":
    return _rounded(x.value - y.value, x.deviation, y.deviation)


def _product(x: "Tracked", y: "Tracked") -> "Tracked":
    return _rounded(x.value * y.value, float(y) * x.deviation, float(x) * y.deviation)


def _quotient(x: "Tracked", y: "Tracked") -> "Tracked":
    z, divisor = x.value / y.value, float(y)
    return _rounded(z, x.deviation / divisor, float(z) / divisor * y.deviation)


Rule = Callable[["Tracked", "Tracked"], Any]


class Tracked:
    """A number with the deviation of its error, in units of u: an element of an array of objects."""

    __slots__ = ("deviation", "value")

    def __init__(self, value: Decimal, deviation: float = 0.0) -> None:
        self.value, self.deviation = value, deviation

    def __neg__(self) -> "Tracked":
        return Tracked(-self.value, self.deviation)

    def __pow__(self, power: float) -> "Tracked":
        """power is a constant of the formula, without an error: x², scale^(−β)."""
        derivative, value = power * float(self) ** (power - 1), self.value ** Decimal(power)
        return _rounded(value, derivative * self.deviation, 0.0 if power == 2 else OF_FUNCTIONS * float(value))

    def exp(self) -> "Tracked":
        """What np.exp asks its objects for."""
        value = self.value.exp()
        return _rounded(value, float(value) * self.deviation, OF_FUNCTIONS * float(value))

    def log(self) -> "Tracked":
        value = self.value.ln()
        return _rounded(value, self.deviation / float(self), OF_FUNCTIONS * float(value))

    def __float__(self) -> float:
        return float(self.value)

    def _with(rule: Rule) -> Any:  # type: ignore[misc]
        """rule(x, y) as a method of x; NumPy deals out the elements of an array y."""
        return lambda x, y: NotImplemented if isinstance(y, np.ndarray) else rule(x, tracked(y))

    def _after(rule: Rule) -> Any:  # type: ignore[misc]
        return lambda x, y: NotImplemented if isinstance(y, np.ndarray) else rule(tracked(y), x)

    __add__, __radd__ = _with(_sum), _after(_sum)
    __sub__, __rsub__ = _with(_difference), _after(_difference)
    __mul__, __rmul__ = _with(_product), _after(_product)
    __truediv__ = _with(_quotient)
    __lt__, __le__ = _with(lambda x, y: x.value < y.value), _with(lambda x, y: x.value <= y.value)
    __gt__, __ge__ = _with(lambda x, y: x.value > y.value), _with(lambda x, y: x.value >= y.value)


def tracked(number: Any) -> Tracked:
    """The number as it is; a float of the formula, such as a learning rate, rounded to the working precision."""
    if isinstance(number, Tracked):
        return number
    if isinstance(number, float):
        return Tracked(Decimal(number), number)
    return Tracked(Decimal(int(number)))


_exactly: Callable[[Array], Array] = np.frompyfunc(lambda number: Tracked(Decimal(float(number))), 1, 1)
_tracked: Callable[[Array], Array] = np.frompyfunc(lambda number: tracked(number), 1, 1)
_rest: Callable[[Array], Array] = np.frompyfunc(lambda number: float(number.value - Decimal(float(number))), 1, 1)
_deviation: Callable[[Array], Array] = np.frompyfunc(lambda number: number.deviation, 1, 1)


@contextmanager
def many_digits() -> Iterator[None]:
    """What overflows is infinite, and what is undefined NaN, as in floats."""
    with localcontext(Context(prec=DIGITS)) as context:
        for condition in (DivisionByZero, InvalidOperation, Overflow):
            context.traps[condition] = False
        yield


def track(array: Array) -> Array:
    """An array of objects with the floats as they are, without an error yet."""
    return np.asarray(_exactly(array), object)


def estimate(array: Array) -> Estimate:
    """What a definition made of tracked arrays."""
    array = np.asarray(array, object if isinstance(array, Tracked) else None)
    if array.dtype != object:
        return exact(array)
    array = np.asarray(_tracked(array), object)
    rest, deviation = (np.asarray(part(array), np.float64) for part in (_rest, _deviation))
    return Estimate(array.astype(np.float64), rest, float(deviation.max(initial=0)))


def exact(array: Array) -> Estimate:
    """An array in which nothing was rounded."""
    return Estimate(array, np.zeros(array.shape), 0.0)
