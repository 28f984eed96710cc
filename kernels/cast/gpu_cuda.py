"""cast in CUDA C++: gpu_cuda.cu says how."""

import numpy as np

from alexnet_np.backend import Array
from alexnet_np.ops import cast
from alexnet_np.precision import ALL

from ..cuda.source import BLOCK, TYPES, Source, packs

SOURCE = Source(__file__, "gpu_cuda.cu", [f"cast<{T}, {Y}>" for T in TYPES.values() for Y in TYPES.values()])


@cast.kernel("gpu_cuda", types=ALL)
def forward(x: Array, *, dtype: str, out: Array) -> None:
    name = f"cast<{{T}}, {TYPES[dtype]}>"
    SOURCE.launch(name, packs(x.size, x.dtype), (BLOCK,), x, out, np.int64(x.size))
