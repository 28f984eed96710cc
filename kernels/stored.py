"""Compiled functions on the disk: one file for each set of argument types, and what is done where none can be written.

Numba's own cache keeps an index, which two processes that compile at the same time spoil for each other; it looks at
the source of the function alone, while others of other files are compiled into it; it refuses to compile at all where
it finds no folder to write to; and it takes a damaged file for what it was.

A file is looked for beside the source, as in an image of a container, then in the user's cache; NUMBA_CACHE_DIR is
looked in alone where it is set. What is new goes to the first of these that takes it, else it stays in memory.
"""

import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha1, sha256
from inspect import getfile
from pathlib import Path
from pickle import loads
from typing import Any
from uuid import uuid4

import numba
from numba.core import config
from numba.core.caching import FunctionCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from .vector import REGISTER_BYTES

HERE = Path(__file__).parent
ON_GPU = "cuda", "emulator"  # folders, of which nothing is compiled here
_told: list[str] = []  # that functions cannot be kept: once is enough


class Stored(FunctionCache):  # type: ignore[misc]
    """What Numba asks for a function's compiled code, and gives it to.

    A file is two digests, of all sources and of what follows, and that: nothing is unpickled before both are right.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name, self._py_func = repr(function), function
        source = Path(getfile(function))
        self._places = places(source.resolve().parent)
        self._cache_path = str(self._places[0])
        self._stem = f"{source.stem}.{function.__qualname__}-{function.__code__.co_firstlineno}"
        self._stem += f".{sys.implementation.cache_tag}".translate({ord(c): None for c in "<>"})
        self._stamp = sha256(f"{numba.__version__} {_sources()}".encode() + source.read_bytes()).digest()
        self.enable()

    def _load_overload(self, signature: Any, target: Any) -> Any:
        name = self._file(self._index_key(signature, target.codegen()))
        for place in self._places if self._enabled else []:
            try:
                kept = (place / name).read_bytes()
            except OSError:  # it is not there, or not ours to read
                continue
            if kept.startswith(self._stamp + sha256(kept[64:]).digest()):
                return CompileResult._rebuild(target, *loads(kept[64:]))
        return None

    def _save_overload(self, signature: Any, made: Any) -> None:
        key = self._index_key(signature, made.codegen)
        # What holds or names addresses of this process, as of a function among the arguments, is of no use to the next.
        if not self._enabled or made.lifted or made.library.has_dynamic_globals or " at 0x" in repr(key):
            return
        name, data = self._file(key), dumps(made._reduce())
        whole, refused = self._stamp + sha256(data).digest() + data, []
        for place in self._places:
            try:
                _write(place / name, whole)
                return
            except OSError as error:
                refused.append(f"{place}: {error.strerror}")
        if not _told:
            _told.append("; ".join(refused) or "there is no home folder")
            say(f"compiled kernels stay in memory ({_told[0]}); NUMBA_CACHE_DIR may name a folder for them")

    def _file(self, key: Any) -> str:
        return f"{self._stem}.{sha256(repr((key, REGISTER_BYTES)).encode()).hexdigest()[:15]}.kernel"


def places(folder: Path) -> list[Path]:
    """Folders that may hold what was compiled of sources in `folder`, the first first."""
    name = f"{folder.name}_{sha1(str(folder).encode(), usedforsecurity=False).hexdigest()}"
    if config.CACHE_DIR:
        return [Path(config.CACHE_DIR) / name]
    users = Path(AppDirs("numba", appauthor=False).user_cache_dir)
    return [folder / "__pycache__", *([users / name] if users.is_absolute() else [])]  # "~/…" for who has no home


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _write(path: Path, data: bytes) -> None:
    """The file whole or not at all. Raises OSError."""
    partial = path.with_name(f"{path.name}.{uuid4().hex[:16]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@cache
def _sources() -> str:
    """What the source texts of all kernels for the CPU come to in one number."""
    files = (f for f in HERE.rglob("*.py") if not f.name.startswith(("gpu_", "numba_")) and f.parent.name not in ON_GPU)
    return sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()
