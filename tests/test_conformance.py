"""Every kernel × case × dtype against the definition, and wrong kernels that must not get through."""

import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import numpy as np
import pytest
from small_pieces import small_pieces, ways

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.conformance import Nonconforming, accepted, check_kernel, run, runnable
from alexnet_np.dispatch import OPS, NoKernel, Op
from alexnet_np.kernels import chunks
from alexnet_np.operation import Spec
from alexnet_np.ops.cases import cases

# Those of the CPU; test_gpu_kernels.py has the others.
KERNELS = [(op, key) for op in anp.load_kernels().values() for key in runnable(op, "cpu_numpy", "cpu_numba")]
# Those that BLAS's own threads compute are as BLAS is.
COMPILED = [(op, key) for op, key in KERNELS if key.startswith("cpu_numba") and key != "cpu_numba/im2col"]
DTYPES = [np.float32, np.float64]


def test_registry_is_not_empty() -> None:
    """A parametrised test over an empty registry would pass by not running."""
    for op in OPS.values():
        # Those that are several in one pass are for the GPU.
        assert ("gpu_cuda" if op.fuses else "cpu_numpy") in {key.partition("/")[0] for key in op.kernels}, op.name
        assert cases(op), op.name
    assert len(OPS) == 29 and sum(bool(op.fuses) for op in OPS.values()) == 9


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("op", "key"), KERNELS, ids=[f"{op.name}-{key}" for op, key in KERNELS])
def test_kernel_conforms(op: Op, key: str, dtype: Any) -> None:
    for case in accepted(op, key, cases(op, dtype)):
        check_kernel(op, key, case)


@pytest.mark.parametrize(("op", "key"), KERNELS, ids=[f"{op.name}-{key}" for op, key in KERNELS])
def test_kernel_conforms_in_small_pieces(op: Op, key: str) -> None:
    """The cases are small, so that a kernel would take each in one piece; large arrays go through it in several."""
    for alone in ways(op.find(key).body.__module__):
        with small_pieces(threads=3, alone=alone):
            for case in accepted(op, key, cases(op, np.float32)):
                check_kernel(op, key, case)


def test_every_size_of_a_piece_is_made_small() -> None:
    """A constant by which Python code divides a kernel's work is declared, or no case would reach a second piece."""
    size = re.compile(r"(?!REGISTER)(\w+_)?(BYTES|LEAST|LEAST_MOVED|STEP|ZEROED)$")  # a register's is the machine's
    modules = {sys.modules[op.find(key).body.__module__] for op, key in KERNELS}
    undeclared = [
        f"{module.__name__}.{name}"
        for module in modules
        for function in vars(module).values()
        if inspect.isfunction(function) and function.__module__ == module.__name__
        for name in names_in(function.__code__)
        if size.match(name) and name in vars(module) and name not in chunks.SMALL.get(module.__name__, {})
    ]
    assert len(modules) > 20 and not undeclared, undeclared


def names_in(code: CodeType) -> set[str]:
    """Globals that a function looks up, those of the functions within it too."""
    return set(code.co_names).union(*(names_in(part) for part in code.co_consts if isinstance(part, CodeType)))


def test_an_unknown_size_is_an_error() -> None:
    with pytest.raises(NameError, match="no int STEPP"):
        chunks.small_in_tests("alexnet_np.kernels.linear.cpu_numba", STEPP=1)
    assert "STEPP" not in chunks.SMALL["alexnet_np.kernels.linear.cpu_numba"]


@pytest.mark.parametrize(("op", "key"), COMPILED, ids=[f"{op.name}-{key}" for op, key in COMPILED])
def test_the_number_of_threads_changes_no_bit(op: Op, key: str) -> None:
    """What a resumed training rests on: the same weights on a machine with more CPUs."""
    found = []
    for threads in (1, 2, 3):
        with small_pieces(threads):
            found.append([run(op, key, case) for case in accepted(op, key, cases(op, np.float32))])
    for alone, *shared in zip(*found, strict=True):
        for other in shared:
            for name, array in alone.items():
                np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_what_runs_unasked_is_among_these() -> None:
    """Where BLAS's own threads divide a product, bits depend on how many there are: only where that was asked for."""
    for op in OPS.values():
        for case in cases(op, np.float32):
            try:
                call = op.resolve(*(Spec(a.shape, a.dtype) for a in case.arrays), **case.keywords)
            except NoKernel:
                continue  # of a fused operation, which has kernels on a GPU only
            assert (op, call.key) in COMPILED or op.name == "cast", f"{op.name}, {case.name}: {call.key}"


@contextmanager
def registered(op: Op, body: Any, **options: Any) -> Iterator[str]:
    """A kernel under a name of its own, for the length of a test."""
    key = "cpu_numpy/planted"
    op.kernel(key, **options)(body)
    try:
        yield key
    finally:
        del op.kernels[key]
        op.changed()


def rewritten(op: Op, **changed: Any) -> Any:
    """A kernel that computes the definition with other keywords than it was given."""

    def compute(arrays: Any, keywords: dict[str, Any], out: Any) -> None:
        keywords = {**keywords, **{name: change(keywords) for name, change in changed.items()}}
        results = op.definition(*arrays, **keywords)
        for target, result in zip(out, results, strict=True) if isinstance(out, tuple) else [(out, results)]:
            target[...] = result

    return with_signature(op, compute)


def with_signature(op: Op, compute: Any) -> Any:
    """A kernel body from `compute(arrays, keywords, out)`, under the parameters that registration asks for."""
    names = [*op.inputs, "*", *op.keywords, "out"]
    keywords = ", ".join(f"{name}={name}" for name in op.keywords)
    source = f"def body({', '.join(names)}): compute([{', '.join(op.inputs)}], dict({keywords}), out)"
    scope = {"compute": compute}
    exec(source, scope)
    return scope["body"]


def flipped(padding: Any) -> Any:
    return tuple(side[::-1] for side in padding)


def last_of_ties(arrays: Any, keywords: dict[str, Any], out: Any) -> None:
    """Max-pooling that prefers the last of equal elements: the first of the image turned by 180 degrees."""
    x, (H, W) = arrays[0], arrays[0].shape[2:]
    padded = (keywords["padding"][0], keywords["padding"][1])
    P, Q = out[0].shape[2:]
    # What the windows do not reach at the end must not be reached at the turned image's start.
    rest = [
        before + length + after - ((count - 1) * stride + size)
        for (before, after), length, count, stride, size in zip(
            padded, (H, W), (P, Q), keywords["stride"], keywords["size"], strict=True
        )
    ]
    turned = np.pad(x, ((0, 0), (0, 0), *padded), constant_values=-np.inf)
    turned = turned[:, :, : turned.shape[2] - rest[0], : turned.shape[3] - rest[1]][:, :, ::-1, ::-1]
    y, index = ops.maxpool2d.definition(turned, size=keywords["size"], stride=keywords["stride"])
    h, w = np.divmod(index[:, :, ::-1, ::-1], turned.shape[3])
    out[0][...] = y[:, :, ::-1, ::-1]
    top, left = padded[0][0], padded[1][0]
    out[1][...] = (turned.shape[2] - 1 - h - top) * W + (turned.shape[3] - 1 - w - left)


def without_cross_channel_term(arrays: Any, keywords: dict[str, Any], out: Any) -> None:
    dy, _, scale = arrays
    out[...] = dy * scale ** -keywords["beta"]


def without_bias_sum(arrays: Any, keywords: dict[str, Any], out: Any) -> None:
    dw, db = ops.conv2d_backward_weights.definition(*arrays, **keywords)
    out[0][...], out[1][...] = dw, db - arrays[0][-1].sum(axis=(1, 2))


def shifted_lrn_window(arrays: Any, keywords: dict[str, Any], out: Any) -> None:
    """The window of the next channel: off by one."""
    x, (y, scale) = arrays[0], out
    scale[...] = np.roll(ops.lrn.definition(x, **keywords)[1], -1, axis=1)
    y[...] = x * scale ** -keywords["beta"]


def lone_group(keywords: dict[str, Any]) -> int:
    return 1


def halved_groups(arrays: Any, keywords: dict[str, Any], out: Any) -> None:
    """Convolution whose second group sees the first group's channels."""
    x, w, b = arrays
    width = w.shape[1]
    seen = np.concatenate([x[:, :width]] * keywords["groups"], axis=1)
    out[...] = ops.conv2d.definition(seen, w, b, **keywords)


def stays_poisoned(arrays: Any, keywords: dict[str, Any], out: Any) -> None:
    """Leaves the last column as it was."""
    out[..., :-1] = np.maximum(arrays[0], 0)[..., :-1]


def writes_its_input(arrays: Any, keywords: dict[str, Any], out: Any) -> None:
    np.maximum(arrays[0], 0, out=arrays[0])
    out[...] = arrays[0]


WRONG = {
    "lrn: window off by one": (ops.lrn, with_signature(ops.lrn, shifted_lrn_window)),
    "lrn: window too narrow": (ops.lrn, rewritten(ops.lrn, size=lambda k: max(1, k["size"] - 2))),
    "lrn: alpha divided": (ops.lrn, rewritten(ops.lrn, alpha_over_size=lambda k: not k["alpha_over_size"])),
    "lrn: wrong group": (ops.lrn, rewritten(ops.lrn, groups=lone_group)),
    "lrn_backward: dropped term": (ops.lrn_backward, with_signature(ops.lrn_backward, without_cross_channel_term)),
    "lrn_backward: wrong group": (ops.lrn_backward, rewritten(ops.lrn_backward, groups=lone_group)),
    "conv2d: wrong group": (ops.conv2d, with_signature(ops.conv2d, halved_groups)),
    "conv2d: wrong padding side": (ops.conv2d, rewritten(ops.conv2d, padding=lambda k: flipped(k["padding"]))),
    "conv2d_backward_data: wrong padding side": (
        ops.conv2d_backward_data,
        rewritten(ops.conv2d_backward_data, padding=lambda k: flipped(k["padding"])),
    ),
    "conv2d_backward_weights: an image's bias gradient dropped": (
        ops.conv2d_backward_weights,
        with_signature(ops.conv2d_backward_weights, without_bias_sum),
    ),
    "maxpool2d: wrong padding side": (ops.maxpool2d, rewritten(ops.maxpool2d, padding=lambda k: flipped(k["padding"]))),
    "maxpool2d: wrong tie": (ops.maxpool2d, with_signature(ops.maxpool2d, last_of_ties)),
    "dropout: not scaled": (ops.dropout, rewritten(ops.dropout, scale_at_train=lambda k: not k["scale_at_train"])),
    "dropout: another layer's mask": (
        ops.dropout,
        rewritten(ops.dropout, key=lambda k: (k["key"][0], k["key"][1] + 1, k["key"][2])),
    ),
    "relu: a column not written": (ops.relu, with_signature(ops.relu, stays_poisoned)),
    "relu: input overwritten": (ops.relu, with_signature(ops.relu, writes_its_input)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mistake", WRONG)
def test_wrong_kernel_fails(mistake: str, dtype: Any) -> None:
    op, body = WRONG[mistake]
    failures = []
    with registered(op, body) as key:
        for case in cases(op, dtype):
            try:
                check_kernel(op, key, case)
            except Nonconforming as error:
                failures.append(str(error))
    assert failures, f"{mistake} got through"


@pytest.mark.parametrize("op", [ops.lrn, ops.maxpool2d, ops.conv2d], ids=lambda op: op.name)
def test_right_rewrite_passes(op: Op) -> None:
    """The planted kernels fail for their mistake, not for the way they are planted."""
    with registered(op, rewritten(op)) as key:
        for case in cases(op, np.float64):
            check_kernel(op, key, case)


def test_wrong_tie_is_only_a_wrong_tie() -> None:
    """The planted tie rule is right wherever nothing ties, so it fails for the tie alone."""
    with registered(ops.maxpool2d, with_signature(ops.maxpool2d, last_of_ties)) as key:
        for case in cases(ops.maxpool2d, np.float64):
            if case.name not in ("ties", "infinite and NaN"):
                check_kernel(ops.maxpool2d, key, case)


def test_error_bound_is_the_kernels_own() -> None:
    """A kernel may declare a larger error, and is held to that."""

    def noisy(arrays: Any, keywords: dict[str, Any], out: Any) -> None:
        out[...] = np.maximum(arrays[0], 0) * (1 + 5 * np.finfo(np.float64).eps)

    case = cases(ops.relu)[0]
    with registered(ops.relu, with_signature(ops.relu, noisy)) as key, pytest.raises(Nonconforming, match="allowed"):
        check_kernel(ops.relu, key, case)
    with registered(ops.relu, with_signature(ops.relu, noisy), error=10) as key:
        check_kernel(ops.relu, key, case)
