"""How many threads each copy of BLAS has: NumPy's, SciPy's, ...

Any thread may choose. threadpoolctl finds the copies, but from 3.8 on it sets OpenBLAS's number only in the first
thread that asks. In all others each part of a `share` would have its products on all threads: many times slower, and
divided in another way, so with other bits. So OpenBLAS's own function is called.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from threading import RLock
from typing import Any, NamedTuple

from threadpoolctl import ThreadpoolController


class Copy(NamedTuple):
    """A copy of BLAS in this process."""

    library: Any  # threadpoolctl's controller
    choose: Callable[[int], object]
    by_thread: bool  # whether each thread has a number of its own, as where OpenMP makes the threads


Numbers = list[tuple[Copy, int]]

_lock = RLock()  # of all that follows; a fork takes it, so that a child never finds OpenBLAS in the middle of a choice
_copies: list[Copy] | None = None
_chosen: int | None = None  # threads of every copy, once somebody has said so
_limiting = 0  # blocks of `one_thread_in_blas` that run now
_before: Numbers = []  # what the copies had before these


def copies() -> list[Copy]:
    """The copies of BLAS in this process."""
    global _copies
    if _copies is None:
        _copies = [_copy(library) for library in ThreadpoolController().select(user_api="blas").lib_controllers]
    return _copies


def _copy(library: Any) -> Copy:
    if library.internal_api != "openblas":
        return Copy(library, library.set_num_threads, False)
    if library.threading_layer == "openmp":
        return Copy(library, library.set_num_threads, True)
    affixes = product(("", "scipy_"), ("", "64_", "_64"))
    names = (f"{before}openblas_set_num_threads{behind}" for before, behind in affixes)
    return Copy(library, next(getattr(library.dynlib, name) for name in names if hasattr(library.dynlib, name)), False)


def set_all(n: int) -> None:
    """Every copy has n threads: from now on, or when the blocks of `one_thread_in_blas` that run now have ended."""
    global _chosen, _copies
    with _lock:
        _chosen = n
        if _limiting:
            _before[:] = [(copy, n) for copy, _ in _before]
        else:
            _copies = None  # Numba, too, loads a copy: when it compiles for the first time
            _choose([(copy, n) for copy in copies()])


def loaded() -> None:
    """To be called after another copy of BLAS was loaded: it has as many threads as the others."""
    global _copies
    with _lock:
        known = {copy.library.filepath for copy in copies()}
        _copies = None
        if _limiting:
            new = [copy for copy in copies() if copy.library.filepath not in known and not copy.by_thread]
            _before.extend(_one_each(new))
        if _chosen is not None:
            set_all(_chosen)


@contextmanager
def one_thread_in_blas() -> Iterator[None]:
    """BLAS computes in the thread that calls it, inside the block: for parts of a `share` that call it.

    Its own threads divide a product as they please, and spin for a while after it, on cores that our threads want. To
    tell every copy of BLAS takes a few microseconds, so work without products does not ask for it.
    """
    global _limiting
    with _lock:
        if not _limiting:
            _before[:] = _one_each(copy for copy in copies() if not copy.by_thread)
        _limiting += 1
    own = _one_each(copy for copy in copies() if copy.by_thread)
    try:
        yield
    finally:
        _choose(own)
        with _lock:
            _limiting -= 1
            if not _limiting:
                _choose(_before)


def inside_a_part() -> None:
    """To be called in a worker's thread: one thread for copies of which each thread has a number of its own."""
    if _limiting:
        _one_each(copy for copy in copies() if copy.by_thread)


def _one_each(some: Iterable[Copy]) -> Numbers:
    """One thread for some copies; what they had."""
    before = [(copy, int(copy.library.num_threads)) for copy in some]
    _choose([(copy, 1) for copy, _ in before])
    return before


def _choose(numbers: Numbers) -> None:
    for copy, number in numbers:
        copy.choose(number)


def _after_fork() -> None:
    """A child has none of the threads whose blocks ran."""
    global _lock, _limiting
    _lock = RLock()
    if _limiting:
        _limiting = 0
        _choose(_before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _lock.acquire(), after_in_parent=lambda: _lock.release(), after_in_child=_after_fork
    )
