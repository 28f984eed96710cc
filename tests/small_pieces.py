"""Kernels made to go through small arrays in many pieces, as they go through large ones in several."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import alexnet_np as anp
from alexnet_np.dispatch import OPS
from alexnet_np.kernels import chunks


def ways(module: str) -> list[str | None]:
    """What is made small, one after the other: everything, then each size of a module that has several.

    Of loops one in the other, the inner has a single piece while the outer's are the smallest.
    """
    sizes = chunks.SMALL.get(module, {})
    return [None, *sizes] if len(sizes) > 1 else [None]


@contextmanager
def small_pieces(threads: int, alone: str | None = None) -> Iterator[None]:
    """Everything small that any kernel's module declares (`small_in_tests`), or what has one name; so many threads."""
    anp.load_kernels()
    before = anp.threads()
    with ExitStack() as patched:
        for module, sizes in chunks.SMALL.items():
            some = {name: size for name, size in sizes.items() if alone in (None, name)}
            if some:
                patched.enter_context(patch.multiple(sys.modules[module], **some))
        anp.set_threads(threads)
        _workspaces_change()
        try:
            yield
        finally:
            anp.set_threads(before)
    _workspaces_change()


def _workspaces_change() -> None:
    """They are as large as the pieces."""
    for op in OPS.values():
        op.changed()
