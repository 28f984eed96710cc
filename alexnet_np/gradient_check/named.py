"""What the command line can check: 'all', an operation, a variant of the network, or a class in somebody's file."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..dispatch import Op, load_kernels
from ..models import VARIANTS, alexnet
from ..ops.cases import Case, cases
from .check import Report, gradcheck

ELEMENTS = 40  # of each array
SIDES = {"keras": 195}  # the smallest images that a 'valid' network takes; 67 is enough for the others of that size
SMALL = ("cifar", "fashion", "mini")


def check_named(what: str, dtype: Any, seed: int) -> Iterator[Report]:
    """Reports for 'all', an operation's name, a variant's, or 'path/to/file.py:Name'. Raises ValueError for others."""
    forwards = {name: op for name, op in load_kernels().items() if op.backward}
    if what == "all":
        for op in forwards.values():
            yield from _operation(op, dtype, seed)
    elif what in forwards:
        yield from _operation(forwards[what], dtype, seed)
    elif what in VARIANTS:
        yield _variant(what, dtype, seed)
    elif ".py:" in what:
        path, _, name = what.rpartition(":")
        yield _users(path, name, dtype, seed)
    else:
        kinds = f"'all', an operation ({', '.join(forwards)}), a variant ({', '.join(VARIANTS)})"
        raise ValueError(f"cannot check {what!r}: give {kinds} or path/to/file.py:Name")


def _operation(op: Op, dtype: Any, seed: int) -> Iterator[Report]:
    for case in filter(has_derivative, cases(op, dtype, seed)):
        name = f"{op.name}, {case.name}"
        yield gradcheck(op, *case.arrays, name=name, seed=seed, elements=ELEMENTS, **case.keywords)


def has_derivative(case: Case) -> bool:
    """Not at infinite values, and where probabilities saturate there is none that differences can see."""
    return "NaN" not in case.name and "1e4" not in case.name


def _variant(variant: str, dtype: Any, seed: int) -> Report:
    """A network with all its layers, on images as small as its windows allow, a few elements of each array."""
    side = None if variant in SMALL else SIDES.get(variant, 67)
    model = alexnet(variant, 10, seed, dtype, input_shape=(3, side, side) if side else None)
    scale = 1.0 if VARIANTS[variant].scale_pixels else 50.0
    x = (scale * np.random.default_rng(seed).standard_normal((1, *(model.input_shape or ())))).astype(dtype)
    return gradcheck(model, x, name=variant, seed=seed, elements=2)


def _users(path: str, name: str, dtype: Any, seed: int) -> Report:
    """A layer class of a user's file, made without arguments, on the input that its `example(random)` gives."""
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
    inputs = example(np.random.default_rng(seed))
    arrays = [np.asarray(a) for a in (inputs if isinstance(inputs, tuple) else (inputs,))]
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
    return gradcheck(thing, *arrays, name=name, seed=seed)
