"""CUDA C++ on a CPU: a `.cu` file compiled by g++, run thread by thread, and what goes wrong told in words.

    types.h     qualifiers, vector types, arithmetic, atomics
    memory.h    arrays between forbidden pages; shared memory full of poison
    threads.h   threads as fibers; blocks, barriers, the launch
    warp.h      shuffles, votes, asynchronous copies
    build.py    a .cu file → a library, kept on the disk
    launch.py   a kernel of such a library on NumPy arrays
    examine.py  a kernel run in several orders, and what was found

A GPU runs a kernel with a missing barrier, and gives right numbers most of the time; this one does not. It needs g++
and nothing else.
"""
