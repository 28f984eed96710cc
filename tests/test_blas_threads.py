"""BLAS has the number of threads that was chosen, or one inside a part, whichever thread asks; and forks beside it."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import alexnet_np as anp
from alexnet_np.dispatch import OPS
from alexnet_np.parallel import one_thread_in_blas, share


@pytest.fixture(autouse=True)
def number() -> Iterator[None]:
    before = anp.threads()
    yield
    anp.set_threads(before)


def blas() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def here(work: Callable[[], Any]) -> Any:
    return work()


def elsewhere(work: Callable[[], Any]) -> Any:
    """In a thread of its own, as a web server, a GUI or an executor would."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("first", [here, elsewhere])
@pytest.mark.parametrize("then", [here, elsewhere])
def test_any_thread_chooses(first: Any, then: Any) -> None:
    def limited() -> set[int]:
        with one_thread_in_blas(), one_thread_in_blas():
            return blas()

    first(lambda: anp.set_threads(3))
    for n in (2, 3):
        then(lambda n=n: anp.set_threads(n))
        assert here(blas) == elsewhere(blas) == {n}
        assert then(limited) == {1}
        assert blas() == {n}


@pytest.mark.parametrize("where", [here, elsewhere])
@pytest.mark.parametrize(("op", "key"), [("conv2d", "cpu_numba/columns"), ("linear", "cpu_numba")])
def test_parts_have_one_thread(op: str, key: str, where: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    anp.set_threads(2)
    kernels = {name: key for name in (op, f"{op}_backward_data", f"{op}_backward_weights")}
    seen = []

    def watched(n: int, body: Any, **keywords: Any) -> None:
        def part(lo: int, hi: int) -> None:
            seen.append(frozenset(blas()))
            body(lo, hi)

        share(n, part, **keywords)

    monkeypatch.setattr(sys.modules[OPS[op].find(key).body.__module__], "share", watched)
    layer = anp.layers.Conv2d(8, 16, 3, seed=0) if op == "conv2d" else anp.layers.Linear(600, 800, seed=0)
    x = np.random.default_rng(0).standard_normal((40, 8, 20, 20) if op == "conv2d" else (40, 600)).astype(np.float32)

    def step() -> None:
        with anp.use(**kernels):
            layer.backward(layer.forward(x, train=True))

    where(step)
    assert len(seen) >= 2 * len(kernels) and set(seen) == {frozenset({1})}
    assert blas() == {2}


def test_every_thread_gets_the_same_bits() -> None:
    """Layers whose products BLAS would divide among threads, forward and back, and a plan."""
    random = np.random.default_rng(0)
    x, labels = random.standard_normal((32, 3, 32, 32), dtype=np.float32), random.integers(0, 10, 32)

    def results() -> bytes:
        model, planned = (anp.alexnet("cifar", num_classes=10) for _ in range(2))
        y = model.forward(x, train=True, logits=True)
        dx = model.backward(y)
        losses = [anp.Plan(planned, x.shape).step(x, labels) for _ in range(2)]
        grads = [layer.grads[name] for layer in model.values() for name in layer.grads]
        return b"".join(np.asarray(a).tobytes() for a in (y, dx, losses, *grads))

    anp.set_threads(2)
    assert len({here(results), elsewhere(results), elsewhere(results), here(results)}) == 1


FORKS = """
import os, threading, numpy as np, alexnet_np as anp
anp.set_threads(2)
x = np.random.default_rng(0).standard_normal((4, 3, 32, 32), dtype=np.float32)
mine, others = (anp.alexnet("cifar", num_classes=10) for _ in range(2))
expected, stop, steps = mine.forward(x), threading.Event(), []

def compute():
    while not stop.is_set():
        steps.append(np.array_equal(others.forward(x), expected))

thread = threading.Thread(target=compute)
thread.start()
for _ in range(20):
    if not (child := os.fork()):
        os._exit(not np.array_equal(mine.forward(x), expected))
    assert os.waitpid(child, 0)[1] == 0
    done = len(steps)
    while len(steps) < done + 2:
        os.sched_yield()
stop.set()
thread.join()
assert all(steps) and np.array_equal(mine.forward(x), expected)
print("no hang")
"""


def python(code: str) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout.strip()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@needs_fork
def test_forks_beside_a_thread_that_computes() -> None:
    """The children compute, so does the thread that goes on, and so does the parent afterwards."""
    assert python(FORKS) == "no hang"


@needs_fork
def test_a_child_of_a_fork_inside_a_block_has_all_threads() -> None:
    code = (
        "import os, alexnet_np as anp; from alexnet_np.parallel import one_thread_in_blas\n"
        "from threadpoolctl import threadpool_info; anp.set_threads(2)\n"
        "def blas(): return {each['num_threads'] for each in threadpool_info()}\n"
        "with one_thread_in_blas():\n"
        "    if not (child := os.fork()): print(blas(), flush=True); os._exit(0)\n"
        "    os.waitpid(child, 0); print(blas(), flush=True)\n"
        "print(blas())"
    )
    assert python(code).split("\n") == ["{2}", "{1}", "{2}"]


def test_a_copy_that_is_loaded_inside_a_block() -> None:
    """As where one thread computes while another loads the first kernel that calls SciPy's."""
    code = (
        "import alexnet_np as anp; from alexnet_np.parallel import one_thread_in_blas\n"
        "from threadpoolctl import threadpool_info; anp.set_threads(3)\n"
        "def blas(): return [each['num_threads'] for each in threadpool_info()]\n"
        "with one_thread_in_blas(): before = blas(); import alexnet_np.kernels.blas; print(before, blas())\n"
        "print(blas())"
    )
    assert python(code).split("\n") == ["[1] [1, 1]", "[3, 3]"]


OPENMP = r"""
#include <omp.h>
extern "C" {
int openblas_get_parallel() { return 2; }
const char *openblas_get_config() { return "OpenBLAS 0.3.30 USE_OPENMP"; }
const char *openblas_get_corename() { return "none"; }
int openblas_get_num_threads() { return omp_get_max_threads(); }
void openblas_set_num_threads(int n) { omp_set_num_threads(n); }
int omp_number() { return omp_get_max_threads(); }
}
"""


def test_a_copy_of_which_each_thread_has_its_own_number(tmp_path: Path) -> None:
    """OpenBLAS on OpenMP: the caller's part, the workers' and the caller afterwards."""
    if not (compiler := shutil.which("g++")):
        pytest.skip("g++ is not installed")
    source, file = tmp_path / "openmp.cpp", tmp_path / "libopenblas_openmp.so"
    source.write_text(OPENMP)
    subprocess.run([compiler, "-shared", "-fPIC", "-fopenmp", source, "-o", file], check=True)
    code = (
        "import sys, ctypes, threading; binary = ctypes.CDLL(sys.argv[1])\n"
        "import alexnet_np as anp; from alexnet_np.parallel import one_thread_in_blas, share\n"
        "anp.set_threads(3); share(3, lambda lo, hi: None); barrier = threading.Barrier(3); seen = []\n"
        "def part(lo, hi): barrier.wait(60); seen.append(binary.omp_number())\n"
        "def work():\n"
        "    before = binary.omp_number()\n"
        "    with one_thread_in_blas():\n"
        "        with one_thread_in_blas(): share(3, part)\n"
        "        seen.append(binary.omp_number())\n"
        "    assert binary.omp_number() == before\n"
        "work(); print(binary.omp_number(), seen)\n"
        "binary.openblas_set_num_threads(1); thread = threading.Thread(target=work); thread.start(); thread.join()\n"
        "print(seen)"
    )
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.splitlines() == ["3 [1, 1, 1, 1]", "[1, 1, 1, 1, 1, 1, 1, 1]"]
