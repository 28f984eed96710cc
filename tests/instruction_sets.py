"""Which instruction set tests compile for beside this machine's: `python tests/instruction_sets.py` prints it."""

import platform

from alexnet_np.kernels.vector import REGISTER_BYTES

OTHER: dict[str, str] | None = None  # what to set in the environment
OTHER_BYTES, MISSING = 0, ""
if platform.machine() in ("x86_64", "AMD64"):
    if REGISTER_BYTES == 64:
        OTHER, OTHER_BYTES = {"NUMBA_CPU_NAME": "haswell"}, 32
    else:
        OTHER, OTHER_BYTES, MISSING = {"ALEXNET_VECTOR_BYTES": "64"}, 64, "AVX-512 itself: this CPU has not got it"

if __name__ == "__main__":
    print(" ".join(f"{name}={value}" for name, value in (OTHER or {}).items()))
