"""Recipes as TOML files: the named ones beside this file, and a user's own.

A file holds what differs from the defaults of `Recipe`, key by key; `text` writes every key, for a file that gives the
same run again. What is None is left out, since TOML has no word for it.
"""

import json
import tomllib
from dataclasses import asdict
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .recipe import Recipe

FOLDER = Path(__file__).parent / "recipes"


def names() -> list[str]:
    """The named recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(name: str) -> Recipe:
    """The recipe of that name, or in that file. Raises ValueError, with what exists, where there is none."""
    if name in names():
        return read(FOLDER / f"{name}.toml")
    if not Path(name).is_file():
        raise ValueError(f"there is no recipe {name!r}; give one of {', '.join(names())}, or a TOML file")
    return read(Path(name))


def read(path: Path) -> Recipe:
    """The recipe in a file. Raises ValueError, with the file's name, for what is no TOML or no recipe."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    try:
        return from_dict({"name": path.stem, **content})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def from_dict(content: dict[str, Any]) -> Recipe:
    """A recipe from keys and values. Raises ValueError for an unknown key, or a value that is not of the key's type."""
    types = get_type_hints(Recipe)
    if unknown := [key for key in content if key not in types]:
        raise ValueError(f"unknown key {unknown[0]!r}; the keys are {', '.join(types)}")
    return Recipe(**{key: _typed(key, value, types[key]) for key, value in content.items()})


def text(recipe: Recipe) -> str:
    """Every key of the recipe as TOML."""
    return "".join(f"{key} = {_written(value)}\n" for key, value in asdict(recipe).items() if value is not None)


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    # JSON's strings, numbers, true and false are TOML's, but for the one control character that JSON leaves alone.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _typed(key: str, value: Any, kind: Any) -> Any:
    """The value as the field has it: a list as a tuple, a whole number as a float where a float is wanted."""
    if get_origin(kind) is UnionType:
        if value is None:
            return None
        kind = next(k for k in get_args(kind) if k is not NoneType)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{key} must be one of {', '.join(get_args(kind))}, got {value!r}")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{key} must be a list, got {value!r}")
        return tuple(_typed(key, item, get_args(kind)[0]) for item in value)
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        word = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]
        raise ValueError(f"{key} must be {word}, got {value!r}")
    return kind(value)
