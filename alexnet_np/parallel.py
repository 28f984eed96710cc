"""Threads: one number for BLAS and for our compiled kernels, and `share`, which splits a kernel's work between them.

The threads are Python's, and what they run is compiled code that holds no lock. They wait for each other in compiled
code too (kernels/team.py): callers until the parts have ended, workers for a millisecond before they sleep. Numba's own
threads are not used: they spin while they wait, on the cores where BLAS's want to run.
"""

import os
from collections.abc import Callable, Sequence
from contextvars import ContextVar, copy_context
from functools import cache, partial
from itertools import pairwise
from math import ceil
from queue import SimpleQueue
from threading import Lock, Thread
from time import sleep
from typing import Any, NamedTuple

import numpy as np

from . import blas_threads
from .backend import BACKENDS, Array
from .blas_threads import one_thread_in_blas as one_thread_in_blas
from .placement import Placement

Body = Callable[[int, int], Any]

TURNS = 4  # of each thread where turns are dealt, if all are as fast


class Job(NamedTuple):
    """What a worker does, and where it says so."""

    work: Callable[[], Any]
    ended: Array  # one int64, which is then 1
    failures: list[BaseException]


_lock = Lock()
_chosen: int | None = None
_jobs: SimpleQueue[Job] = SimpleQueue()
_in_a_row = Lock()  # of those who add to them
_workers = 0
_placement = Placement()
_inside: ContextVar[bool] = ContextVar("inside", default=False)


def threads() -> int:
    """How many threads a kernel may use: set_threads, else ALEXNET_THREADS, else the CPUs this process may run on.

    Raises ValueError for an ALEXNET_THREADS that is no positive int.
    """
    if _chosen is None:
        text = os.environ.get("ALEXNET_THREADS", "")
        if not text:
            _choose(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        elif text.isascii() and text.isdecimal() and int(text) >= 1:
            set_threads(int(text))
        else:
            raise ValueError(f"ALEXNET_THREADS must be a positive int, got {text!r}")
    assert _chosen is not None
    return _chosen


def set_threads(n: int) -> None:
    """Use n threads from now on: in our compiled kernels and in every copy of BLAS. Raises ValueError for n < 1."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"threads must be a positive int, got {n!r}")
    _choose(n)
    blas_threads.set_all(n)


def free_threads() -> int:
    """How many a kernel may use that is called here: 1 inside a part, where nothing is shared."""
    return 1 if _inside.get() else threads()


def share(n: int, body: Body, *, least: int = 1) -> None:
    """Run body(lo, hi) over contiguous parts of range(n), one for each thread, the first in the caller's.

    least: the smallest part that is worth a thread; the first is larger by half of it. A `share` inside a part runs
    there and then; parts that call BLAS are shared inside `one_thread_in_blas`. Returns when all parts have ended; what
    the first of those that failed raised is raised then.
    """
    parts = min(free_threads(), max(1, n // least))
    if parts <= 1:
        body(0, n)
        return
    head_start = least // 2  # of the caller's part: the others wait until they are woken
    bounds = [0, *((i * n + (parts - i) * head_start) // parts for i in range(1, parts + 1))]
    _run([partial(body, lo, hi) for lo, hi in pairwise(bounds)])


def together(body: Body, give_up: Callable[[], object]) -> None:
    """Run body(part, parts) for every part, each in a thread of its own and all at the same time.

    So the parts may wait for each other, in compiled code. give_up: called where a part fails, to let the others go on.
    Inside a part of another `share` there is one part. Raises what the first of those that failed raised.
    """
    parts = free_threads()

    def part(number: int) -> None:
        try:
            body(number, parts)
        except BaseException:
            give_up()
            raise

    if parts == 1:
        body(0, 1)
    else:
        _run([partial(part, number) for number in range(parts)], give_up)


def spread(n: int, body: Callable[[int, int], Any]) -> None:
    """Run body(worker, item) for every item of range(n); each thread takes the next item when it is done with one.

    worker: 0 … threads() − 1, never the same for two that run at once, to say whose scratch memory is used. For items
    that take long; raises what `share` raises.
    """
    items = iter(range(n))

    def work(lo: int, hi: int) -> None:
        for worker in range(lo, hi):
            for item in items:
                body(worker, item)

    share(min(threads(), n), work)


def deal(n: int, body: Body, *, least: int = 1) -> None:
    """Run body(lo, hi) over contiguous parts of range(n), some for each thread, which takes the next when it is done
    with one: for work that takes long, of which a thread that something keeps from its CPU should do less than another.

    least: the smallest part that is worth a thread. Raises what `share` raises.
    """
    some = max(least, n // (TURNS * threads()))
    spread(ceil(n / some), lambda _, turn: body(turn * some, min(n, (turn + 1) * some)))


def _run(parts: Sequence[Callable[[], Any]], give_up: Callable[[], object] | None = None) -> None:
    """The first part in the caller's thread, the others in workers, which take them in a row.

    So workers never have some parts of two calls that wait for the rest: those of one are all taken before the next's.
    """
    _hire(len(parts) - 1)
    _placement.keep_off_this_cpu()
    waiting, ended, given = _waiting(), np.zeros(len(parts), np.int64), 0
    failures: list[BaseException] = []
    try:
        with _in_a_row:
            for part in parts[1:]:
                _jobs.put(Job(partial(copy_context().run, _part, part), ended[given : given + 1], failures))
                given += 1
            waiting.call_back()
        copy_context().run(_part, parts[0])
    except BaseException:
        if give_up is not None:
            give_up()
        raise
    finally:
        waiting.until_all(ended[:given])
    if failures:
        raise failures[0]


def _part(part: Callable[[], Any]) -> None:
    _inside.set(True)
    blas_threads.inside_a_part()
    part()


def _work(jobs: SimpleQueue[Job]) -> None:
    while True:
        job = jobs.get()
        try:
            job.work()
        except BaseException as failure:
            job.failures.append(failure)
        ended, failures = job.ended, job.failures
        del job  # what it holds is not kept until the next one
        try:
            _waiting().listen(jobs.empty, ended)
        except BaseException as failure:  # as of a full disk, where what is compiled is kept: nobody waits for ever
            failures.append(failure)
            ended[0] = 1


@cache
def _waiting() -> Any:
    """How threads wait for each other, in compiled code: a thread that sleeps takes 50 µs to wake, and may do so on the
    CPU of the one that wakes it. Where nothing is compiled they sleep."""
    if BACKENDS["cpu_numba"].missing() is not None:
        return _Asleep
    from .kernels import team

    return team


class _Asleep:
    """kernels/team.py in plain Python."""

    @staticmethod
    def until_all(ended: Array) -> None:
        while not ended.all():
            sleep(1e-4)

    @staticmethod
    def listen(no_job: Callable[[], bool], ended: Array) -> None:
        ended[0] = 1

    @staticmethod
    def call_back() -> None:
        pass


def wake(count: int) -> None:
    """Have so many workers do nothing, and wait as after anything else."""
    _hire(count)
    _placement.keep_off_this_cpu()
    for _ in range(count):
        _jobs.put(Job(_nothing, np.zeros(1, np.int64), []))


def _nothing() -> None:
    pass


def _hire(count: int) -> None:
    """Have at least `count` workers waiting for jobs."""
    global _workers
    if _workers < count:
        with _lock:
            while _workers < count:
                worker = Thread(target=_work, args=(_jobs,), name=f"share-{_workers + 1}", daemon=True)
                worker.start()
                _placement.add(worker.native_id)
                _workers += 1


def _choose(n: int) -> None:
    global _chosen
    _chosen = n


def _after_fork() -> None:
    """A child process has none of the threads, and perhaps a lock that nobody will open."""
    global _lock, _in_a_row, _jobs, _workers, _placement
    _lock, _in_a_row, _jobs, _workers, _placement = Lock(), Lock(), SimpleQueue(), 0, Placement()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
