"""Timing in turns: everything that is compared runs round by round in one process, in a new random order each time.

So a change in the machine's speed meets all of them, and none always runs after the same neighbour. Before each timed
call all threads that the last one left spinning have come to rest: OpenBLAS's spin for 100 to 300 ms, and PyTorch's
would have to share the cores with them. Then the caches are emptied, by reading other memory: a call finds its data in
memory. When our own threads sleep again, `before` wakes those of whose turn it is, as its last operation would have
done.
"""

import gc
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.parallel import share

LEAST, MOST = 5, 40  # rounds, where time decides
LEFT_BEHIND, PATIENCE = 3.0, 3  # what is so many times slower than the fastest ends after so many rounds
GLANCE, TICK = 16e-3, 4e-3  # seconds in which a thread that spins is seen, since its time is counted in ticks
DOZE = 5e-3  # seconds in which our threads fall asleep, which stay awake for a moment after the caches were emptied
MEGABYTE = 1 << 20


def in_turns(
    runs: dict[str, Callable[[], object]],
    *,
    seconds: float,
    rounds: int | None = None,
    always: tuple[str, ...] = (),
    apart: tuple[str, ...] = (),
    before: Callable[[str], object] | None = None,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Seconds of each call of each of `runs`, which are called in turns after one call to warm up.

    seconds: the time to spend; it may take longer, since there are at least LEAST rounds. rounds: so many instead.
    always: names of those that take part in every round, as the roofs do, however slow they are.
    apart: names of those that are left behind only by one another, as the peers are, not by the others.
    before: called with the name right before each call.
    """
    for run in runs.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    random, active, ends = np.random.default_rng(seed), list(runs), time.perf_counter() + seconds
    collects = gc.isenabled()
    gc.disable()
    try:
        for done in range(1, (rounds or MOST) + 1):
            for name in random.permutation(active):
                settle()
                empty_caches()
                time.sleep(DOZE)
                if before:
                    before(name)
                taken[name].append(timed(runs[name]))
            gc.collect()
            if rounds is None:
                if done >= LEAST and time.perf_counter() >= ends:
                    break
                if done == PATIENCE:
                    active = [name for name in runs if name in always or not _left_behind(name, taken, always, apart)]
    finally:
        if collects:
            gc.enable()
    return taken


def _left_behind(name: str, taken: dict[str, list[float]], always: tuple[str, ...], apart: tuple[str, ...]) -> bool:
    rivals = [t for other, t in taken.items() if other not in always and (other in apart) == (name in apart)]
    return float(np.median(taken[name])) > LEFT_BEHIND * min(float(np.median(t)) for t in rivals)


def timed(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def settle(longest: float = 1.0) -> None:
    """Wait until no thread of this process computes, at most so many seconds."""
    ends = time.perf_counter() + longest
    while time.perf_counter() < ends:
        began = time.process_time()
        time.sleep(GLANCE)
        if time.process_time() - began < TICK / 2:
            return


def last_level_cache() -> int:
    """Bytes of the largest cache that Linux tells of, else 32 MiB."""
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    units = {"K": 1 << 10, "M": MEGABYTE}
    found = [int(text[:-1]) * units[text[-1]] for path in sizes if (text := path.read_text().strip())[-1] in units]
    return max(found, default=32 * MEGABYTE)


@cache
def _elsewhere() -> Array:
    """Memory to read: twice the last cache, at most 512 MiB, where a host's large cache is shared by many guests."""
    bytes_ = min(2 * last_level_cache(), 512 * MEGABYTE)
    if given := os.environ.get("ALEXNET_BENCH_FLUSH_MB"):
        bytes_ = int(given) * MEGABYTE
    return np.ones(max(1, bytes_ // 8))


def empty_caches() -> None:
    """Read other memory with every thread, so that what was used last is in none of their caches.

    Only read: lines that were written would have to be brought back to memory while the next call is timed.
    """
    elsewhere = _elsewhere()
    share(len(elsewhere), lambda low, high: elsewhere[low:high].max())
