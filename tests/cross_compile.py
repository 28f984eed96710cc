"""The code of compiled kernels, as objects for processors of other kinds: a program, since vectors are as wide in the
whole of a process.

It prints, as JSON, for each kind: how many modules became objects, and how many registers of ARM the multiply-adds of
one of them sum in.
"""

import json
import re

import llvmlite.binding as llvm
import numba.core.codegen as codegen

TARGETS = {
    "aarch64-unknown-linux-gnu": "neoverse-n1",
    "arm64-apple-macosx14.0.0": "apple-m1",
    "x86_64-unknown-linux-gnu": "nehalem",
    "x86_64-pc-windows-msvc": "haswell",
}

here = llvm.get_process_triple
llvm.get_process_triple = lambda: next(iter(TARGETS))
import alexnet_np.kernels.vector  # noqa: E402 (decides by the triple how many registers there are)

llvm.get_process_triple = here

import numpy as np  # noqa: E402

import alexnet_np as anp  # noqa: E402
from alexnet_np.conformance import accepted, check_kernel  # noqa: E402
from alexnet_np.kernels.panel import WIDTH, matmul  # noqa: E402
from alexnet_np.kernels.static import Static  # noqa: E402
from alexnet_np.ops.cases import cases  # noqa: E402

modules: list[str] = []
optimize = codegen.CPUCodeLibrary._optimize_functions


def keep(library: codegen.CPUCodeLibrary, module: llvm.ModuleRef) -> None:
    """Before Numba's own functions are linked in, which have been through this processor's code generator."""
    optimize(library, module)
    modules.append(str(module))


codegen.CPUCodeLibrary._optimize_functions = keep

KERNELS = {"relu": "cpu_numba", "dropout": "cpu_numba", "lrn": "cpu_numba/rows", "maxpool2d": "cpu_numba/rows"}


def objects(triple: str, cpu: str) -> list[str]:
    """The assembly of each module, from each of which an object was made. Raises RuntimeError for code of x86 alone."""
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3, jit=True)
    made = []
    for text in modules:
        if "llvm.x86" in text:
            raise RuntimeError(f"instructions of x86 by name: {re.findall(r'llvm.x86[.a-z0-9]*', text)[0]}")
        text = re.sub(r'target triple = ".*"', f'target triple = "{triple}"', text)
        text = re.sub(r'target datalayout = ".*"', f'target datalayout = "{machine.target_data}"', text)
        module = llvm.parse_assembly(re.sub(r'"target-(cpu|features)"="[^"]*"', "", text))
        module.verify()
        assert machine.emit_object(module)
        made.append(machine.emit_assembly(module))
    return made


if __name__ == "__main__":
    random = np.random.default_rng(0)
    a, b, c = (random.standard_normal((8 * WIDTH, 8 * WIDTH), np.float32) for _ in "abc")
    row, vectors = a.strides[0], a.nbytes // len(a) // 16
    a_at, b_at, c_at = (array.ctypes.data for array in (a, b, c))
    matmul(Static(4, 4), a_at, row, 4, b_at, row, c_at, row, len(a), vectors, len(a), 0)
    np.testing.assert_allclose(c, a @ b, rtol=1e-4, atol=1e-4)
    for op in anp.load_kernels().values():
        if op.name in KERNELS:
            check_kernel(op, KERNELS[op.name], accepted(op, KERNELS[op.name], cases(op, np.float32))[0])
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    found = {}
    for triple, cpu in TARGETS.items():
        assembly = objects(triple, cpu)
        sums = [set(re.findall(r"\bfmla(?:\.4s)?\s+(v\d+)", text)) for text in assembly]
        found[triple] = [len(assembly), max(map(len, sums))]
    print(json.dumps({"width": WIDTH, "registers": found}))
