"""`jit`: how kernels are compiled, and what a user sees of it.

Compiled functions hold no lock (nogil), so that `share` can run them in several threads, and stay on the disk. Each
takes in the functions that it calls: one that several share would be linked from whichever was loaded first, and two
compilations of the same sum round differently. So what a kernel gives does not depend on what ran before it. Numbers
may be added in another order and multiplied by a reciprocal, which is what vector code needs. But NaN and infinity stay
what they are: no flag may promise that there are none, since ReLU and pooling pass them on.
"""

from collections.abc import Callable
from functools import partial
from inspect import getfile
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numba import njit
from numba.core import event

from .stored import Stored, say

FLAGS = {"contract", "reassoc", "nsz", "arcp"}
unsigned = (
    np.uintp
)  # of an index: one that may be negative is looked at each time, and a loop of them is no vector code
LEAST = 1 << 15  # elements that are worth a thread
LEAST_MOVED = 1 << 19  # where no more is done with each than to move it: as long as it takes to wake a thread
PAUSE = 10  # seconds without compiling, after which it is said once more


def jit(function: Callable[..., Any], flags: Any = FLAGS) -> Any:
    """The function, compiled at its first call for each set of argument types; kept if a file has its source."""
    compiled = njit(nogil=True, error_model="numpy", fastmath=flags, forceinline=True)(function)
    if Path(getfile(function)).is_file():
        compiled._cache = Stored(function)
    return compiled


jit_in_order = partial(jit, flags=False)  # sums are added as they are written, and −0 is kept


class _Announcement(event.Listener):  # type: ignore[misc]
    """Says that functions of ours are being compiled; those that come from the disk say nothing."""

    last = -float(PAUSE)

    def on_start(self, event: Any) -> None:
        if isinstance(getattr(event.data["dispatcher"], "_cache", None), Stored) and monotonic() - self.last >= PAUSE:
            say("compiling kernels, which takes a while")
        self.last = monotonic()

    def on_end(self, event: Any) -> None:
        self.last = monotonic()


event.register("numba:compile", _Announcement())
