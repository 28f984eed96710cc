"""Kernels become machine code for real GPUs, without spills, and a float32 kernel computes in float32."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import alexnet_np as anp
from alexnet_np.kernels.cuda.compile import ARCHITECTURES, compile_kernels
from alexnet_np.kernels.cuda.source import EVERY, Source

pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")
anp.load_kernels()

DOUBLE = re.compile(r"\.f64\b")


def ident(value: Any) -> str:
    return f"{value.file.parent.name}-{value.file.stem}" if isinstance(value, Source) else str(value)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", EVERY, ids=ident)
def test_every_kernel_compiles_without_spills(source: Source, architecture: str) -> None:
    for kernel in compile_kernels(source.file, source.names, architecture):
        assert kernel.spills == 0, kernel[:5]
        assert kernel.shared <= 48 << 10, kernel[:5]
        if "double" not in kernel.name:
            assert not DOUBLE.search(kernel.ptx), kernel.name
        else:
            assert DOUBLE.search(kernel.ptx), "the check would see it"


def test_every_numba_kernel_computes_in_float32() -> None:
    """In a process of its own, where Numba is not the simulator."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0"}
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert int(done.stdout.split()[-2]) >= 25, done.stdout


if __name__ == "__main__":
    from types import SimpleNamespace

    import numpy as np
    from numba import types
    from numba.cuda import dispatcher

    from alexnet_np.kernels import numba_cuda

    # Device functions are compiled for the current device, which is not there.
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(9, 0))
    for file in sorted(Path(numba_cuda.__file__).parent.glob("*/gpu_numba.py")):
        import_module(f"alexnet_np.kernels.{file.parent.name}.gpu_numba")
    for make in numba_cuda.MADE:
        make(np.dtype(np.float32))

    def slip(x, y):  # type: ignore[no-untyped-def]
        total = 0.0
        for i in range(x.size):
            total += x[i]
        y[0] = total

    row = types.float32[::1]
    assert DOUBLE.search(numba_cuda.cuda.compile_ptx(slip, (row, row), cc=(9, 0))[0]), "the check would not see it"
    wrong = []
    for function, signature in numba_cuda.EVERY:
        arguments = tuple(eval(name, vars(types)) for name in signature)
        ptx, _ = numba_cuda.cuda.compile_ptx(function, arguments, cc=(9, 0))
        if DOUBLE.search(ptx):
            wrong.append(f"{function.__module__}.{function.__qualname__} computes in float64")
    print(*wrong, sep="\n")
    print(len(numba_cuda.EVERY), "kernels")
    sys.exit(bool(wrong))
