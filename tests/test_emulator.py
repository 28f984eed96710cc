"""The emulator finds what is wrong with a kernel, and nothing where nothing is."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alexnet_np.cli import main
from alexnet_np.kernels.emulator.build import BuildError, build, kernels
from alexnet_np.kernels.emulator.examine import examine
from alexnet_np.kernels.emulator.launch import KernelFault, Library, seed

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")

FAULTY = Path(__file__).with_name("faulty.cu")
FOUND = {
    "missing_barrier": "depend on the order of the threads or on shared memory that nobody wrote",
    "divergent_barrier": "divergent barrier: __syncthreads at line ",
    "foreign_mask": "bad mask: __shfl_sync at line 29 has the mask 00000001, without the calling lane 3",
    "lanes_that_left": "but only the lanes 0000ffff run",
    "lane_outside_the_mask": "reads lane 7, which the mask 0000000f lacks",
    "divergent_warp": "divergent warp: __shfl_",
    "deadlock": "deadlock: 63 threads wait in __syncthreads at line 48, 1 threads wait in __shfl_sync at line 47",
    "reads_beyond": "out of bounds: it reads element 100 of argument 0, which has 100",
    "reads_before": "out of bounds: it reads element -1 of argument 0, which has 100",
    "writes_beyond": "out of bounds: it writes element 100 of argument 1, which has 100",
    "writes_before": "out of bounds: it writes element -1 of argument 1, which has 100",
    "writes_to_its_input": "a thread wrote to argument 0, which is read-only",
    "dynamic_beyond": "out of bounds: it writes byte 256 of dynamic shared memory",
    "race": "64 elements of argument 1, the first is 0, depend on the order",
    "blocks_in_order": "1 elements of argument 1, the first is 0, depend on the order",
    "missing_wait": "depend on the order of the threads or on shared memory that nobody wrote",
    "never_waited": "it returns with 1 asynchronous copies that nobody waited for",
    "waits_for_too_few": "depend on the order of the threads or on shared memory that nobody wrote",
    "misaligned_copy": "that are not aligned to them",
}
LIBRARY = Library(FAULTY, ["right", *FOUND])


def arrays() -> tuple[Any, Any, int]:
    x = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    x.flags.writeable = False
    return x, np.ones(100, np.float32), 100


@pytest.mark.parametrize("name", FOUND)
def test_each_fault_is_found(name: str) -> None:
    grid = (4,) if name == "blocks_in_order" else (1,)
    found = examine(LIBRARY, name, grid, (64,), arrays(), shared=256)
    assert any(FOUND[name] in fault for fault in found.faults), found.faults


def test_nothing_is_found_in_a_right_kernel() -> None:
    x, y, n = arrays()
    found = examine(LIBRARY, "right", (2,), (64,), (x, y, n))
    assert found.faults == [] and found.barriers == 2
    whole = np.concatenate([x, np.zeros(28, np.float32)]).reshape(2, 64)
    np.testing.assert_array_equal(found.arrays[1], whole[:, ::-1].ravel()[:100])


def test_a_fault_names_block_and_thread() -> None:
    with pytest.raises(KernelFault, match=r"^reads_beyond: block \(0, 0, 0\), thread \(63, 0, 0\): out of bounds"):
        LIBRARY.launch("reads_beyond", (1,), (64,), arrays())


def test_a_launch_goes_on_after_a_fault() -> None:
    """Its fibers stood in the middle of a kernel."""
    x, y, n = arrays()
    for number in range(3):
        with pytest.raises(KernelFault), seed(number):
            LIBRARY.launch("divergent_barrier", (1,), (64,), (x, y, n))
        LIBRARY.launch("right", (2,), (64,), (x, y, n))
        assert y[0] == x[63]


def test_arguments_that_a_kernel_does_not_take() -> None:
    x, y, n = arrays()
    with pytest.raises(TypeError, match="right takes 3 arguments, got 2"):
        LIBRARY.launch("right", (1,), (64,), (x, y))
    with pytest.raises(TypeError, match="argument 0 must be a contiguous array of 4-byte elements, got float64"):
        LIBRARY.launch("right", (1,), (64,), (x.astype(np.float64), y, n))
    with pytest.raises(TypeError, match="argument 1 must be a contiguous array"):
        LIBRARY.launch("right", (1,), (64,), (x, y[::2], n))
    with pytest.raises(TypeError, match=r"argument 2 must be a number or structure of 4 bytes, got 100\.0"):
        LIBRARY.launch("right", (1,), (64,), (x, y, 100.0))
    with pytest.raises(KernelFault, match=r"no GPU takes a grid of \(1, 1, 1\) blocks of \(2048, 1, 1\) threads"):
        LIBRARY.launch("right", (1,), (2048,), (x, y, n))
    with pytest.raises(ValueError, match="was not compiled for wrong"):
        LIBRARY.launch("wrong", (1,), (64,), (x, y, n))


def test_a_file_that_does_not_compile(tmp_path: Path) -> None:
    file = tmp_path / "broken.cu"
    file.write_text('extern "C" __global__ void broken(float* y) { y[0] = nothing; }\n')
    with pytest.raises(BuildError, match=r"(?s)broken.cu does not compile: .*broken.cu:1:.*nothing"):
        build(file, ["broken"])
    with pytest.raises(FileNotFoundError, match="is no file"):
        build(tmp_path / "absent.cu", ["x"])


def test_kernels_of_a_file_are_listed() -> None:
    found = kernels(FAULTY)
    assert list(found) == ["right", *FOUND]
    assert found["right"] == ("", "const float* x, float* y, int n")


RIGHT = ["right", "--grid", "2", "--block", "64", "--args", "float32[100]", "float32[100]=0", "100"]


def test_the_command_lists_and_runs_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emulate", str(FAULTY)]) == 0
    assert capsys.readouterr().out.startswith("right(const float* x, float* y, int n)\nmissing_barrier(")
    assert main(["emulate", str(FAULTY), *RIGHT]) == 0
    said = capsys.readouterr().out
    assert "2 blocks of 64 threads, 2 warps" in said and "2 barriers passed, 1 in each block" in said
    assert said.endswith("nothing wrong in 4 orders of its threads\n")
    with pytest.raises(SystemExit) as ended:
        main(["emulate", str(FAULTY), "race", *RIGHT[1:]])
    assert ended.value.code == 1 and "a barrier or a wait is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.cu"], "absent.cu is no file"),
        ([str(FAULTY), "wrong"], "has no kernel 'wrong'; it has right, missing_barrier"),
        ([str(FAULTY), *RIGHT[:-1]], "right takes 3 arguments, got 2"),
        ([str(FAULTY), *RIGHT[:-1], "floot[3]"], "cannot read the argument 'floot[3]'"),
    ],
)
def test_bad_input_to_the_command(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emulate", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
