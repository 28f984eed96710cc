"""Values as TOML and JSON hold them, brought to the types of a dataclass's fields."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", dict: "a table"}


def typed(content: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """Every value as its key's type has it: a list as a tuple, a whole number as a float where a float is wanted.

    Raises ValueError for an unknown key, and for a value that is not of the key's type.
    """
    if unknown := [key for key in content if key not in types]:
        raise ValueError(f"unknown key {unknown[0]!r}; the keys are {', '.join(types)}")
    return {key: _typed(key, value, types[key]) for key, value in content.items()}


def _typed(key: str, value: Any, kind: Any) -> Any:
    if get_origin(kind) is UnionType:
        if value is None:
            return None
        kind = next(k for k in get_args(kind) if k is not NoneType)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{key} must be one of {', '.join(get_args(kind))}, got {shown(value)}")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{key} must be a list, got {shown(value)}")
        return tuple(_typed(key, item, get_args(kind)[0]) for item in value)
    kind = get_origin(kind) or kind
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{key} must be {WORDS[kind]}, got {shown(value)}")
    try:
        return kind(value)
    except OverflowError:
        raise ValueError(f"{key} must be a number below 1e308, got {shown(value)}") from None


def shown(value: Any) -> str:
    """A value for a message: its beginning, where it is long."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return f"a number of {value.bit_length() * 0.30103:,.0f} digits"  # log10 2 digits for each bit
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
