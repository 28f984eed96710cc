"""Where the worker threads run: not on the CPU of the thread that gives them work.

Linux may wake a thread on the CPU of the one that wakes it although another is idle, most of all after a pause. Both
parts of the work are then done one after the other, until the kernel moves a thread after some milliseconds: longer
than a prediction takes. So before work is shared, the workers are told to keep off the caller's CPU.
"""

import ctypes
import os
from collections.abc import Callable


def _find_cpu() -> Callable[[], int] | None:
    """The C library's sched_getcpu; None on a system that has no such function or fixes no thread to CPUs."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        return getattr(ctypes.PyDLL(None), "sched_getcpu", None)
    except (OSError, TypeError):  # the system does not show a process's own functions
        return None


_current_cpu = _find_cpu()


class Placement:
    """The CPUs that each worker may use, by the system's number of the thread."""

    def __init__(self) -> None:
        self._allowed: dict[int, set[int]] = {}
        self._avoided: int | None = None

    def add(self, worker: int | None) -> None:
        """A thread that has been started; it may use the CPUs that it may use now."""
        if _current_cpu is not None and worker is not None:
            self._allowed[worker] = os.sched_getaffinity(worker)
            self._avoided = None

    def keep_off_this_cpu(self) -> None:
        """Let the workers run anywhere but here; one that may run nowhere else stays free to."""
        if _current_cpu is None or (cpu := _current_cpu()) == self._avoided:
            return
        for worker, allowed in self._allowed.items():
            os.sched_setaffinity(worker, allowed - {cpu} or allowed)
        self._avoided = cpu
