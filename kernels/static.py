"""Static: a value that compiled code knows while it is compiled.

A compiled function is made once for each type of its arguments. A Static's type holds its value, so that one function
serves every tile size and vector width, each with its own code, and the code can be kept on the disk (a closure over
such values could not).
"""

from functools import cached_property
from typing import Any

from numba import types
from numba.extending import NativeValue, models, register_model, unbox


class Static:
    """A constant for compiled functions: any hashable value, such as a tuple of ints."""

    def __init__(self, *value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"Static{self.value}"

    @cached_property
    def _numba_type_(self) -> "StaticType":
        """What Numba looks for in an argument whose class it does not know: a tenth of what asking `typeof` costs."""
        return StaticType(self.value)


class StaticType(types.Opaque):
    """The type of one Static; `value` is read by the functions that generate code."""

    def __init__(self, value: tuple[Any, ...]) -> None:
        self.value = value
        super().__init__(name=f"Static{value}")


register_model(StaticType)(models.OpaqueModel)


@unbox(StaticType)
def _(_type: Any, _object: Any, context: Any) -> NativeValue:
    return NativeValue(context.context.get_dummy_value())
