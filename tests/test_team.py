"""`parallel_for`: every item once, by whoever comes, and nobody waits for one who does not."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.kernels import team as place
from alexnet_np.kernels.atomics import add, offer, read
from alexnet_np.kernels.compiled import jit
from alexnet_np.kernels.team import ALONE, LISTENING, THREADS, parallel_for, team
from alexnet_np.parallel import share, wake

PATIENCE = 1 << 10  # looks for another thread


@pytest.fixture(autouse=True)
def number() -> Iterator[None]:
    before = anp.threads()
    yield
    anp.set_threads(before)


def somebody_listens() -> None:
    """Wake a worker, and wait until it is awake."""
    while not place._state[LISTENING]:
        wake(1)
        threading.Event().wait(0.0001)


def nobody_listens() -> None:
    while place._state[LISTENING]:
        threading.Event().wait(0.001)


@jit
def _count(lo, hi, counts, by):  # type: ignore[no-untyped-def]
    for i in range(lo, hi):
        counts[i] += by


@jit
def count(members, n, counts, by):  # type: ignore[no-untyped-def]
    parallel_for(members, n, _count, (counts, by))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 7, 100, 12345])
def test_every_item_once(threads: int, n: int) -> None:
    anp.set_threads(threads)
    counts = np.zeros(n + 1, np.int64)
    for _ in range(50):
        count(team(n, 1), n, counts, 2)
    assert counts.tolist() == [100] * n + [0]


@jit
def _meet(lo, hi, arrived, met):  # type: ignore[no-untyped-def]
    for i in range(lo, hi):
        add(arrived.ctypes.data, 1)
        for _ in range(PATIENCE):
            if read(arrived.ctypes.data) == 2:
                met[i] = 1
                break
            offer()


@jit
def meet(members, arrived, met):  # type: ignore[no-untyped-def]
    parallel_for(members, 2, _meet, (arrived, met))


def test_two_at_the_same_time() -> None:
    """Each of two items waits for a while whether the other begins; that of one thread has ended by then."""
    anp.set_threads(2)
    for _ in range(10000):
        arrived, met = np.zeros(1, np.int64), np.zeros(2, np.int64)
        meet(team(2, 1), arrived, met)
        assert arrived[0] == 2
        if met.all():
            return
    raise AssertionError("nobody came")


def test_who_does_not_come_is_not_waited_for() -> None:
    members, counts = np.zeros_like(ALONE), np.zeros(10, np.int64)
    members[THREADS] = 3
    for _ in range(3):
        count(members, 10, counts, 1)
    assert counts.tolist() == [3] * 10


def test_small_work_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    anp.set_threads(2)
    somebody_listens()
    nobody_listens()
    woken: list[int] = []
    monkeypatch.setattr(place, "wake", woken.append)
    assert team(1000, 1000) is place._state and not woken
    assert team(100, 1000) is ALONE
    assert team(2000, 1000) is place._state and woken == [1]
    anp.set_threads(1)
    assert team(10**9, 1) is ALONE


def test_inside_a_part_nothing_is_shared() -> None:
    anp.set_threads(2)
    found: list[bool] = []
    share(2, lambda lo, hi: found.append(team(10**9, 1) is ALONE))
    assert found == [True, True]


@jit
def _most(lo, hi, inside, most):  # type: ignore[no-untyped-def]
    for i in range(lo, hi):
        most[i] = add(inside.ctypes.data, 1) + 1
        for _ in range(100):
            offer()
        add(inside.ctypes.data, -1)


@jit
def most_at_once(members, inside, most):  # type: ignore[no-untyped-def]
    parallel_for(members, len(most), _most, (inside, most))


def test_no_more_threads_than_were_chosen() -> None:
    """Although more workers are awake, from when more were chosen."""
    anp.set_threads(4)
    share(4, lambda lo, hi: None)
    anp.set_threads(2)
    for _ in range(50):
        wake(3)
        most = np.zeros(64, np.int64)
        most_at_once(team(64, 1), np.zeros(1, np.int64), most)
        assert most.min() >= 1 and most.max() <= 2


@jit
def _fail(lo, hi, at, counts):  # type: ignore[no-untyped-def]
    for i in range(lo, hi):
        counts[i] += 1
    if lo <= at < hi:
        raise ValueError("a mistake")


@jit
def fail(members, at, counts):  # type: ignore[no-untyped-def]
    parallel_for(members, len(counts), _fail, (at, counts))


@pytest.mark.parametrize("at", [0, 50, 99])
def test_a_part_that_fails(at: int) -> None:
    """The others are done, the caller is told, and the team works on."""
    anp.set_threads(2)
    for _ in range(5):
        somebody_listens()
        counts = np.zeros(100, np.int64)
        with pytest.raises(RuntimeError, match="a part of the work failed in compiled code"):
            fail(team(100, 1), at, counts)
        assert counts.tolist() == [1] * 100
    fail(team(100, 1), -1, counts)
    with pytest.raises(ValueError, match="a mistake"):
        fail(ALONE, at, counts)


def test_callers_at_the_same_time() -> None:
    """One has the team; the others work alone, and each gets its own result."""
    anp.set_threads(3)
    totals = np.zeros((4, 1000), np.int64)

    def caller(row: int) -> None:
        for _ in range(300):
            count(team(1000, 1), 1000, totals[row], row + 1)

    callers = [threading.Thread(target=caller, args=(row,)) for row in range(4)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert (totals == 300 * np.arange(1, 5)[:, None]).all()


def test_work_of_python_and_compiled_work_in_turns() -> None:
    """A worker that listens comes back when Python calls it."""
    anp.set_threads(3)
    counts = np.zeros(300, np.int64)
    for _ in range(200):
        count(team(300, 1), 300, counts, 1)
        share(300, lambda lo, hi: np.add(counts[lo:hi], 1, out=counts[lo:hi]))
    assert counts.tolist() == [400] * 300


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_after_a_fork() -> None:
    """The child's team is its own, also if it was made while the parent's worked."""
    code = (
        "import os, time, numpy as np, alexnet_np as anp\n"
        "from alexnet_np.kernels import team as t; anp.set_threads(2)\n"
        "x = np.ones(1 << 21, np.float32); relu = lambda: anp.ops.relu(x).sum()\n"
        "relu(); t._state[t.BUSY] = t._state[t.LISTENING] = 1\n"
        "if child := os.fork(): raise SystemExit(os.waitpid(child, 0)[1])\n"
        "assert t._state[t.BUSY] == 0 and relu() == 1 << 21\n"
        "while not t._state[t.LISTENING]: t.wake(1); time.sleep(0.0001)\n"
        "print('woken', flush=True); os._exit(0)"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "woken"


@pytest.mark.parametrize("op", ["relu", "dropout", "softmax", "softmax_cross_entropy", "sgd_momentum_"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_change_nothing(op: str, dtype: type) -> None:
    random, found = np.random.default_rng(0), set()
    x, labels = random.standard_normal((301, 1001)).astype(dtype), random.integers(0, 1001, 301)
    g = random.standard_normal(x.shape).astype(dtype)
    for threads in (1, 2, 3):
        anp.set_threads(threads)
        share(threads, lambda lo, hi: None)
        w, v = x.copy(), g.copy()
        calls = {
            "relu": lambda: [ops.relu(x), ops.relu_backward(g, x)],
            "dropout": lambda: [ops.dropout(x, rate=0.3, key=(1, 2, 3))],
            "softmax": lambda: [ops.softmax(x), ops.softmax_backward(g, x)],
            "softmax_cross_entropy": lambda: [
                *ops.softmax_cross_entropy(x, labels),
                ops.softmax_cross_entropy_backward(x, labels),
            ],
            "sgd_momentum_": lambda w=w, v=v: [ops.sgd_momentum_(w, v, g, lr=0.1), w, v][1:],
        }
        with anp.use("cpu_numba"):
            found.add(b"".join(np.asarray(a).tobytes() for a in calls[op]()))
    assert len(found) == 1
