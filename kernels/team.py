"""`parallel_for`: `share` in compiled code, for work that takes no longer than Python takes to hand it over.

To hand a Python function to a thread that sleeps takes 50 µs, and 170 when the caches are cold. So workers stay awake
for a moment when they have done something, in compiled code and without Python's lock, and look for a job there; it
reaches them in a microsecond. Turns of it are dealt out, so one that comes late, or never, only does less:

    @jit
    def scale(lo, hi, x, y): ...

    @jit
    def scale_all(members, x, y):
        parallel_for(members, len(x), scale, (x, y))

    scale_all(team(len(x), least), x, y)
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
from alexnet_np.parallel import TURNS, free_threads, wake

from .atomics import add, offer, read, swap, write
from .compiled import jit
from .together import LINE, until
from .vector import INT

AWAKE = 16  # times as much must be worth a thread that sleeps as one that is awake
LOOKS = 1 << 11  # of a worker that has nothing to do, before it sleeps: for a millisecond

# What the threads tell each other, each in a line of the cache of its own: places in `_state`.
BUSY = 0  # whether a call has the team
OPEN = LINE  # the number of the job that may be joined, or 0
TURN = 2 * LINE  # turns of it that were taken
INSIDE = 3 * LINE  # workers that have joined
AWAY = 4 * LINE  # workers' failures
LISTENING = 5 * LINE  # workers that are awake
CALLED = 6 * LINE  # how often those were called back to Python
JOB = 7 * LINE  # the job itself, written before it is open: its number, what it calls, with what, on how many items
NUMBER, FUNCTION, ARGUMENTS, ITEMS, THREADS = range(JOB, JOB + 5)

ALONE = np.zeros(8 * LINE, np.int64)  # a team of the caller, who needs none
_state = np.zeros(8 * LINE, np.int64)


def team(n: int, least: int) -> Array:
    """Who may take part in `parallel_for` over n items. least: so many are worth waking a thread that sleeps."""
    others = free_threads() - 1
    if not others or n < 2 * least / AWAKE:
        return ALONE
    _state[THREADS] = others + 1
    if n >= 2 * least and _state[LISTENING] < others:
        wake(others)
    return _state


@jit
def parallel_for(members, n, body, arguments):  # type: ignore[no-untyped-def]
    """body(lo, hi, *arguments) over contiguous parts of range(n), which the members take in turns.

    members: what `team` gave. body: compiled; it may raise nothing but what tells of a mistake in it. A team that works
    for another caller is not waited for.
    """
    at = members.ctypes.data
    if members[THREADS] <= 1 or swap(at + 8 * BUSY, 1) != 0:
        body(0, n, *arguments)
        return
    function, room = outlined(body, arguments)
    members[NUMBER] += 1
    members[FUNCTION], members[ARGUMENTS], members[ITEMS] = function, room, n
    members[TURN], members[AWAY] = 0, 0
    write(at + 8 * OPEN, members[NUMBER])
    failures = _take_turns(members)
    write(at + 8 * OPEN, 0)
    _until(at + 8 * INSIDE, 0)  # whoever has not come by now does not come any more
    failures += members[AWAY]
    write(at + 8 * BUSY, 0)
    if failures:
        raise RuntimeError("a part of the work failed in compiled code")


@jit
def _take_turns(state):  # type: ignore[no-untyped-def]
    """Do the job's turns until there are no more; how many failed."""
    at, n, failures = state.ctypes.data, state[ITEMS], 0
    some = max(1, n // (TURNS * state[THREADS]))
    lo = add(at + 8 * TURN, 1) * some
    while lo < n:
        failures += _call(state[FUNCTION], state[ARGUMENTS], lo, min(n, lo + some))
        lo = add(at + 8 * TURN, 1) * some
    return failures


@jit
def _listen(state, called, ended):  # type: ignore[no-untyped-def]
    """Say that a job has ended. Then take part in what is open, until nothing was for a while or a call to Python came
    after so many."""
    at, last, left = state.ctypes.data, 0, LOOKS
    write(ended.ctypes.data, 1)
    add(at + 8 * LISTENING, 1)
    while left > 0 and read(at + 8 * CALLED) == called:
        job = read(at + 8 * OPEN)
        if job != 0 and job != last:
            last, left = job, LOOKS
            before = add(at + 8 * INSIDE, 1)
            if read(at + 8 * OPEN) == job and before < state[THREADS] - 1:
                failures = _take_turns(state)
                if failures:
                    add(at + 8 * AWAY, failures)
            add(at + 8 * INSIDE, -1)
        offer()
        left -= 1
    add(at + 8 * LISTENING, -1)


@intrinsic
def outlined(typing: Any, body: Any, arguments: Any) -> Any:
    """body(·, ·, *arguments) as a function of two int64s: the addresses of its code and of a copy of the arguments,
    which lasts as long as the caller."""
    inner = body.get_call_type(typing, (types.int64, types.int64, *arguments.types), {})

    def generate(context: Any, builder: Any, _: Any, given: Any) -> Any:
        packed = given[1]
        function = ir.Function(builder.module, _kind(context), builder.module.get_unique_name("part"))
        function.linkage = "internal"
        own = ir.IRBuilder(function.append_basic_block())
        address, lo, hi = function.args[2:]
        unpacked = cgutils.unpack_tuple(own, own.load(own.inttoptr(address, packed.type.as_pointer())))
        call = context.get_function(body, inner)
        call(own, [lo, hi, *unpacked])
        context.add_linking_libs(getattr(call, "libs", ()))
        context.call_conv.return_value(own, context.get_dummy_value())
        room = cgutils.alloca_once_value(builder, packed)
        return cgutils.pack_array(builder, [builder.ptrtoint(place, INT) for place in (function, room)])

    return types.UniTuple(types.int64, 2)(body, arguments), generate


@intrinsic
def _call(_: Any, function: Any, arguments: Any, lo: Any, hi: Any) -> Any:
    """Call what was outlined; whether it failed, 1 or 0."""

    def generate(context: Any, builder: Any, _: Any, given: Any) -> Any:
        kind = _kind(context)
        results = [cgutils.alloca_once(builder, place.pointee) for place in kind.args[:2]]
        status = builder.call(builder.inttoptr(given[0], kind.as_pointer()), [*results, *given[1:]])
        return builder.zext(builder.icmp_signed("!=", status, status.type(0)), INT)

    return types.int64(*[types.int64] * 4), generate


def _kind(context: Any) -> Any:
    """The type of what is outlined: a function of Numba's, of three int64s."""
    return context.call_conv.get_function_type(types.none, (types.int64,) * 3)


@intrinsic
def _until(_: Any, address: Any, number: Any) -> Any:
    """Go on when the int64 there is this number."""

    def generate(context: Any, builder: Any, _: Any, given: Any) -> Any:
        until(builder, given[0], lambda here: builder.icmp_signed("==", here, given[1]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@jit
def until_all(ended):  # type: ignore[no-untyped-def]
    """Go on when every one of these int64s is 1."""
    for i in range(len(ended)):
        _until(ended.ctypes.data + 8 * i, 1)


def listen(no_job: Callable[[], bool], ended: Array) -> None:
    """What a worker does when its job has ended, which it says once it does not hold Python's lock any more: the caller
    would sleep until it gets that, and wake up on the worker's CPU.

    A job that is given after the question whether there is one, is called for after the count was read.
    """
    called = int(_state[CALLED])
    if no_job():
        _listen(_state, called, ended)
    else:
        ended[0] = 1


def call_back() -> None:
    _state[CALLED] += 1


def _after_fork() -> None:
    """A child process has nobody who listens, and perhaps a job that nobody ends."""
    _state[:] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
