"""Every kernel compiled for real GPUs, on a machine without one: registers, spills, shared memory, and the PTX.

By NVRTC, as CuPy does it; it comes with the package cuda-bindings (extra `dev`), and needs no driver.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..emulator.build import BuildError

ARCHITECTURES = "sm_80", "sm_90"
REPORT = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers([^\n]*)", re.DOTALL
)


class Compiled(NamedTuple):
    """What became of a kernel. Bytes of spills and shared memory; `ptx` is its text."""

    name: str
    architecture: str
    registers: int
    spills: int
    shared: int
    ptx: str


def compile_kernels(file: Path, names: Sequence[str], architecture: str) -> list[Compiled]:
    """The kernels `names` (name expressions) of a .cu file. Raises BuildError with the compiler's words."""
    from cuda.bindings import nvrtc

    def done(result: Any) -> Any:
        status, *values = result
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise BuildError(f"{file.name} does not compile for {architecture}: {status}")
        return values[0] if values else None

    def text(size: Any, get: Any) -> str:
        room = b" " * done(size(program))
        done(get(program, room))
        return str(room.rstrip(b" \0"), "utf-8")

    program = done(nvrtc.nvrtcCreateProgram(file.read_bytes(), file.name.encode(), 0, [], []))
    for name in names:
        done(nvrtc.nvrtcAddNameExpression(program, name.encode()))
    options = [f"-arch={architecture}", "-std=c++17", f"-I{file.resolve().parent}", "--ptxas-options=-v"]
    status = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
    log = text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
    if status[0] != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise BuildError(f"{file.name} does not compile for {architecture}: {log[:2000]}")
    reports = {name: rest for name, *rest in REPORT.findall(log)}
    entries = dict(re.findall(r"\.entry (\w+)\((.*?)\n\}", text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX), re.DOTALL))
    found = []
    for name in names:
        mangled = done(nvrtc.nvrtcGetLoweredName(program, name.encode())).decode()
        spills, registers, rest = reports[mangled]
        shared = re.search(r"(\d+) bytes smem", rest)
        size = int(shared[1]) if shared else 0
        found.append(Compiled(name, architecture, int(registers), int(spills), size, entries[mangled]))
    return found
