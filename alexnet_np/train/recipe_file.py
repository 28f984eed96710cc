"""Recipes as TOML files: the named ones beside this file, and a user's own.

A file holds what differs from the defaults of `Recipe`, key by key; `text` writes every key, for a file that gives the
same run again. What is None is left out, since TOML has no word for it.
"""

import json
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

from .recipe import Recipe
from .typed import typed

FOLDER = Path(__file__).parent / "recipes"
LONGEST = 50_000  # bytes of a recipe, which has a fiftieth; a key of 100,000 parts takes all memory


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
        if path.stat().st_size > LONGEST:
            raise ValueError(f"it has more than {LONGEST:,} bytes")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (
        ValueError,
        RecursionError,
    ) as error:  # of TOML, of UTF-8, or a whole number of more digits than Python reads
        raise ValueError(f"{path} is not TOML: {error}") from None
    try:
        return from_dict({"name": path.stem, **content})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def from_dict(content: dict[str, Any]) -> Recipe:
    """A recipe from keys and values. Raises ValueError for an unknown key, or a value that is not of the key's type."""
    return Recipe(**typed(content, get_type_hints(Recipe)))


def text(recipe: Recipe) -> str:
    """Every key of the recipe as TOML."""
    return "".join(f"{key} = {_written(value)}\n" for key, value in asdict(recipe).items() if value is not None)


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    # JSON's strings, numbers, true and false are TOML's, but for the one control character that JSON leaves alone.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
