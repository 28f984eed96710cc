"""Mistakes planted in the CUDA C++ sources, one at a time, as people make them: the emulator or a number tells each."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from alexnet_np.conformance import Nonconforming, accepted, check_kernel, runnable
from alexnet_np.dispatch import load_kernels
from alexnet_np.kernels.cuda import product
from alexnet_np.kernels.cuda.source import EVERY, Source
from alexnet_np.kernels.emulator.launch import SEEDS, KernelFault, seed
from alexnet_np.ops.cases import cases
from alexnet_np.precision import bfloat16

OPS = load_kernels()
pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")

TYPES = np.dtype(np.float32), bfloat16()
KERNELS = Path(import_module("alexnet_np.kernels").__file__ or "").parent


class Mistake(NamedTuple):
    """`right` becomes `wrong` in a file of kernels/, the n-th time that it stands there; seen by a rung."""

    file: str
    right: str
    wrong: str
    op: str
    rung: str = ""
    nth: int = 0


# fmt: off
MISTAKES = [
    # Barriers and waits.
    Mistake("cuda/tiled.cuh", "__syncthreads();", "", "conv2d", "/tiled", 0),
    Mistake("cuda/tiled.cuh", "__syncthreads();", "", "conv2d", "/tiled", 1),
    Mistake("cuda/registers.cuh", "__syncthreads();", "", "conv2d", "/registers", 0),
    Mistake("cuda/registers.cuh", "__syncthreads();", "", "linear", "/registers", 1),
    Mistake("cuda/buffered.cuh", "__syncthreads();", "", "conv2d", "/buffered", 0),
    Mistake("cuda/buffered.cuh", "__syncthreads();", "", "conv2d", "/buffered", 1),
    Mistake("cuda/buffered.cuh", "wait_for_copies<1>();", "", "conv2d", "/buffered"),
    Mistake("cuda/buffered.cuh", "wait_for_copies<0>();", "", "conv2d", "/buffered"),
    Mistake("cuda/buffered.cuh", "wait_for_copies<1>();", "wait_for_copies<2>();", "conv2d", "/buffered"),
    Mistake("cuda/buffered.cuh", "commit_copies();", "", "conv2d", "/buffered"),
    Mistake("cuda/buffered.cuh", "fetch(k0 + DEPTH, stage ^ 1);", "fetch(k0 + DEPTH, stage);", "conv2d", "/buffered"),
    Mistake("cuda/tensor.cuh", "__syncthreads();", "", "conv2d", "/tf32", 0),
    Mistake("cuda/tensor.cuh", "wait_for_copies<0>();", "", "conv2d", "/tf32x3"),
    Mistake("cuda/common.cuh", "__syncthreads();", "", "softmax", "", 0),
    # Bounds and ragged edges.
    Mistake("cuda/tiled.cuh", "m0 + y < problem.M && n0 + x < problem.N", "m0 + y <= problem.M && n0 + x < problem.N",
            "conv2d", "/tiled"),
    Mistake("cuda/tiled.cuh", "m0 + left_m < problem.M && k0 + left_k < last", "k0 + left_k < last",
            "linear", "/tiled"),
    Mistake("cuda/registers.cuh", "if (m0 + y + i < problem.M && n0 + x + j < problem.N)",
            "if (m0 + y + i < problem.M)", "linear", "/registers"),
    Mistake("cuda/loader.cuh", "m0 + m < problem.M && k0 + k < last", "k0 + k < last", "conv2d", "/buffered"),
    Mistake("cuda/common.cuh", "if (i + j < n) p[i + j] = pack.at[j];", "p[i + j] = pack.at[j];", "relu"),
    Mistake("cuda/common.cuh", "i + EACH<T> <= n && aligned(p)", "i + EACH<T> - 1 <= n && aligned(p)", "relu", "", 1),
    Mistake("cuda/common.cuh", "i + j < n ? p[i + j] : T(0)", "p[i + j]", "relu"),
    Mistake("maxpool2d/gpu_cuda.cu", "if (i >= outputs) return;", "", "maxpool2d"),
    Mistake("maxpool2d/windows.cuh", "h < min(h0 + of.R, of.H)", "h < h0 + of.R", "maxpool2d"),
    Mistake("conv2d/problem.cuh", "(unsigned)(n.w + k.s) < (unsigned)s.W", "(unsigned)(n.w + k.s) <= (unsigned)s.W",
            "conv2d", "/coalesced"),
    Mistake("lrn/gpu_cuda.cu", "if (pixel >= pixels) return;", "", "lrn", "/window"),
    Mistake("lrn/walk.cuh", "last = min(first + CHANNELS, highest);", "last = first + CHANNELS;", "lrn", "/window"),
    Mistake("softmax/gpu_cuda.cu", "k < K; k += blockDim.x) total", "k <= K; k += blockDim.x) total", "softmax"),
    # Strides, groups and windows.
    Mistake("conv2d/problem.cuh", "int h = p * s.down - s.top, w = q * s.across - s.left;",
            "int h = p * s.across - s.top, w = q * s.down - s.left;", "conv2d", "/registers"),
    Mistake("conv2d/problem.cuh", "(long long)image * s.C + group * (s.C / s.groups)",
            "(long long)image * s.C + group", "conv2d", "/buffered"),
    Mistake("conv2d/problem.cuh", "p * s.down == h && q * s.across == w", "p * s.down == h", "conv2d_backward_data",
            "/tiled"),
    Mistake("conv2d/problem.cuh", "dy + k.dy_at + (long long)m * s.P * s.Q", "dy + k.dy_at + (long long)m * s.P * s.P",
            "conv2d_backward_weights", "/coalesced"),
    Mistake("lrn/walk.cuh", "c + HALF < piece.highest", "c + HALF < piece.last", "lrn", "/window"),
    Mistake("lrn/gpu_cuda_plain.cu", "high = min(c + size / 2 + 1, first + width);",
            "high = min(c + size / 2, first + width);", "lrn", "/plain"),
    Mistake("maxpool2d/windows.cuh", "value > largest", "value >= largest", "maxpool2d"),
    Mistake("maxpool2d/windows.cuh", "index[o] == of.here && ", "", "maxpool2d_backward"),
    Mistake("conv2d/gpu_cuda_space_to_depth.cu", "plane % of.across, row = plane / of.across % of.down",
            "plane / of.down % of.across, row = plane % of.down", "conv2d_backward_weights", "/space_to_depth"),
    Mistake("conv2d/gpu_cuda_space_to_depth.cu", "a * of.down + row - of.top", "a * of.down + row", "conv2d",
            "/space_to_depth"),
    Mistake("conv2d/gpu_cuda_space_to_depth.cu", "a < of.A && b < of.B ?", "a < of.A ?", "conv2d_backward_data",
            "/space_to_depth"),
    # Several operations in one.
    Mistake("relu_lrn_maxpool2d/gpu_cuda.cu", "__syncthreads();", "", "relu_lrn_maxpool2d", "", 0),
    Mistake("relu_lrn_maxpool2d/gpu_cuda.cu", "__syncthreads();", "", "relu_lrn_maxpool2d", "", 1),
    Mistake("relu_lrn_maxpool2d/gpu_cuda.cu", "max(min((p1 - 1) * of.down", "min(min((p1 - 1) * of.down",
            "relu_lrn_maxpool2d"),
    Mistake("relu_lrn_maxpool2d/gpu_cuda.cu", "count - 1)", "count)", "relu_lrn_maxpool2d"),
    Mistake("relu_lrn_maxpool2d/gpu_cuda.cu", "walk_back<T, SIZE, true>", "walk_back<T, SIZE, false>",
            "relu_lrn_maxpool2d_backward"),
    Mistake("relu_maxpool2d/gpu_cuda.cu", "positive(plane[place])", "plane[place]", "relu_maxpool2d"),
    Mistake("maxpool2d/windows.cuh", " && (!y || y[o] > T(0))", "", "relu_maxpool2d_backward"),
    Mistake("conv2d/problem.cuh", "b && s.relu && sum <= R(0)", "s.relu && sum <= R(0)", "conv2d_relu", "/buffered"),
    Mistake("cuda/sums.cu", "relu && sum <= T(0)", "false", "conv2d_relu", "/tiled"),
    Mistake("softmax_cross_entropy_with_gradient/gpu_cuda.cu", "(k == label ? R(1) : R(0))", "R(0)",
            "softmax_cross_entropy_with_gradient"),
    Mistake("sgd_momentum_flat/gpu_cuda.cu", "decay * factors[2 * blockIdx.x + 1]", "decay", "sgd_momentum_flat_"),
    Mistake("sgd_momentum_flat/gpu_cuda.cu", "finite ? moved : pv.at[j]", "moved", "sgd_momentum_flat_"),
    Mistake("sgd_momentum_flat/gpu_cuda.cu", "if (stored && i + j < n)", "if (stored)", "sgd_momentum_mixed_"),
    Mistake("cast/gpu_cuda.cu", "if (i + j < n)", "", "cast"),
    # Fragments of the tensor cores, and what is done with numbers.
    Mistake("cuda/tensor.cuh", "[k + t + j / 2 * 4][m1 + 16 * i + g + j % 2 * 8]",
            "[k + t + j % 2 * 4][m1 + 16 * i + g + j / 2 * 8]", "conv2d", "/tf32"),
    Mistake("cuda/tensor.cuh", "[k + t + 4 * j][n1 + 8 * i + g]", "[k + t + 4 * j][n1 + 8 * i + t]", "conv2d", "/tf32"),
    Mistake("cuda/warp_tile.cuh", "n = n0 + 8 * j + 2 * t + e % 2", "n = n0 + 8 * j + t + e % 2 * 4",
            "linear", "/tf32"),
    Mistake("cuda/tensor.cuh", "to_tf32(x - __uint_as_float(at[0]))", "to_tf32(x)", "conv2d", "/tf32x3"),
    Mistake("cuda/tensor.cuh", "of_a = term / 2, of_b = term % 2", "of_a = term / 2, of_b = term / 2",
            "linear", "/tf32x3"),
    Mistake("cuda/bf16.cuh", "+ g + j % 2 * 8][k + j / 2 * 8]", "+ g + j / 2 * 8][k + j % 2 * 8]", "conv2d", "/bf16"),
    Mistake("cuda/bf16.cuh", "+ g][k + 8 * j]", "+ g][k + 4 * j]", "linear", "/bf16"),
    Mistake("cuda/bf16.cuh", "k = 2 * t; k < DEPTH", "k = t; k < DEPTH", "conv2d_backward_weights", "/bf16"),
    Mistake("cuda/bf16.cuh", "    __syncthreads();\n  }", "  }", "conv2d", "/bf16"),
    Mistake("cuda/bf16.cuh", "if (more) put(stage ^ 1);", "if (more) put(stage);", "conv2d", "/bf16"),
    Mistake("cuda/warp_tile.cuh", "if (m < problem.M && n < problem.N)", "if (m < problem.M)", "linear", "/bf16"),
    Mistake("dropout/gpu_cuda.cu", "(i + j) / 4", "i / 4", "dropout", "", 0),
    Mistake("cuda/philox.cuh", "round < 10", "round < 9", "dropout"),
    Mistake("sgd_momentum/gpu_cuda.cu", "lr * (decay * pw.at[j] + pg.at[j])", "(decay * pw.at[j] + lr * pg.at[j])",
            "sgd_momentum_"),
    Mistake("cuda/sums.cu", "split < splits", "split + 1 < splits", "conv2d", "/buffered"),
    Mistake("conv2d/kernels.cuh", "y + part.split * size, part.group", "y, part.group", "conv2d", "/registers"),
]
# fmt: on


def test_there_are_enough() -> None:
    assert len(MISTAKES) >= 30 and len({(m.file, m.right, m.nth) for m in MISTAKES}) > 40


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m.file}-{m.right[:30]}-{m.nth}")
def test_a_planted_mistake_is_seen(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with planted(mistake, tmp_path, monkeypatch):
        assert seen(mistake, monkeypatch), "the suite passes with this mistake"


def test_the_same_without_a_mistake_is_not_accused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for op, rung in sorted({(m.op, m.rung) for m in MISTAKES}):
        none = Mistake("cuda/common.cuh", "#pragma once", "#pragma once", op, rung)
        with planted(none, tmp_path / op / (rung or "/only")[1:], monkeypatch):
            assert not seen(none, monkeypatch), (op, rung)


@contextmanager
def planted(mistake: Mistake, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A copy of the sources with the mistake in them, from which the operation's kernels are compiled."""
    for file in (*KERNELS.rglob("*.cu"), *KERNELS.rglob("*.cuh")):
        copy = folder / file.relative_to(KERNELS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    parts = (text := (folder / mistake.file).read_text()).split(mistake.right)
    assert len(parts) > mistake.nth + 1, f"{mistake.right} stands {text.count(mistake.right)} times in {mistake.file}"
    before, after = parts[: mistake.nth + 1], parts[mistake.nth + 1 :]
    (folder / mistake.file).write_text(mistake.right.join(before) + mistake.wrong + mistake.right.join(after))
    with monkeypatch.context() as patch:
        for source in sources(mistake):
            file = folder / source.file.relative_to(KERNELS)
            # These types are enough to see it, and compile in half the time.
            patch.setattr(source, "_emulated", source._emulated)  # to be put back
            source.compile_only([n for n in source.names if "double" not in n], file)
        yield


def sources(mistake: Mistake) -> list[Source]:
    op = OPS[mistake.op]
    module = sys.modules[op.kernels[f"gpu_cuda{mistake.rung}"].body.__module__]
    rungs = getattr(module, "RUNGS", {})
    found = [rungs[name].source for name in (mistake.rung[1:],) if name in rungs]
    found += [s for s in vars(module).values() if isinstance(s, Source)]
    found += [s for s in EVERY if s.file == KERNELS / mistake.file]
    return list(dict.fromkeys([*found, product.SUMS]))


def seen(mistake: Mistake, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the conformance test fails, with whole sums or with sums that are split among blocks."""
    op, key = OPS[mistake.op], f"emu_cuda{mistake.rung}"
    assert key in runnable(op, "emu_cuda")
    for terms in (product.TERMS, 8):
        with monkeypatch.context() as patch:
            patch.setattr(product, "TERMS", terms)
            op.changed()
            try:
                for dtype in (t for t in TYPES if t.name in op.find(key).types):
                    for case in accepted(op, key, cases(op, dtype)):
                        for number in range(SEEDS):
                            with seed(number):
                                check_kernel(op, key, case)
            except (KernelFault, Nonconforming):
                return True
            finally:
                op.changed()
    return False
