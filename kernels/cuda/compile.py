"""Every kernel compiled for real GPUs, on a machine without one: registers, spills, shared memory, and the PTX.

By nvcc, which is asked for `nvcc` on the path or in CUDA_HOME.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ..emulator.build import BuildError

ARCHITECTURES = "sm_80", "sm_90"
REPORT = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores.*?Used (\d+) registers(.*?)\n",
    re.DOTALL,
)


class Compiled(NamedTuple):
    """What became of a kernel. Bytes of spills and shared memory; `ptx` is its text."""

    name: str
    architecture: str
    registers: int
    spills: int
    shared: int
    ptx: str


def nvcc() -> str | None:
    """The compiler, or None where there is none."""
    home = os.environ.get("CUDA_HOME")
    return shutil.which("nvcc") or (shutil.which(f"{home}/bin/nvcc") if home else None)


def compile_kernels(file: Path, names: Sequence[str], architecture: str) -> list[Compiled]:
    """The kernels `names` (name expressions) of a .cu file, in that order. Raises BuildError with nvcc's words."""
    with TemporaryDirectory() as folder:
        source, ptx = Path(folder) / "source.cu", Path(folder) / "source.ptx"
        lines = [f"template __global__ decltype({name}) {name};\n" if "<" in name else "" for name in names]
        source.write_text(f'#include "{file.resolve()}"\n' + "".join(lines))
        said = _run(["-cubin", "-Xptxas", "-v", "-o", f"{folder}/source.cubin"], source, file, architecture)
        _run(["-ptx", "-o", str(ptx)], source, file, architecture)
        texts = dict(re.findall(r"\.entry (\w+)\((.*?)\n\}", ptx.read_text(), re.DOTALL))
    found = []
    for mangled, _, spills, registers, rest in REPORT.findall(said):
        shared = re.search(r"(\d+) bytes smem", rest)
        text = texts[mangled]
        found.append(
            Compiled(mangled, architecture, int(registers), int(spills), int(shared[1]) if shared else 0, text)
        )
    if len(found) != len(names):
        raise BuildError(f"{file.name}: nvcc made {len(found)} kernels of {len(names)}")
    return found


def _run(arguments: Sequence[str], source: Path, file: Path, architecture: str) -> str:
    program = nvcc()
    if program is None:
        raise FileNotFoundError("nvcc is not installed")
    options = ["-std=c++17", f"-arch={architecture}", *arguments, str(source)]
    done = subprocess.run([program, *options], capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{file.name} does not compile for {architecture}: {done.stderr[:2000]}")
    return done.stderr
