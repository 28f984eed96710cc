"""The arena: what is in use at the same time lies apart, little room is lost, nothing is read before it is written."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from planned import Twins, state, variant

import alexnet_np as anp
from alexnet_np.plan.arena import ALIGN, GUARD, Arena, Buffer

ROOM = 1.2  # times what is in use at the busiest moment


def touching(arena: Arena) -> list[tuple[Buffer, Buffer]]:
    """Pairs that are in use at the same time and lie closer than the guard between them."""
    pairs = []
    for i, one in enumerate(arena.buffers):
        for other in arena.buffers[:i]:
            apart = one.offset + one.nbytes + GUARD <= other.offset or other.offset + other.nbytes + GUARD <= one.offset
            assert one.first is not None and other.first is not None
            if not apart and max(one.first, other.first) <= min(one.last, other.last):
                pairs.append((one, other))
    return pairs


def busiest(arena: Arena) -> int:
    """The most bytes that are in use at a moment."""
    moments = {b.first for b in arena.buffers}
    return max(sum(b.nbytes for b in arena.buffers if (b.first or 0) <= m <= b.last) for m in moments if m is not None)


@pytest.mark.parametrize("seed", range(20))
def test_random_lifetimes(seed: int) -> None:
    random, arena = np.random.default_rng(seed), Arena()
    for i in range(int(random.integers(1, 60))):
        shape = tuple(int(2 ** random.uniform(0, 6)) for _ in range(random.integers(0, 4)))
        made = arena.buffer(f"{i}", shape, random.choice([np.uint8, np.float32, np.float64]))
        view = made.view("view", (made.nbytes // made.dtype.itemsize,))
        for moment in random.integers(0, 30, random.integers(1, 4)):
            random.choice(np.array([made, view], object)).touch(int(moment))
    arena.lay_out()
    assert not touching(arena) and arena.nbytes >= busiest(arena)
    arena.allocate()
    for moment in range(30):
        alive = [b for b in arena.buffers if (b.first or 0) <= moment <= b.last]
        for number, buffer in enumerate(alive):
            buffer.array[...] = number
        for number, buffer in enumerate(alive):
            assert (buffer.array == number).all() and buffer.array.shape == buffer.shape
            assert buffer.address % ALIGN == 0 and buffer.address == buffer.array.ctypes.data
            (view,) = buffer.views
            assert view.address == buffer.address and view.array.shape == view.shape


def test_a_buffer_that_nobody_touches() -> None:
    arena = Arena()
    arena.buffer("lost", (3,), np.float32)
    with pytest.raises(ValueError, match="the buffer lost is never used"):
        arena.lay_out()


@pytest.mark.parametrize("batch", [1, 128])
@pytest.mark.parametrize("name", anp.VARIANTS)
def test_little_room_is_lost_in_a_network(name: str, batch: int) -> None:
    """The whole variant on its own images; nothing is allocated for that but narrow hidden layers."""
    model = variant(name, np.float32, side=anp.VARIANTS[name].input_shape[1])
    assert model.input_shape
    arena = anp.Plan(model, (batch, *model.input_shape)).schedule.arena
    assert not touching(arena)
    assert busiest(arena) <= arena.nbytes <= ROOM * busiest(arena) + len(arena.buffers) * (ALIGN + GUARD)


def spoiling(arena: Arena) -> Callable[[int], None]:
    """Before each moment of a step, every byte that then holds nothing of use becomes a part of a NaN.

    So a stage that reads what it did not say it touches, or what nobody wrote, or beyond a buffer, gives NaN.
    """

    def spoil(moment: int) -> None:
        block = arena.buffers[0].array
        while block.base is not None:
            block = block.base
        useless = np.ones(block.nbytes, bool)
        for buffer in arena.buffers:
            assert buffer.first is not None
            if buffer.first < moment <= buffer.last:
                start = buffer.address - block.ctypes.data
                useless[start : start + buffer.nbytes] = False
        block[useless] = 255

    return spoil


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("caffenet", np.float32), *((name, d) for name in ("mini", "cifar", "fashion") for d in (np.float32, np.float64))],
)
def test_stages_touch_only_what_they_say(name: str, dtype: Any) -> None:
    def results(spoiled: bool) -> list[Any]:
        twins = Twins(lambda: variant(name, dtype), batch=3)
        if spoiled:
            schedule = twins.plan.schedule
            schedule.arena.allocate()
            last = len(schedule.stages)
            spoil = spoiling(schedule.arena)

            def before(moment: int, run: Any) -> Any:
                def body(*args: Any, **options: Any) -> Any:
                    spoil(moment)
                    return run(*args, **options)

                return body

            for i, stage in enumerate(schedule.stages):
                stage.forward, stage.backward = before(i, stage.forward), before(2 * last - i, stage.backward)  # type: ignore[method-assign]
            schedule.loss = before(last, schedule.loss)
        losses = [twins.plan.step(*twins.batch()) for _ in range(2)]
        return [losses, *state(twins.model, twins.plan.sgd).values()]

    for found, expected in zip(results(True), results(False), strict=True):
        np.testing.assert_array_equal(found, expected)
