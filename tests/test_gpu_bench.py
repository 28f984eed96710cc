"""The benchmark of a GPU, tried with the emulator: what it records can be read, shown and put into README."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np.backend import BACKENDS
from alexnet_np.benchmarks import gpu_bench, readme, record, table
from alexnet_np.benchmarks.gpu_clock import in_turns
from alexnet_np.dispatch import NoKernel
from alexnet_np.ops.cases import cases


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_every_part_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gpu-emulator.json"
    options = {"variants": ("mini",), "batches": (2,), "rounds": 1, "peers": False, "emulate": True}
    gpu_bench.measure(precisions=("float32", "bfloat16", "tf32x3"), out=path, **options)  # type: ignore[arg-type]
    made = record.read(path)
    names = [row.name for row in made.rows]
    assert len(set(names)) == len(names)
    for precision in ("float32", "bfloat16", "tf32x3"):
        assert f"mini training {precision}, batch 2" in names and f"mini inference {precision}, batch 1" in names
    steps = next(row for row in made.rows if row.kind == "training")
    assert set(steps.measured) == {"emu_cuda", "its calls one by one"} and steps.least and steps.least > 0
    rungs = next(row.measured for row in made.rows if row.op == "conv2d" and row.precision == "float32")
    assert {f"emu_cuda/{name}" for name in ("naive", "tiled", "buffered", "tf32", "tf32x3", "space_to_depth")} <= set(
        rungs
    )
    halves = next(row.measured for row in made.rows if row.op == "conv2d" and row.precision == "bfloat16")
    assert set(halves) == {"emu_cuda/bf16", "emu_cuda/space_to_depth"}
    assert {row.op for row in made.rows} >= {
        "sgd_momentum_flat_",
        "sgd_momentum_mixed_",
        "relu_lrn_maxpool2d",
        "linear",
    }
    assert "mini training bfloat16, batch 2" in "\n".join(map(table.row_text, made.rows))
    assert (tmp_path / "gpu-emulator-bfloat16-roofline.png").exists()
    shown = readme.gpu(tmp_path)
    assert "emulator, driver None" in shown and "`mini`, batch 2: no peer" in shown and " µs" in shown
    assert readme.newest_of(tmp_path) is None, "a GPU's record is none of a CPU"


def test_without_a_record_nothing_is_claimed(tmp_path: Path) -> None:
    shown = readme.gpu(tmp_path)
    assert shown.count(readme.NOT_YET) == shown.count("\n") - 1 >= 6


@pytest.mark.skipif(BACKENDS["gpu_cuda"].missing() is None, reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(NoKernel, match=r"there is nothing to time: (cupy is not installed|CuPy finds no CUDA device)"):
        gpu_bench.measure()
    command = [sys.executable, "-m", "alexnet_np.benchmarks.gpu_bench"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (
        done.returncode == 1
        and done.stderr.startswith("error: there is nothing to time")
        and done.stderr.count("\n") == 1
    )


def test_turns_count_no_warming_up() -> None:
    calls = []
    assert in_turns({"a": lambda: calls.append("a") or 1.0, "b": lambda: 2.0}, 3) == {"a": [1.0] * 3, "b": [2.0] * 3}
    assert len(calls) == 4


def test_pytorch_takes_part_in_every_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its modes, on the CPU in the GPU's place: a step changes weights, inference none, a convolution is found."""
    pytest.importorskip("torch")
    from alexnet_np.benchmarks.peers import torch_gpu

    monkeypatch.setattr(torch_gpu, "DEVICE", "cpu")
    monkeypatch.setattr(torch_gpu, "torch_events", timed)
    monkeypatch.setattr(torch_gpu, "COMPILED", {"": None})
    random, model = np.random.default_rng(0), anp.alexnet("mini", num_classes=4)
    x, labels = random.standard_normal((2, 3, 32, 32), dtype=np.float32), np.array([0, 3])
    for precision in ("float32", "bfloat16", "tf32"):
        for numbers in (labels, None):
            modes = torch_gpu.modes("mini", model, x, numbers, precision)
            assert set(modes) == {"torch", "torch channels_last"} and all(run() > 0 for run in modes.values())
    assert torch_gpu.default("mini", model, x, labels)["torch default"]() > 0
    for op in (anp.ops.conv2d, anp.ops.conv2d_backward_data, anp.ops.conv2d_backward_weights, anp.ops.linear):
        case = cases(op, np.float32)[0]
        keywords = op.resolve(*map(op.spec, op.inputs, case.arrays), **case.keywords).keywords
        run = torch_gpu.operation(op.name, case.arrays, keywords, "float32")
        assert run is not None and run() > 0, op.name
    assert torch_gpu.operation("linear_relu", (x[0, 0], x[0, 0]), {}, "float32") is None


def timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
