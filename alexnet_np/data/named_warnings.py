"""Pillow's warnings, with the name of the file that they are about.

Pillow says "Truncated File Read" of whichever file it reads. `warnings.catch_warnings` would collect that, but it
changes the filters of every thread, and images are decoded in several. So in Pillow's modules the name `warnings`
stands for an object that puts the file's name in front, and a filter of Pillow's loggers does the same. What reads
images outside of `about` sees no difference.
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from PIL import Image

_file: ContextVar[str | None] = ContextVar("file", default=None)


@contextmanager
def about(name: str) -> Iterator[None]:
    """What Pillow warns of inside, in this thread, is about the file `name`."""
    _into_pillow()
    token = _file.set(name)
    try:
        yield
    finally:
        _file.reset(token)


class _Named:
    """The module `warnings`, as Pillow's modules see it."""

    def __getattr__(self, attribute: str) -> Any:
        return getattr(warnings, attribute)

    def warn(self, message: Any, category: Any = None, stacklevel: int = 1, source: Any = None) -> None:
        if (name := _file.get()) is None:
            warnings.warn(message, category, stacklevel + 1, source)
        elif category is not Image.DecompressionBombWarning:  # `decode` has a limit of its own
            warnings.warn(f"{name}: {message}", category, stacklevel + 1, source)


def _in_front(record: logging.LogRecord) -> bool:
    if name := _file.get():
        record.msg, record.args = f"{name}: {record.getMessage()}", ()
    return True


@cache
def _into_pillow() -> None:
    """Load Pillow's formats, all of them, and let them warn through us."""
    Image.init()
    named = _Named()
    for module in [module for name, module in sys.modules.items() if name.partition(".")[0] == "PIL"]:
        if getattr(module, "warnings", None) is warnings:
            module.warnings = named  # type: ignore[attr-defined]
        if isinstance(logger := getattr(module, "logger", None), logging.Logger):
            logger.addFilter(_in_front)
