"""What `alexnet-np emulate` does: lists a file's kernels, or runs one on arrays that are described in words."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .build import kernels
from .examine import ORDERS, examine
from .launch import Library

ARRAY = re.compile(r"(\w+)\[([\d\s,]+)\](?:=(\S+))?")
NUMBER = re.compile(r"(?:(\w+):)?(-?[\d.]+(?:e-?\d+)?)")


def argument(text: str, random: np.random.Generator) -> Any:
    """'float32[8,100]' (random numbers), 'int32[100]=0' (one number everywhere), '5' (an int), 'float32:0.5'.

    Raises ValueError for anything else.
    """
    try:
        if found := ARRAY.fullmatch(text):
            kind, shape, value = np.dtype(found[1]), [int(n) for n in found[2].split(",")], found[3]
            if value is not None:
                return np.full(shape, float(value), kind)
            drawn = random.standard_normal(shape) if kind.kind == "f" else random.integers(0, 100, shape)
            return drawn.astype(kind)
        if found := NUMBER.fullmatch(text):
            return np.dtype(found[1] or "int32").type(float(found[2]) if "." in found[2] else int(found[2]))
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f"cannot read the argument {text!r}: give 'float32[8,100]' (random), 'float32[100]=0', '5' or 'float32:0.5'"
    )


def listed(file: Path) -> list[str]:
    """A line for each kernel of the file. Raises ValueError where it has none."""
    found = kernels(file)
    if not found:
        raise ValueError(f"{file} has no kernel: no function is marked __global__")
    return [
        f"{f'template <{template}> ' if template else ''}{name}({rest})" for name, (template, rest) in found.items()
    ]


def told(
    file: Path,
    kernel: str,
    grid: Sequence[int],
    block: Sequence[int],
    arguments: Sequence[str],
    shared: int,
    seed: int,
) -> tuple[list[str], bool]:
    """What a kernel did, in lines, and whether nothing was wrong. Raises ValueError for a kernel that is not there."""
    if (name := kernel.partition("<")[0]) not in kernels(file):
        raise ValueError(f"{file} has no kernel {name!r}; it has {', '.join(kernels(file)) or 'none'}")
    random = np.random.default_rng(seed)
    args = [argument(text, random) for text in arguments]
    try:
        found = examine(Library(file, [kernel]), kernel, grid, block, args, shared)
    except TypeError as error:
        raise ValueError(f"{error}; give what it takes after --args") from None
    blocks, threads = int(np.prod(grid)), int(np.prod(block))
    lines = [
        f"{kernel}: {blocks} blocks of {threads} threads, {-(-threads // 32)} warps; {shared} bytes of dynamic memory",
        f"{found.barriers} barriers passed, {found.barriers / blocks:g} in each block",
    ]
    for i, array in enumerate(found.arrays):
        if isinstance(array, np.ndarray) and array.ndim:
            changed = "written" if array.tobytes() != args[i].tobytes() else "read only"
            lines.append(f"argument {i}: {array.dtype}{list(array.shape)}, {changed}, begins {array.ravel()[:4]}")
    lines += found.faults or [f"nothing wrong in {ORDERS} orders of its threads"]
    return lines, not found.faults
