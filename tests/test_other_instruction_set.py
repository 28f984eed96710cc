"""Compiled kernels with code for another instruction set than this machine's.

On a CPU with AVX-512: what one with AVX2 runs. On one with AVX2: vectors of 64 bytes, which LLVM splits, so that the
kernels' own code for wide vectors is run; AVX-512 itself is not to be had there. Here each kernel goes through one of
its cases; `make other-isa` takes all tests of kernels.
"""

import os
import subprocess
import sys

import pytest
from instruction_sets import MISSING, OTHER, OTHER_BYTES

CHECK = f"""
import numpy as np
from alexnet_np import load_kernels
from alexnet_np.conformance import accepted, check_kernel, runnable
from alexnet_np.kernels.vector import REGISTER_BYTES
from alexnet_np.ops.cases import cases

assert REGISTER_BYTES == {OTHER_BYTES}, REGISTER_BYTES
checked = 0
for op in load_kernels().values():
    for key in runnable(op, "cpu_numba"):
        shares = check_kernel(op, key, accepted(op, key, cases(op, np.float32))[-1])
        assert max(shares.values()) <= 1
        checked += 1
print(checked, "kernels conform")
"""


@pytest.mark.skipif(OTHER is None, reason="which vectors this CPU has is not known here")
def test_kernels_conform() -> None:
    assert OTHER is not None
    run = subprocess.run([sys.executable, "-c", CHECK], env={**os.environ, **OTHER}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[0]) > 30


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_the_widest_is_had() -> None:
    """This run's other tests are of the widest vectors; where they are not, the reason says which is missing."""
    assert OTHER is None or OTHER_BYTES < 64
