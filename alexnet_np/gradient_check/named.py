"""What the command line can check: 'all', an operation or one of its cases, a variant of the network, or a class in
somebody's file."""

import importlib.util
import shlex
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import BEST, Array, backend_of
from ..dispatch import OPS, NoKernel, Op, load_kernels, use
from ..models import VARIANTS, alexnet
from ..ops.cases import Case, cases
from .check import gradcheck
from .report import Report

SIDES = {"keras": 195}  # the smallest images that a 'valid' network takes; 67 is enough for the others of that size
SMALL = ("cifar", "fashion", "mini")


@dataclass(frozen=True)
class How:
    """The options of a check on the command line; None for elements takes as many as keep it short."""

    dtype: str = "float64"
    backend: str | None = None
    seed: int = 0
    elements: int | None = None
    step: float | None = None

    def command(self, what: str, backend: str | None = None) -> str:
        """The command that repeats the check of `what`."""
        options: dict[str, Any] = {"dtype": self.dtype, "seed": self.seed, "backend": backend or self.backend}
        options |= {"elements": self.elements, "step": self.step}
        given = [f"--{name} {value}" for name, value in options.items() if value is not None]
        return " ".join(["alexnet-np gradcheck", shlex.quote(what), *given])

    def check(self, target: Any, *arrays: Array, elements: int, name: str, again: str, **keywords: Any) -> Report:
        found = gradcheck(
            target, *arrays, name=name, seed=self.seed, elements=self.elements or elements, step=self.step, **keywords
        )
        return replace(found, command=again)


def check_named(what: str, how: How) -> Iterator[Report]:
    """Reports for 'all', an operation, 'operation, case', a variant, or 'path/to/file.py:Name'.

    'all' goes over every backend of the CPU that runs here, except the emulators, unless one is named. Raises
    ValueError for another name, and NoKernel where the named backend has no such kernel.
    """
    if how.backend and (why := backend_of(how.backend).missing()):
        raise NoKernel(f"{how.backend} cannot run here: {why}")
    found = False
    for report in _reports(what, how):
        found = True
        yield report
    if not found:
        raise NoKernel(f"{how.backend} has no kernel for {what}")


def _reports(what: str, how: How) -> Iterator[Report]:
    forwards = {name: op for name, op in load_kernels().items() if op.backward}
    op_name, _, case_name = what.partition(", ")
    if what == "all":
        on_cpu = [b for b in BEST["cpu"] if any(op.refusal(b) is None for op in forwards.values())]
        backends = [how.backend] if how.backend else on_cpu
        for backend in backends:
            for op in forwards.values():
                yield from _operation(op, backend, how, several=len(backends) > 1)
    elif op_name in forwards:
        op = forwards[op_name]
        if case_name and case_name not in (names := [case.name for case in cases(op) if has_derivative(case)]):
            raise ValueError(f"{op.name} has no case {case_name!r}; it has {'; '.join(names)}")
        yield from _operation(op, how.backend, how, only=case_name)
    elif what in VARIANTS:
        with use(how.backend) if how.backend else nullcontext():
            yield from _variant(what, how)
    elif ".py:" in what:
        with use(how.backend) if how.backend else nullcontext():
            yield _users(what, how)
    else:
        kinds = f"'all', an operation ({', '.join(forwards)}), a variant ({', '.join(VARIANTS)})"
        raise ValueError(f"cannot check {what!r}: give {kinds} or path/to/file.py:Name")


def _operation(op: Op, backend: str | None, how: How, only: str = "", several: bool = False) -> Iterator[Report]:
    """Every case of an operation, on what kernels the backend has of its forward and backwards; nothing if it has none.

    Where one of them has none, that one runs on the best backend of the device.
    """
    family = [op, *(OPS[name] for name in op.backward)]
    chosen = {each.name: backend for each in family if backend and each.refusal(backend) is None}
    if backend and not chosen:
        return
    on_gpu = backend is not None and backend_of(backend).device == "gpu"
    move = importlib.import_module("cupy").asarray if on_gpu else lambda array: array
    with use(**chosen):
        for case in filter(has_derivative, cases(op, how.dtype, how.seed)):
            what = f"{op.name}, {case.name}"
            if only in ("", case.name):
                name = f"{what} [{backend}]" if several else what
                again = how.command(what, backend)
                arrays = [move(a) for a in case.arrays]
                yield how.check(op, *arrays, elements=400, name=name, again=again, **case.keywords)


def has_derivative(case: Case) -> bool:
    """Not at infinite values, and where probabilities saturate there is none that differences can see."""
    return "NaN" not in case.name and "1e4" not in case.name


def _variant(variant: str, how: How) -> Iterator[Report]:
    """A network with all its layers, on images as small as its windows allow, a few elements of each array.

    In float32 each layer alone, on the input that it gets: through a whole network rounding hides what differences see.
    """
    side = None if variant in SMALL else SIDES.get(variant, 67)
    model = alexnet(variant, 10, how.seed, how.dtype, input_shape=(3, side, side) if side else None)
    scale = 1.0 if VARIANTS[variant].scale_pixels else 50.0
    random, again = np.random.default_rng(how.seed), how.command(variant)
    x = (scale * random.standard_normal((1, *(model.input_shape or ())))).astype(how.dtype)
    if x.dtype == np.float64:
        yield how.check(model, x, elements=2, name=variant, again=again)
        return
    for name, layer in model.items():
        yield how.check(layer, x, elements=2, name=f"{variant}, {name}", again=again)
        x = layer.forward(x, train=True)


def _users(what: str, how: How) -> Report:
    """A layer class of a user's file, made without arguments, on the input that its `example(random)` gives."""
    path, _, name = what.rpartition(":")
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise ValueError(f"{path} has no {name}")
    made = getattr(module, name)
    thing = made() if isinstance(made, type) else made
    example = getattr(thing, "example", None) or getattr(module, "example", None)
    if example is None:
        raise ValueError(f"{path} needs a function example(random) that gives {name}'s input, on it or beside it")
    inputs = example(np.random.default_rng(how.seed))
    arrays = [np.asarray(a) for a in (inputs if isinstance(inputs, tuple) else (inputs,))]
    arrays = [a.astype(how.dtype) if a.dtype.kind == "f" else a for a in arrays]
    return how.check(thing, *arrays, elements=2000, name=name, again=how.command(what))
