"""Numba's CUDA simulator with its races taken out, and without its polling.

In the simulator a block's threads are threads of the system. Two of them that come to `cuda.shared.array` at the same
time can get an array each, where there is one on a GPU; and its main thread looks again and again whether all have come
to a barrier, while they wait for it to let go of the interpreter. Here whoever comes last lets the others go.
"""

import sys
from threading import Condition, Lock
from typing import Any

import numpy as np
from numba.core import types
from numba.cuda.simulator import kernel, kernelapi
from numba.np.numpy_support import as_dtype

_making = Lock()


def _array(self: Any, shape: Any, dtype: Any, alignment: Any = None) -> Any:
    """The array of the calling line, made by the first thread that comes there."""
    if shape == 0 or alignment is not None:
        raise NotImplementedError("dynamic or aligned shared memory")
    frame = sys._getframe(1)
    place = frame.f_code.co_filename, frame.f_lineno
    with _making:
        if place not in self._allocations:
            self._allocations[place] = np.empty(shape, as_dtype(dtype) if isinstance(dtype, types.Type) else dtype)
        return self._allocations[place]


def _run(self: Any, grid_point: Any, *args: Any) -> None:
    """The threads of a block; raises what the first of those that failed raised."""
    self.condition, self.waiting, self.turn, self.failed = Condition(), 0, 0, None
    points = list(np.ndindex(*self._block_dim))
    self.alive = len(points)

    def target() -> None:
        try:
            self._f(*args)
        except BaseException as error:
            self.failed = self.failed or error
            raise
        finally:
            with self.condition:
                self.alive -= 1
                _release(self)

    threads = [kernel.BlockThread(target, self, grid_point, point, self._debug) for point in points]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for thread in threads:
        if thread.exception and not isinstance(thread.exception[0], _Abandoned):
            raise thread.exception[0].with_traceback(thread.exception[1])


class _Abandoned(Exception):
    """A thread of whose block another one failed."""


def _syncthreads(self: Any) -> None:
    block = self._manager
    with block.condition:
        turn = block.turn
        block.waiting += 1
        _release(block)
        block.condition.wait_for(lambda: block.turn != turn or block.failed)
    if block.failed:
        raise _Abandoned("another thread of the block failed")


def _release(block: Any) -> None:
    """Let all go on where all who still run have come, or one has failed. The condition is held."""
    if block.failed or (block.waiting and block.waiting == block.alive):
        block.waiting, block.turn = 0, block.turn + 1
        block.condition.notify_all()


def install() -> None:
    """Put these in the place of the simulator's own."""
    kernelapi.FakeCUDAShared.array = _array
    kernel.BlockManager.run = _run
    kernel.BlockThread.syncthreads = _syncthreads
