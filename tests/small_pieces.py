"""Kernels made to go through small arrays in many pieces, as they go through large ones in several."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import alexnet_np as anp
from alexnet_np.dispatch import OPS
from alexnet_np.kernels import chunks


@contextmanager
def small_pieces(threads: int) -> Iterator[None]:
    """Everything small that any kernel's module declares (`small_in_tests`), and so many threads."""
    anp.load_kernels()
    before = anp.threads()
    patches = [patch.multiple(sys.modules[module], **sizes) for module, sizes in chunks.SMALL.items()]
    try:
        for each in patches:
            each.start()
        anp.set_threads(threads)
        _workspaces_change()
        yield
    finally:
        for each in patches:
            each.stop()
        anp.set_threads(before)
        _workspaces_change()


def _workspaces_change() -> None:
    """They are as large as the pieces."""
    for op in OPS.values():
        op.changed()
