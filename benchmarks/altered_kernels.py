"""Kernels from altered source, registered beside the right ones for the length of a with-block."""

import ast
import inspect
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from alexnet_np import load_kernels, use
from alexnet_np.backend import BEST, Array
from alexnet_np.dispatch import OPS, Op
from alexnet_np.operation import Kernel

# Whose functions belong to a kernel's source. Philox is left out, where every change is the same mistake: another mask.
HELPERS = ("alexnet_np.kernels.", "alexnet_np.ops.im2col", "alexnet_np.ops.windows")
# The cases are small; with these a kernel goes through them in several chunks, as it goes through large arrays.
SMALL: dict[str, Any] = {
    "images_at_a_time": lambda bytes_per_image, images: min(images, 2),
    "rows_at_a_time": lambda bytes_per_row, rows: min(rows, 2),
    "STEP": 8,
}


def _two_parts(n: int, body: Callable[[int, int], Any], **_: Any) -> None:
    """In place of `share`: no thread goes on where an altered kernel is stopped."""
    for part in ((0, n // 2), (n // 2, n)):
        if part[0] < part[1]:
            body(*part)


def _checked_gemm(a: Array, a_transposed: bool, b: Array, b_transposed: bool, c: Array, add: bool) -> None:
    """In place of BLAS, which writes where it is told to, and altered kernels may tell it anything."""
    product = (a.T if a_transposed else a) @ (b.T if b_transposed else b)
    if product.shape != c.shape:
        raise ValueError(f"a product of shape {product.shape} for {c.shape}")
    c[...] = c + product if add else product


# Compiled kernels run as they are written, in Python: what is compiled does not see where an array ends.
SAFE: dict[str, Any] = {
    "share": _two_parts,
    "team": lambda n, least: None,
    "parallel_for": lambda _, n, body, arguments: _two_parts(n, lambda lo, hi: body(lo, hi, *arguments)),
    "gemm": _checked_gemm,
}
COMPILED = (
    "alexnet_np.kernels.blas",
    "alexnet_np.kernels.philox",
    "alexnet_np.kernels.team",
)  # these stay as they are

# These work on addresses from end to end: altered, they would write anywhere. They have tests/test_winograd.py,
# test_maxpool2d_rows.py and test_lrn_rows.py.
ON_ADDRESSES = (
    "alexnet_np.kernels.conv2d.cpu_numba_winograd",
    "alexnet_np.kernels.conv2d.cpu_numba_blocks",
    "alexnet_np.kernels.maxpool2d.cpu_numba_backward_rows",
    "alexnet_np.kernels.lrn.cpu_numba_rows",
)

Rung = dict[str, Kernel]  # for each backward of an operation, the kernel to use


class Family(NamedTuple):
    """A file of backward kernels, and the functions that they use: their names by module, the file itself first."""

    op: Op
    backend: str
    functions: dict[str, set[str]]


def families() -> Iterator[Family]:
    """One for each file of backward kernels of a backend of the CPU; those for the GPU stand in other languages."""
    for op in [op for op in load_kernels().values() if op.backward]:
        bodies: dict[tuple[str, str], list[Any]] = {}
        kernels = [k for name in op.backward for k in OPS[name].kernels.values() if k.key.startswith(BEST["cpu"])]
        for kernel in kernels:
            parts = (kernel.body, kernel.workspace, kernel.prepare)
            file = kernel.body.__module__, kernel.key.partition("/")[0]
            bodies.setdefault(file, []).extend(part for part in parts if part)
        for (module, backend), roots in bodies.items():
            if module not in ON_ADDRESSES:
                yield Family(op, backend, {module: set(), **used_by(roots)})


def used_by(roots: list[Any]) -> dict[str, set[str]]:
    """The functions that these use, directly or not, themselves among them: names by module."""
    found: dict[str, set[str]] = {}
    waiting = list(roots)
    while waiting:
        function = waiting.pop()
        module, name = function.__module__, function.__name__
        if name in SMALL or module in COMPILED or name in found.setdefault(module, set()):
            continue
        found[module].add(name)
        scope = vars(sys.modules[module])
        for node in ast.walk(ast.parse(inspect.getsource(function))):
            used = scope.get(node.id) if isinstance(node, ast.Name) else None
            if callable(used) and getattr(used, "__module__", "").startswith(HELPERS) and not isinstance(used, type):
                waiting.append(used)
    return found


def source(module: str) -> str:
    return Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8")


def load(family: Family, altered: str = "", text: str = "") -> dict[str, Rung]:
    """The family's backward kernels from modules executed anew, the `altered` one from `text`: by the rung's name.

    They register on emptied tables, which are put back, so that the right kernels stay as they are.
    """
    tables = {op: dict(op.kernels) for op in OPS.values()}
    scopes: dict[str, dict[str, Any]] = {}
    try:
        for op in tables:
            op.kernels.clear()
        for name in family.functions:
            module = sys.modules[name]
            file = str(module.__file__)
            scopes[name] = {"__name__": name, "__package__": module.__package__, "__file__": file}
            with _not_compiled():
                exec(compile(text if name == altered else source(name), file, "exec"), scopes[name])
        made = {name: dict(OPS[name].kernels) for name in family.op.backward}
    finally:
        for op, table in tables.items():
            op.kernels.clear()
            op.kernels.update(table)
            op.changed()
    for scope in scopes.values():
        for name, value in list(scope.items()):
            # What one of these modules imported from another is the original's; it gets the new one's.
            home = scopes.get(getattr(value, "__module__", ""), {})
            scope[name] = home.get(getattr(value, "__name__", ""), value)
        scope.update({name: value for name, value in {**SMALL, **SAFE}.items() if name in scope})
    rungs = sorted({key.removeprefix(family.backend) for kernels in made.values() for key in kernels})
    default = family.backend
    return {
        rung: {name: kernels.get(default + rung) or kernels[default] for name, kernels in made.items() if kernels}
        for rung in rungs
    }


@contextmanager
def _not_compiled() -> Iterator[None]:
    """Where the file that compiles kernels is loaded, it leaves functions as they are for the length of the block."""
    compiled: Any = sys.modules.get("alexnet_np.kernels.compiled")
    jit = compiled and compiled.jit
    try:
        if compiled:
            compiled.jit = lambda function, flags=None: function
        yield
    finally:
        if compiled:
            compiled.jit = jit


@contextmanager
def registered(rung: Rung) -> Iterator[None]:
    """These kernels under keys of their own, and chosen, for the length of the block, without NumPy's warnings."""
    keys = {name: f"{kernel.key.partition('/')[0]}/planted" for name, kernel in rung.items()}
    try:
        for name, kernel in rung.items():
            OPS[name].kernels[keys[name]] = replace(kernel, key=keys[name], body=_poisoned(kernel.body))
            OPS[name].changed()
        with use(**keys), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, key in keys.items():
            OPS[name].kernels.pop(key, None)
            OPS[name].changed()


def _poisoned(body: Callable[..., None]) -> Callable[..., None]:
    """The body with outputs and workspace full of NaN beforehand: what is not written does not depend on chance."""

    def run(*arrays: Array, out: Any, **options: Any) -> None:
        for array in (*(out if isinstance(out, tuple) else (out,)), options.get("workspace")):
            if array is not None:
                array.fill(np.nan)
        body(*arrays, out=out, **options)

    return run


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """TimeoutError where the block takes longer. For the main thread of a system that has SIGALRM."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
