"""The inner loops of compiled kernels are vector code: seen in the assembly that LLVM made of them."""

import platform
import re
from importlib import import_module
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from numba import njit

from alexnet_np.kernels.compiled import FLAGS
from alexnet_np.kernels.maxpool2d.cpu_numba_backward_rows import _form as backward_form
from alexnet_np.kernels.static import Static
from alexnet_np.kernels.vector import REGISTER_BYTES

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or not llvm.get_host_cpu_features().get("avx2"),
    reason="reads the assembly of x86-64 with AVX2",
)
ROW, NUMBER, INT32 = np.ones(8, np.float32), np.float32(1), np.ones(8, np.int32)
WINDOW, VECTOR = Static(2, 2, 2, 2, False), Static(4, REGISTER_BYTES // 4)
PLANE, WINDOWS = np.ones((1, 2, 32), np.float32), np.ones((1, 1, 16), np.float32)  # a row fills any vector
BACKWARD = backward_form((2, 2), (2, 2), 4, (2, 32), (1, 16))

# Function, arguments, and an instruction on packed numbers that its loop must have in 256 or 512 bits.
LOOPS: dict[str, tuple[tuple[Any, ...], str]] = {
    "relu.cpu_numba:_forward_part": ((0, 8, ROW, ROW), r"vmovups|vand\w*ps"),
    "relu.cpu_numba:_backward_part": ((0, 8, ROW, ROW, ROW), r"vcmp\w*ps"),
    "sgd_momentum.cpu_numba:_part": ((0, 8, ROW, ROW, ROW, NUMBER, NUMBER, NUMBER), r"vf\w+ps"),
    "maxpool2d.cpu_numba_planes:_take_larger": ((ROW, np.int32(1), INT32, ROW, INT32), r"vcmp\w*ps"),
    "maxpool2d.cpu_numba_rows:_forward": (
        (WINDOW, VECTOR, VECTOR, (0, 0), PLANE, WINDOWS, WINDOWS.astype(np.int32)),
        r"vcmp\w*ps",
    ),
    "maxpool2d.cpu_numba_backward_rows:_backward": (
        (*BACKWARD, WINDOWS[0], WINDOWS[0].astype(np.int32), PLANE.reshape(1, -1)),
        r"vpcmpeqd",
    ),
    "philox:keep": ((ROW, 1, 1, 1, 1, 1.0, ROW), r"vpmuludq"),
    "softmax.row:softmax_row": ((ROW, ROW), r"vf\w+ps"),
    "softmax.row:_largest": ((ROW,), r"vpmaxsd"),
    "conv2d.columns:_add": ((ROW, ROW), r"vaddps"),
}


@pytest.mark.parametrize("name", LOOPS)
def test_inner_loop_is_vector_code(name: str) -> None:
    module, function = name.split(":")
    arguments, instruction = LOOPS[name]
    compiled = njit(nogil=True, error_model="numpy", fastmath=FLAGS)(
        getattr(import_module(f"alexnet_np.kernels.{module}"), function).py_func
    )
    compiled(*(a.copy() if isinstance(a, np.ndarray) else a for a in arguments))
    (assembly,) = compiled.inspect_asm().values()
    assert re.search(rf"\t({instruction})\s.*%[yz]mm", assembly), f"no {instruction} on ymm or zmm registers"
