"""What CUDA C++ kernels share: the launch, written once for the GPU and the emulator, and headers in CUDA C++.

source.py       a .cu file and its kernels
common.cuh      packs of elements, sums over a warp and a block
tensorcore.cuh  all inline PTX, each instruction beside what the emulator does in its place
"""
