"""Kernels for the GPU: in the emulator and in Numba's simulator everywhere, and on the GPU where there is one."""

import os
import re
import subprocess
import sys
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np.backend import BACKENDS
from alexnet_np.conformance import accepted, brought, check_kernel, run, runnable
from alexnet_np.dispatch import OPS, NoKernel, Op
from alexnet_np.kernels.cuda import product
from alexnet_np.kernels.cuda.source import EVERY
from alexnet_np.kernels.emulator.build import build
from alexnet_np.kernels.emulator.launch import SEEDS, sanitized, seed
from alexnet_np.ops.cases import Case, cases, rounded
from alexnet_np.precision import accumulator, bfloat16, is_float, step
from alexnet_np.train.loop import train_step
from alexnet_np.train.optimizer import SGD

OPERATIONS = anp.load_kernels().values()
TYPES = (np.dtype(np.float32), np.dtype(np.float64), bfloat16())
SIMULATED_IN_FLOAT64 = 5000  # flop: the simulator is slow, and float64 differs by the type of the numbers only


def combinations(*backends: str) -> list[Any]:
    """Every kernel that one of the backends can run, with every dtype that it takes."""
    made = []
    for op in OPERATIONS:
        for key in runnable(op, *backends):
            for dtype in TYPES:
                if dtype.name in op.find(key).types:
                    made.append(pytest.param(op, key, dtype, id=f"{op.name}-{key}-{dtype}"))
    return made


def smallest(op: Op) -> Case:
    """The case with the fewest operations that is more than one of everything."""
    more = [c for c in cases(op) if all(a.size > 1 and np.isfinite(a).all() for a in c.arrays)]
    return min(more, key=lambda case: op.cost(*case.arrays, **case.keywords).flops)


def test_every_operation_has_kernels_for_the_gpu() -> None:
    for op in OPS.values():
        for bodies in ("gpu_cuda",) if op.fuses else ("gpu_cuda", "gpu_numba"):
            assert any(key.partition("/")[0] == bodies for key in op.kernels), (op.name, bodies)
    assert len(combinations("emu_cuda")) > 80 and len(combinations("emu_numba", "gpu_numba")) > 40


@pytest.mark.skipif(BACKENDS["emu_cuda"].missing() is not None, reason="g++ is not installed")
def test_no_access_out_of_bounds_and_nothing_undefined() -> None:
    """All kernels in C++, under AddressSanitizer and UndefinedBehaviorSanitizer. It takes longest, so it is first."""
    library = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = {
        **os.environ,
        "ALEXNET_EMULATOR_ASAN": "1",
        "LD_PRELOAD": library.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0,detect_stack_use_after_return=0,use_sigaltstack=0",
    }
    command = [sys.executable, __file__]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=550)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert int(done.stdout.split()[-2]) > 80


@pytest.mark.parametrize(("op", "key", "dtype"), combinations("emu_cuda"))
def test_cuda_kernel_conforms(op: Op, key: str, dtype: Any) -> None:
    """In three orders of the threads and three places of the arrays, with the same bits each time."""
    for case in accepted(op, key, cases(op, dtype)):
        found = []
        for number in range(SEEDS):
            with seed(number):
                check_kernel(op, key, case)
                found.append(run(op, key, case))
        for other in found[1:]:
            for name, array in found[0].items():
                same = (
                    rounded(a, accumulator(a.dtype)) for a in (array, other[name])
                )  # bfloat16 as float32: a NaN is one
                np.testing.assert_array_equal(*same, err_msg=f"{case.name}: {name} depends on the order")


@pytest.mark.parametrize(("op", "key", "dtype"), combinations("emu_numba"))
def test_numba_kernel_conforms(op: Op, key: str, dtype: Any) -> None:
    for case in accepted(op, key, cases(op, dtype)):
        if dtype == np.float32 or op.cost(*case.arrays, **case.keywords).flops <= SIMULATED_IN_FLOAT64:
            check_kernel(op, key, case)


@pytest.mark.parametrize(("op", "key", "dtype"), combinations("gpu_cuda", "gpu_numba", "gpu_cupy"))
def test_kernel_conforms_on_the_gpu(op: Op, key: str, dtype: Any) -> None:
    for case in accepted(op, key, [on_gpu(c) for c in cases(op, dtype)]):
        check_kernel(op, key, Case(case.name, tuple(brought(a, "cpu") for a in case.arrays), case.keywords))


@pytest.mark.parametrize(("op", "key", "dtype"), combinations("gpu_cuda"))
def test_the_gpu_agrees_with_the_emulator(op: Op, key: str, dtype: Any) -> None:
    """The same file on the same inputs; tensor cores and contracted products round in other places."""
    emulated = key.replace("gpu_cuda", "emu_cuda")
    for case in accepted(op, emulated, cases(op, dtype)):
        there, here = run(op, key, case), run(op, emulated, case)
        for name, array in here.items():
            if not is_float(array.dtype):
                np.testing.assert_array_equal(there[name], array)
                continue
            limit = max(8 * op.find(key).error * step(accumulator(dtype)), step(array.dtype))
            limit *= max(1.0, float(np.nanmax(np.abs(array))))
            wide = [a.astype(accumulator(a.dtype)) for a in (there[name], array)]
            np.testing.assert_allclose(*wide, rtol=0, atol=limit, err_msg=f"{case.name}: {name}")


def on_gpu(case: Case) -> Case:
    return Case(case.name, tuple(brought(a, "gpu") for a in case.arrays), case.keywords)


@pytest.mark.parametrize("key", [k for op in OPERATIONS if op.name == "conv2d" for k in runnable(op, "emu_cuda")])
def test_a_split_sum_is_the_same_sum(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cases' sums are too short to be split among blocks; here each is, wherever the rung can."""
    monkeypatch.setattr(product, "TERMS", 4)
    for op in OPERATIONS:
        if op.name.startswith(("conv2d", "linear")) and key in runnable(op, "emu_cuda"):
            op.changed()
            for case in accepted(op, key, cases(op, bfloat16() if key.endswith("bf16") else np.float32)):
                check_kernel(op, key, case)
            op.changed()


def differentiable() -> list[Any]:
    """Every operation with a backward, on every backend that has it; fused ones are in CUDA C++ alone."""
    backends = [b for b in BACKENDS if b[:3] in ("emu", "gpu") and BACKENDS[b].missing() is None]
    return [
        pytest.param(op, backend, id=f"{op.name}-{backend}")
        for op in OPERATIONS
        for backend in backends
        if op.backward and (not op.fuses or BACKENDS[backend].bodies == "gpu_cuda")
    ]


@pytest.mark.parametrize(("op", "backend"), differentiable())
def test_gradients(op: Op, backend: str) -> None:
    elements, case = (3, smallest(op)) if backend == "emu_numba" else (20, cases(op)[0])
    with anp.use(backend):
        report = anp.gradcheck(op, *case.arrays, elements=elements, **case.keywords)
    assert report.ok, report.text()


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_a_shared_kernel_is_asked_for_by_its_own_backend(op: Op) -> None:
    """What runs as emu_cuda is traced as emu_cuda, though its file is gpu_cuda's."""
    case = cases(op, np.float32)[0]
    with anp.use("emu_cuda"), anp.trace() as calls:
        op(*(a.copy() for a in case.arrays), **case.keywords)
    assert calls[0].kernel.partition("/")[0] == "emu_cuda"


@pytest.mark.parametrize(
    ("backend", "missing", "said"),
    [
        ("emu_cuda", "PATH", "g++ is not installed"),
        ("emu_numba", "NUMBA_ENABLE_CUDASIM", "NUMBA_ENABLE_CUDASIM=1 is not set"),
    ],
)
def test_what_is_missing_is_named(backend: str, missing: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(missing, "")
    for op in OPERATIONS:
        op.changed()
    x = np.ones((2, 3), np.float32)
    with anp.use(backend), pytest.raises(NoKernel, match=re.escape(said)):
        anp.ops.relu(x)
    np.testing.assert_array_equal(anp.ops.relu(x), x)
    with anp.use(backend, missing="warn"), pytest.warns(RuntimeWarning, match=re.escape(said)):
        np.testing.assert_array_equal(anp.ops.relu(x), x)
    monkeypatch.undo()
    for op in OPERATIONS:
        op.changed()


def test_bfloat16_is_for_kernels_that_know_it() -> None:
    x = np.ones((2, 3), bfloat16())
    with pytest.raises(NoKernel, match="computes in float32 and float64, not in bfloat16"), anp.use("cpu_numpy"):
        anp.ops.relu(x)
    with pytest.raises(TypeError, match="b has dtype bfloat16 but x has bfloat16; float32 beside bfloat16"):
        anp.ops.linear(x, x, np.ones(2, bfloat16()))
    with pytest.raises(TypeError, match="w has dtype float32 but x has bfloat16; one dtype in a call"):
        anp.ops.linear(x, x.astype(np.float32), np.ones(2, np.float32))


def test_mini_trains_in_the_emulator_as_in_numpy() -> None:
    losses = {backend: train_mini(backend) for backend in ("cpu_numpy", "emu_cuda")}
    np.testing.assert_allclose(losses["emu_cuda"], losses["cpu_numpy"], rtol=2e-5)
    assert losses["emu_cuda"][-1] < losses["emu_cuda"][0]


def train_mini(backend: str, steps: int = 6, batch: int = 8) -> list[float]:
    """Losses of a few eager steps with dropout and the paper's update, on the generated set."""
    split = anp.data.load("generated", (3, 32, 32))
    pictures, labels = split.train.read(np.arange(batch))
    x = pictures.astype(np.float32) / 128 - 1
    model = anp.alexnet("mini", num_classes=12, seed=1)
    sgd = SGD(model)
    with anp.use(backend):
        return [train_step(model, sgd, x, labels, 0.01) for _ in range(steps)]


if __name__ == "__main__":
    for source in EVERY:  # these types take half the time to compile, and index as float64 does
        source.compile_only([name for name in source.names if "double" not in name])
    if sanitized():
        with ThreadPool() as pool:
            pool.map(lambda source: build(source.file, source._emulated.names, sanitized=True), EVERY)
    checked = 0
    # Of the emulator under AddressSanitizer, or of the GPU under compute-sanitizer.
    for parameters in combinations(*(sys.argv[1:] or ["emu_cuda"])):
        op, key, dtype = parameters.values
        if dtype == np.float64:
            continue
        for case in accepted(op, key, cases(op, dtype)):
            check_kernel(op, key, case)
        checked += 1
        print(op.name, key, dtype, flush=True)
    print(checked, "kernels")
