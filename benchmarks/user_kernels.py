"""A kernel of the user's own, in a file outside the package: does it conform, and how fast is it beside ours?"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet_np.backend import BEST, backend_of
from alexnet_np.conformance import accepted, check_kernel
from alexnet_np.dispatch import NoKernel, Op, load_kernels
from alexnet_np.ops.cases import cases

from .record import Row


class Verdict(NamedTuple):
    """What the conformance test says of a kernel: `wrong` is '' where it conforms."""

    op: Op
    key: str
    cases: int
    worst: float  # the largest error over what is allowed
    wrong: str

    def __str__(self) -> str:
        if self.wrong:
            return f"WRONG    {self.wrong}"
        return f"CONFORMS {self.op.name} {self.key}: {self.cases} cases, at most {self.worst:.0%} of the allowed error"


def load(files: tuple[Path, ...]) -> list[tuple[Op, str]]:
    """Import the files; returns the operation and the key of each kernel that they register.

    Raises ValueError for a file that is missing, fails when it is imported, or registers no kernel that can run here.
    """
    known = {(op.name, key) for op in load_kernels().values() for key in op.kernels}
    found = []
    for file in files:
        _execute(file)
        new = [(op, key) for op in load_kernels().values() for key in op.kernels if (op.name, key) not in known]
        if not new:
            raise ValueError(f'{file} registers no kernel; one begins with @anp.ops.relu.kernel("cpu_numba/mine")')
        for op, key in new:
            if key.partition("/")[0] not in BEST["cpu"]:
                raise ValueError(f"{file}: {op.name} {key} runs on the {backend_of(key).device}, not timed here")
        known |= {(op.name, key) for op, key in new}
        found += new
    return found


def _execute(file: Path) -> None:
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # where a compiler looks for it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{file}: {type(error).__name__}: {error}") from error


def conforms(op: Op, key: str) -> Verdict:
    """Every case of the operation in float32 and float64, until one fails. A kernel may refuse one of the dtypes."""
    worst, count = 0.0, 0
    refused: list[str] = []
    for dtype in (np.float32, np.float64):
        everything = cases(op, dtype)
        try:
            taken = accepted(op, key, everything)
        except AssertionError as refusal:
            refused.append(str(refusal))
            continue
        for case in taken:
            try:
                worst = max(worst, *check_kernel(op, key, case).values())
            except AssertionError as wrong:
                return Verdict(op, key, count, worst, str(wrong))
            except NoKernel:
                raise
            except Exception as error:  # the kernel's own, whatever it is
                told = f"{op.name} {key}, case {case.name!r}: it raises {type(error).__name__}: {error}"
                return Verdict(op, key, count, worst, told)
            count += 1
    return Verdict(op, key, count, worst, "" if count else refused[0])


def lines(row: Row, key: str) -> Iterator[str]:
    """How fast the kernel is at a row's shape: its share of the roof, and its ratio to ours and to the peer."""
    if key not in row.measured:
        yield f"{row.name}: absent: {row.absent.get(key, 'it was not timed')}"
        return
    mine, ours = row.measured[key], row.measured[row.chosen]
    ratio = row.ratio(mine)
    peer = f", {ratio:.2f} times as fast as PyTorch at its best" if ratio else ""
    yield (
        f"{row.name}: {1e3 * mine.median:.2f} ms, {row.share(mine):.0%} of the {row.limit} roof, "
        f"{ours.median / mine.median:.2f} times as fast as ours ({row.chosen}){peer}"
    )
    if mine.wrong:
        yield f"WRONG    {row.name}: {mine.wrong}"
