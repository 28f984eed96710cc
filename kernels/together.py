"""A barrier for threads that go through the phases of one piece of work side by side, in compiled code; and `turn`,
which deals them the work of a phase.

To `share` each phase would wake a thread each time, which takes longer than many a phase of a single image. The threads
that wait compute nothing useful, but only for as long as the others are behind. After a while they offer their CPU to
whoever else wants it; after a long while they sleep, so that what keeps another from its CPU can move to this one.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from alexnet_np.backend import Array
from alexnet_np.parallel import TURNS, threads

from .atomics import WORD, add, call_c, change, look, offer_cpu
from .compiled import jit
from .vector import integer

COUNTERS = 2
LINE = 8  # int64s: what threads look at all the time has a line of the cache to itself
GIVEN_UP = 1 << 62  # arrivals: more than there will ever be
PATIENCE, LONG = 1 << 12, 1 << 11  # looks before a CPU is offered, and offers, of half a microsecond, before sleep
NAP = 50  # microseconds


class Barrier:
    """`state` is what compiled code gets: [0] counts arrivals, [LINE] is for the threads to raise a flag in; the rest
    counts the turns that were taken, and from where each thread counts them."""

    def __init__(self) -> None:
        self.state: Array = np.zeros(0, np.int64)
        self.reset()

    def reset(self) -> None:
        """To be called before all that goes by it: for as many threads as there are now, and none has arrived."""
        size = (2 + COUNTERS + threads()) * LINE
        if self.state.size < size:
            self.state = np.zeros(size, np.int64)
        self.state[:] = 0

    @property
    def flag(self) -> bool:
        """Whether a thread has raised it."""
        return bool(self.state[LINE])

    def give_up(self) -> None:
        """Let all go on: one of the threads will not arrive."""
        self.state[0] = GIVEN_UP


@jit
def wait(state, parts):  # type: ignore[no-untyped-def]
    """Go on when all of so many threads have come here."""
    _arrive(state.ctypes.data, parts)


@jit
def turn(state, counter, part, parts, n, least):  # type: ignore[no-untyped-def]
    """What this part is to do next of range(n), as (begin, end): each asks for a turn when it is done with one.

    So a thread that something keeps from its CPU does less. (0, 0): there is no more; one asks no further. least: the
    smallest turn. counter: which of COUNTERS; of two loops that no `wait` divides, each needs one of its own, since
    another part may still be in the first.
    """
    some = max(least, n // (TURNS * parts))
    number, base = (n + some - 1) // some, (2 + COUNTERS + part) * LINE + counter
    mine = add(state.ctypes.data + (2 + counter) * LINE * 8, 1) - state[base]
    if 0 <= mine < number:  # below 0 only if a part has failed, which then asks for no more
        return mine * some, min(n, (mine + 1) * some)
    state[base] += number + parts  # each part has asked for one more than there were
    return 0, 0


@jit
def share_of(n, part, parts):  # type: ignore[no-untyped-def]
    """Where this part of range(n) begins and ends."""
    return n * part // parts, n * (part + 1) // parts


@intrinsic
def _arrive(_: Any, address: Any, parts: Any) -> Any:
    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        address, parts = arguments
        before = change(builder, "add", address, integer(1))
        full = builder.mul(builder.add(builder.sdiv(before, parts), integer(1)), parts)
        full = builder.select(builder.icmp_signed(">=", before, integer(GIVEN_UP)), integer(0), full)
        until(builder, address, lambda here: builder.icmp_signed(">=", here, full))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def until(builder: Any, address: Any, reached: Callable[[Any], Any]) -> None:
    """For generators: go on when what other threads do to the int64 there is enough for `reached`."""
    looks = cgutils.alloca_once_value(builder, integer(0))
    again, wait, done = (builder.append_basic_block(name) for name in ("again", "wait", "done"))
    builder.branch(again)
    builder.position_at_end(again)
    builder.cbranch(reached(look(builder, address)), done, wait)
    builder.position_at_end(wait)
    seen = builder.add(builder.load(looks), integer(1))
    builder.store(seen, looks)
    if os.name == "posix":
        with builder.if_then(builder.icmp_signed(">", seen, integer(PATIENCE)), likely=False):
            late = builder.icmp_signed(">", seen, integer(PATIENCE + LONG))
            with builder.if_else(late) as (sleep, offer):
                with sleep:
                    call_c(builder, "usleep", ir.Constant(WORD, NAP))
                with offer:
                    offer_cpu(builder)
    builder.branch(again)
    builder.position_at_end(done)
