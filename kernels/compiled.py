"""`jit`: how kernels are compiled, and what a user sees of it.

Compiled functions hold no lock (nogil), so that `share` can run them in several threads, and stay on the disk. Each
takes in the functions that it calls: one that several share would be linked from whichever was loaded first, and two
compilations of the same sum round differently. So what a kernel gives does not depend on what ran before it. Numbers
may be added in another order and multiplied by a reciprocal, which is what vector code needs. But NaN and infinity stay
what they are: no flag may promise that there are none, since ReLU and pooling pass them on.
"""

import pickle
import sys
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numba.core import event
from numba.core.caching import IndexDataCacheFile

from .vector import REGISTER_BYTES

FLAGS = {"contract", "reassoc", "nsz", "arcp"}
unsigned = (
    np.uintp
)  # of an index: one that may be negative is looked at each time, and a loop of them is no vector code
LEAST = 1 << 15  # elements that are worth a thread
LEAST_MOVED = 1 << 19  # where no more is done with each than to move it: as long as it takes to wake a thread
HERE = Path(__file__).parent
ON_GPU = "cuda", "emulator"  # folders, of which nothing is compiled here


def jit(function: Callable[..., Any], flags: Any = FLAGS) -> Any:
    """The function, compiled at its first call for each set of argument types."""
    compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=flags, forceinline=True)(function)
    files = getattr(compiled._cache, "_cache_file", None)
    if files is not None:
        compiled._cache._cache_file = _Stored(files)
    return compiled


jit_in_order = partial(jit, flags=False)  # sums are added as they are written, and −0 is kept


class _Stored(IndexDataCacheFile):  # type: ignore[misc]
    """Compiled functions on the disk, one file for each set of argument types.

    Numba's own keeps an index, which two processes that compile at the same time spoil for each other; and it looks at
    the source of the function alone, while others of other files are compiled into it.
    """

    def __init__(self, numbas: IndexDataCacheFile) -> None:
        self.__dict__.update(vars(numbas))
        self._stamp = self._version, self._source_stamp, _sources()

    def save(self, key: Any, data: Any) -> None:
        with self._open_for_write(self._path(key)) as file:
            pickle.dump(self._stamp, file)
            file.write(self._dump(data))

    def load(self, key: Any) -> Any:
        """What was saved of these sources. Of others, it may name modules that are no more: the stamp is read first."""
        try:
            with Path(self._path(key)).open("rb") as file:
                return pickle.load(file) if pickle.load(file) == self._stamp else None
        except FileNotFoundError:
            return None

    def _path(self, key: Any) -> str:
        number = int(sha256(repr((key, REGISTER_BYTES)).encode()).hexdigest()[:15], 16)
        return str(Path(self._data_path(self._data_name_pattern.format(number=number))).with_suffix(".kernel"))


@cache
def _sources() -> str:
    """What the source texts of all kernels for the CPU come to in one number."""
    files = (f for f in HERE.rglob("*.py") if not f.name.startswith(("gpu_", "numba_")) and f.parent.name not in ON_GPU)
    return sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


class _Announcement(event.Listener):  # type: ignore[misc]
    """Says once that kernels are being compiled; kernels that come from the disk say nothing."""

    made = False

    def on_start(self, event: Any) -> None:
        if not self.made and event.data["dispatcher"].py_func.__module__.startswith("alexnet_np.kernels."):
            self.made = True
            print("compiling kernels; they are kept for the next time", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcement())
