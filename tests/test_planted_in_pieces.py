"""Mistakes in the loops over pieces: blocks, chunks, bundles, parts. Each is right for what goes through in one piece.

A line of a kernel is altered, and the conformance test in small pieces must see it.
"""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import pytest
from numba import njit
from small_pieces import small_pieces, ways

import alexnet_np as anp
from alexnet_np.conformance import Nonconforming, accepted, check_kernel
from alexnet_np.dispatch import OPS
from alexnet_np.ops.cases import cases


class Planted(NamedTuple):
    """`right` becomes `wrong` in a function of the module that has the kernel."""

    op: str
    key: str
    function: str
    right: str
    wrong: str


MISTAKES = {
    "winograd: dU of a later chunk overwrites": Planted(
        "conv2d_backward_weights", "cpu_numba/winograd", "backward_weights", "du, tiles, lo, hi, i > 0)",
        "du, tiles, lo, hi, False)",
    ),
    "winograd: db of a later chunk overwrites": Planted(
        "conv2d_backward_weights", "cpu_numba/winograd", "backward_weights", "number * f.tiles, i > 0)",
        "number * f.tiles, False)",
    ),
    "winograd: a later chunk sees the first's images": Planted(
        "conv2d_backward_weights", "cpu_numba/winograd", "backward_weights", "x[i + first : i + first + n]",
        "x[first : first + n]",
    ),
    "winograd: of dy's next few the first are taken": Planted(
        "conv2d_backward_weights", "cpu_numba/winograd", "backward_weights", "dy[i + first : i + first + n]",
        "dy[i : i + n]",
    ),
    "winograd: y of a later block is written to the first's": Planted(
        "conv2d", "cpu_numba/winograd", "forward", "out[i : i + n]", "out[lo : lo + n]"
    ),
    "winograd: dx of a later block is the first's": Planted(
        "conv2d_backward_data", "cpu_numba/winograd", "backward_data", "dy[i : i + n]", "dy[lo : lo + n]"
    ),
    "columns: a later part's rows are the first's": Planted(
        "conv2d", "cpu_numba/columns", "_forward", "before, 0, top, block", "before, 0, 0, block"
    ),
    "columns: dw of an image's later rows overwrites": Planted(
        "conv2d_backward_weights", "cpu_numba/columns", "_backward_weights", "n > 0 or top > 0", "n > 0"
    ),
    "columns: a bundle lacks its last image": Planted(
        "conv2d_backward_weights", "cpu_numba/columns", "backward_weights", "(i + 1) * N // bundles",
        "max(i * N // bundles + 1, (i + 1) * N // bundles - 1)",
    ),
    "columns: dx of later channels from the first's weights": Planted(
        "conv2d_backward_data", "cpu_numba/columns", "_backward_data", "first * window : stop * window",
        ": (stop - first) * window",
    ),
    "numpy: dw of the last chunk only": Planted(
        "conv2d_backward_weights", "cpu_numpy", "backward_weights", "dw += (", "dw[...] = ("
    ),
    "linear: a block from the first block's weights": Planted(
        "linear_backward_data", "cpu_numba", "backward_data", "w[:, block]", "w[:, : block.stop - block.start]"
    ),
    "linear: the last block is left out": Planted(
        "linear", "cpu_numba", "_blocks", "min(hi * step, features)", "min(hi * step, features - step + 1)"
    ),
    "lrn: later pixels from the first": Planted(
        "lrn", "cpu_numba/loops", "_forward", "_add_square(x[n, j, start:stop]", "_add_square(x[n, j, : stop - start]"
    ),
    "lrn: the ring keeps a block's last sum": Planted(
        "lrn_backward", "cpu_numba/loops", "_backward", "total[:] = 0", "if start == 0: total[:] = 0"
    ),
    "max-pooling: planes zeroed together, but for the last": Planted(
        "maxpool2d_backward", "cpu_numba/scatter", "_backward", "dx[first:last] = 0", "dx[first : last - 1] = 0"
    ),
    "max-pooling: a later chunk's index into the first": Planted(
        "maxpool2d_backward", "cpu_numpy", "backward", "index[images]", "index[: len(dx)]"
    ),
    "dropout: every piece from the stream's first word": Planted(
        "dropout", "cpu_numpy", "_drop", "words(start,", "words(0,"
    ),
    "dropout: every part from the stream's first block": Planted(
        "dropout", "cpu_numba", "_keep_part", "lo * BLOCKS, key0", "0, key0"
    ),
    "update: the last piece is left out": Planted(
        "sgd_momentum_", "cpu_numpy", "update", "weights.size, STEP", "weights.size - STEP, STEP"
    ),
    "loss: a part's labels are the first's": Planted(
        "softmax_cross_entropy", "cpu_numba", "_forward_part", "labels[n]]", "labels[n - lo]]"
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_is_seen(mistake: str) -> None:
    planted = MISTAKES[mistake]
    op = OPS[planted.op]
    with alteration(planted) as module, pytest.raises(Nonconforming):
        for alone in ways(module):
            with small_pieces(threads=3, alone=alone):
                for case in accepted(op, planted.key, cases(op, "float32")):
                    check_kernel(op, planted.key, case)


@contextmanager
def alteration(planted: Planted) -> Iterator[str]:
    """The kernel with its line altered; what calls an altered compiled function is compiled anew. Its module's name."""
    anp.load_kernels()
    op = OPS[planted.op]
    kernel = op.find(planted.key)
    assert kernel is not None
    module = sys.modules[kernel.body.__module__]
    before = dict(vars(module))
    body = kernel.body.func if isinstance(kernel.body, partial) else kernel.body
    try:
        made = altered(getattr(module, planted.function), planted.right, planted.wrong)
        if before[planted.function] is body:
            new = partial(made, *kernel.body.args) if isinstance(kernel.body, partial) else made
            op.kernels[planted.key] = replace(kernel, body=new)
        setattr(module, planted.function, made)
        for name, caller in before.items():  # a part's callers are compiled with it
            if name != planted.function and compiled(caller) and planted.function in caller.py_func.__code__.co_names:
                setattr(module, name, njit(nogil=True, error_model="numpy")(caller.py_func))
        op.changed()
        yield module.__name__
    finally:
        op.kernels[planted.key] = kernel
        vars(module).update(before)
        op.changed()


def compiled(function: Any) -> bool:
    return hasattr(function, "py_func")


def altered(function: Any, right: str, wrong: str) -> Any:
    """The function from its source with one place changed, compiled if it was, and kept nowhere."""
    plain = function.py_func if compiled(function) else function
    lines = textwrap.dedent(inspect.getsource(plain)).splitlines()
    source = "\n".join(lines[next(i for i, line in enumerate(lines) if line.startswith("def ")) :])
    assert source.count(right) == 1, f"{right!r} stands {source.count(right)} times in {plain.__name__}"
    found: dict[str, Any] = {}
    exec(compile(source.replace(right, wrong), inspect.getfile(plain), "exec"), plain.__globals__, found)
    made = found[plain.__name__]
    return njit(nogil=True, error_model="numpy")(made) if compiled(function) else made
