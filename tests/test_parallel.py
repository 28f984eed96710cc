"""One number of threads for BLAS and for compiled kernels, and work shared between them."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import alexnet_np as anp
from alexnet_np.kernels.together import Barrier, turn, wait
from alexnet_np.parallel import deal, one_thread_in_blas, share, together


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def number() -> Iterator[None]:
    before = anp.threads()
    yield
    anp.set_threads(before)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_one_number_for_everything(n: int) -> None:
    anp.set_threads(n)
    assert anp.threads() == n and blas_threads() == {n}


@pytest.mark.parametrize("n", [0, -1, 1.0, True, "2", None])
def test_what_is_no_number_of_threads(n: object) -> None:
    with pytest.raises(ValueError, match=f"threads must be a positive int, got {n!r}"):
        anp.set_threads(n)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [1, 2, 5, 100])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_parts_cover_the_range_once(n: int, length: int) -> None:
    anp.set_threads(n)
    seen = np.zeros(length, int)
    parts = []

    def body(lo: int, hi: int) -> None:
        seen[lo:hi] += 1
        parts.append((lo, hi, threading.current_thread().name))

    share(length, body)
    assert (seen == 1).all()
    assert len({name for *_, name in parts}) <= len(parts) == min(n, length)
    assert threading.current_thread().name in {name for lo, _, name in parts if lo == 0}


def test_small_work_is_not_shared() -> None:
    anp.set_threads(4)
    parts = []
    share(100, lambda lo, hi: parts.append((lo, hi)), least=40)
    assert sorted(parts) == [(0, 60), (60, 100)]  # the first begins before the others
    share(39, lambda lo, hi: parts.append((lo, hi)), least=40)
    assert parts[-1] == (0, 39)


def test_inside_a_part_nothing_is_shared() -> None:
    anp.set_threads(2)
    seen = []
    share(2, lambda lo, hi: share(10, lambda *part: seen.append(part)))
    assert seen == [(0, 10)] * 2


def test_numpys_error_state_holds_in_every_part() -> None:
    anp.set_threads(2)
    seen = []
    with np.errstate(divide="raise"):
        share(2, lambda lo, hi: seen.append(np.geterr()["divide"]))
    assert seen == ["raise", "raise"]


@pytest.mark.parametrize("failing", [0, 1])
def test_an_exception_is_raised_when_all_parts_have_ended(failing: int) -> None:
    anp.set_threads(2)
    ended, other_failed = [], threading.Event()

    def body(lo: int, hi: int) -> None:
        if lo == failing:
            other_failed.set()
            raise KeyError("this part")
        assert other_failed.wait(60)
        ended.append(lo)

    with pytest.raises(KeyError, match="this part"), one_thread_in_blas():
        share(2, body)
    assert ended == [1 - failing] and blas_threads() == {2}
    share(2, lambda lo, hi: ended.append(lo))  # the workers are still there
    assert sorted(ended[1:]) == [0, 1]


def test_a_worker_that_cannot_wait_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as where what it compiles cannot be kept: the caller is told, and does not wait for ever."""
    anp.set_threads(2)

    def listen(no_job: object, ended: object) -> None:
        raise OSError("no space left")

    share(2, lambda lo, hi: None)
    monkeypatch.setattr("alexnet_np.kernels.team.listen", listen)
    for _ in range(3):
        with pytest.raises(OSError, match="no space left"):
            share(2, lambda lo, hi: None)
    monkeypatch.undo()
    share(2, lambda lo, hi: None)


def test_two_callers_at_a_time() -> None:
    """Each waits for its own parts, and BLAS gets its threads back after the last block."""
    anp.set_threads(2)
    totals = [np.zeros(1000, int) for _ in range(4)]

    def call(total: np.ndarray) -> None:
        for _ in range(50):
            with one_thread_in_blas():
                share(1000, lambda lo, hi: np.add(total[lo:hi], 1, out=total[lo:hi]))

    callers = [threading.Thread(target=call, args=(total,)) for total in totals]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all((total == 50).all() for total in totals) and blas_threads() == {2}


def test_a_choice_while_work_is_shared_holds_afterwards() -> None:
    anp.set_threads(2)
    with one_thread_in_blas():
        share(2, lambda lo, hi: anp.set_threads(3) if lo == 0 else None)
        assert blas_threads() == {1}
    assert anp.threads() == 3 and blas_threads() == {3}


def python(code: str, **environment: str) -> str:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", **environment}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_environment_chooses() -> None:
    code = "import alexnet_np as anp; print(anp.threads())"
    assert python(code, ALEXNET_THREADS="3") == "3"
    assert int(python(code, ALEXNET_THREADS="")) >= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_after_a_fork() -> None:
    """The child has none of the parent's workers, and makes its own."""
    code = (
        "import os; from alexnet_np.parallel import share; import alexnet_np as anp; anp.set_threads(2)\n"
        "share(2, lambda lo, hi: None)\n"
        "if child := os.fork(): raise SystemExit(os.waitpid(child, 0)[1])\n"
        "share(2, lambda lo, hi: None); print('shared', flush=True); os._exit(0)"
    )
    assert python(code, PYTHONWARNINGS="ignore") == "shared"


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", "²"])
def test_a_bad_environment(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr("alexnet_np.parallel._chosen", None)
    monkeypatch.setenv("ALEXNET_THREADS", value)
    with pytest.raises(ValueError, match=f"ALEXNET_THREADS must be a positive int, got '{value}'"):
        anp.threads()
    monkeypatch.undo()


def test_all_at_once() -> None:
    """Each part in a thread of its own, while all the others run."""
    anp.set_threads(3)
    barrier, seen = threading.Barrier(3), []

    def body(part: int, parts: int) -> None:
        barrier.wait(timeout=60)
        seen.append((part, parts))

    together(body, lambda: None)
    assert sorted(seen) == [(part, 3) for part in range(3)]
    share(2, lambda lo, hi: together(lambda part, parts: seen.append((part, parts)), lambda: None))
    assert seen[3:] == [(0, 1)] * 2, "inside a part there are no others"


@pytest.mark.parametrize("failing", range(3))
def test_nobody_waits_for_a_part_that_fails(failing: int) -> None:
    """In compiled code, from which nothing else would bring the others back."""
    anp.set_threads(3)
    barrier, arrived = Barrier(), []

    def body(part: int, parts: int) -> None:
        wait(barrier.state, parts)
        if part == failing:
            raise KeyboardInterrupt(str(part))
        for _ in range(2):
            wait(barrier.state, parts)
        arrived.append(part)

    with pytest.raises(KeyboardInterrupt, match=str(failing)):
        together(body, barrier.give_up)
    assert sorted(arrived) == [part for part in range(3) if part != failing]


def test_callers_that_share_workers_do_not_block_each_other() -> None:
    """Four at once, with parts that wait for each other, and two workers for all of them."""
    anp.set_threads(3)
    counts = np.zeros(4, int)

    def caller(number: int) -> None:
        barrier, alone = Barrier(), threading.Lock()

        def body(part: int, parts: int) -> None:
            for _ in range(5):
                wait(barrier.state, parts)
                with alone:
                    counts[number] += 1

        for _ in range(20):
            barrier.reset()
            together(body, barrier.give_up)

    callers = [threading.Thread(target=caller, args=(number,)) for number in range(4)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert counts.tolist() == [300] * 4


def test_a_barrier_lets_nobody_pass_early() -> None:
    anp.set_threads(3)
    barrier, count = Barrier(), np.zeros(3, int)

    def body(part: int, parts: int) -> None:
        for step in range(200):
            assert count.min() >= step and count.max() <= step + 1
            wait(barrier.state, parts)
            count[part] += 1
            wait(barrier.state, parts)

    together(body, barrier.give_up)
    assert count.tolist() == [200] * 3


@pytest.mark.parametrize(("n", "least"), [(0, 1), (1, 1), (7, 3), (100, 1), (1000, 900)])
def test_turns_cover_each_range_once(n: int, least: int) -> None:
    """Of loop after loop, where no wait divides two that count apart."""
    anp.set_threads(3)
    barrier = Barrier()
    taken: dict[tuple[int, int], list[tuple[int, int]]] = {(loop, of): [] for loop in range(20) for of in range(2)}

    def body(part: int, parts: int) -> None:
        for (_, counter), some in taken.items():
            lo, hi = turn(barrier.state, counter, part, parts, n, least)
            while lo < hi:
                some.append((lo, hi))
                lo, hi = turn(barrier.state, counter, part, parts, n, least)
            if counter:
                wait(barrier.state, parts)

    together(body, barrier.give_up)
    for some in taken.values():
        assert [i for lo, hi in sorted(some) for i in range(lo, hi)] == list(range(n))


def test_who_is_kept_from_a_turn_leaves_the_others_to_the_rest() -> None:
    anp.set_threads(2)
    barrier, done, all_others = Barrier(), [], threading.Event()

    def work(lo: int, hi: int) -> None:
        if lo == 0:
            assert all_others.wait(timeout=60)
        done.extend(range(lo, hi))
        if len(done) == 70:
            all_others.set()

    def body(part: int, parts: int) -> None:
        lo, hi = turn(barrier.state, 0, part, parts, 80, 10)
        while lo < hi:
            work(lo, hi)
            lo, hi = turn(barrier.state, 0, part, parts, 80, 10)

    for run in (lambda: together(body, barrier.give_up), lambda: deal(80, work, least=10)):
        run()
        assert sorted(done) == list(range(80))
        done.clear()
        all_others.clear()


def test_a_part_that_fails_leaves_no_turn_outside_the_range() -> None:
    anp.set_threads(2)
    barrier, seen = Barrier(), []

    def body(part: int, parts: int) -> None:
        for _ in range(5):
            lo, hi = turn(barrier.state, 0, part, parts, 10, 1)
            while lo < hi:
                if part:
                    raise MemoryError("no room")
                seen.append((lo, hi))
                lo, hi = turn(barrier.state, 0, part, parts, 10, 1)
            wait(barrier.state, parts)

    with pytest.raises(MemoryError, match="no room"):
        together(body, barrier.give_up)
    assert all(0 <= lo < hi <= 10 for lo, hi in seen)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be kept off a CPU here")
def test_workers_keep_off_the_callers_cpu() -> None:
    """A caller that may use one CPU only: its workers may use the others, and where there is none, the same."""
    anp.set_threads(2)
    share(2, lambda lo, hi: None)
    cpus, used = os.sched_getaffinity(0), {}

    def body(lo: int, hi: int) -> None:
        if lo:
            used[cpu] = os.sched_getaffinity(0)

    try:
        for cpu in sorted(cpus):
            os.sched_setaffinity(0, {cpu})
            share(2, body)
    finally:
        os.sched_setaffinity(0, cpus)
    assert used == {cpu: cpus - {cpu} or cpus for cpu in cpus}
