"""What is known of an operation without running it: definition, shapes, cost, cases, and its kernels' names.

`dispatch.Op` adds the choice of a kernel and the call itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from inspect import Parameter, signature
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .backend import Array, backend_of, device_of
from .precision import FLOATS


class Spec(NamedTuple):
    """An array without its data: what `infer` works on, and what a planner lays out."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    device: str = "cpu"

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


class ForeignOrder(TypeError):
    """An array has the byte order of another kind of machine, as IDX and FITS files do on this one."""


class Cost(NamedTuple):
    """What a call must do at least: floating-point operations, and bytes read plus written once each."""

    flops: int
    bytes: int


@dataclass(frozen=True)
class Kernel:
    """A way to compute an operation. `body(*arrays, out=, workspace=, **keywords)` writes into `out`.

    workspace  from the call's specs and keywords to the Spec of the scratch array it wants (None: none)
    refuses    from the same to the reason why it cannot take this call (None: it can)
    prepare    from `w` to the form that the body wants; a planner calls it once, a plain call each time
    error      how many times the error of the plain same-precision definition it may have
    types      the dtypes that it computes in, by name
    on         from all that the body takes but what is dynamic, to a function of that, by position: the body for arrays
               that stay, of which it then finds out once what it wants to know
    """

    op: str
    key: str
    body: Callable[..., None]
    workspace: Callable[..., Spec | None] | None = None
    refuses: Callable[..., str | None] | None = None
    prepare: Callable[[Array], Any] | None = None
    error: float = 2.0
    types: tuple[str, ...] = FLOATS
    on: Callable[..., Callable[..., None]] | None = None


class Operation:
    """An operation: its definition, what is known of it without running it, and its kernels.

    inputs    names of the arrays, which come first and by position
    keywords  names of the rest; `canonical` turns (name, value) of those listed into the one form that kernels see
    returns   names of the outputs; the first is the result, the others are what the backward needs
    backward  names of the operations that compute the gradients
    inplace   names of inputs that are overwritten (operations ending in `_`)
    fuses     the operations that this one stands for, in order
    analytic  whether the definition takes complex inputs, and is differentiable in the complex sense
    dynamic   keywords that change from step to step: passed on unseen by `infer`, and allowed to be one-element
              arrays that a kernel reads when it runs
    """

    def __init__(
        self,
        definition: Callable[..., Any],
        *,
        returns: tuple[str, ...],
        backward: tuple[str, ...] = (),
        inplace: tuple[str, ...] = (),
        fuses: tuple["Operation", ...] = (),
        dynamic: tuple[str, ...] = (),
        analytic: bool = False,
        canonical: dict[str, Callable[[str, Any], Any]] | None = None,
    ) -> None:
        update_wrapper(self, definition)  # type: ignore[arg-type]
        self.name = definition.__name__
        self.definition = definition
        self.returns, self.backward, self.inplace, self.fuses = returns, backward, inplace, fuses
        self.analytic = analytic
        self.dynamic, self.canonical = dynamic, canonical or {}
        self.signature = signature(definition)
        parameters = self.signature.parameters.values()
        self.inputs = tuple(p.name for p in parameters if p.kind is Parameter.POSITIONAL_OR_KEYWORD)
        self.keywords = tuple(p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY)
        self.defaults = {p.name: p.default for p in parameters if p.default is not Parameter.empty}
        self._names = frozenset(self.keywords)
        self.static = tuple(name for name in self.keywords if name not in self.dynamic)
        self.kernels: dict[str, Kernel] = {}
        self.choices: dict[str, Callable[..., str]] = {}
        self._infer: Callable[..., tuple[Spec, ...]] | None = None
        self._flops: Callable[..., int] | None = None
        self._check: Callable[..., None] | None = None
        self._sees: tuple[list[tuple[str, int]], list[str]] = [], []
        self.draw_cases: Callable[..., Iterator[Any]] | None = None

    def __repr__(self) -> str:
        return f"<operation {self.name}{self.signature}: kernels {', '.join(self.kernels) or 'not loaded'}>"

    # What an operation's file says beside its definition.

    def define_infer(self, function: Callable[..., tuple[Spec, ...]]) -> Callable[..., tuple[Spec, ...]]:
        """From the inputs' specs and the keywords to the outputs' specs; raises on what does not fit."""
        self._infer = function
        return function

    def define_flops(self, function: Callable[..., int]) -> Callable[..., int]:
        """From the inputs' specs and the keywords to the number of floating-point operations."""
        self._flops = function
        return function

    def define_check(self, function: Callable[..., None]) -> Callable[..., None]:
        """Raises on values (labels, a learning rate) that do not fit; sees the inputs and keywords that it names, of
        which what is dynamic comes first.

        Raises ValueError where these are others.
        """
        names = tuple(signature(function).parameters)
        if names[: len(self.dynamic)] != self.dynamic or not {*names} <= {*self.inputs, *self.keywords}:
            raise ValueError(f"{self.name}: a check cannot see {', '.join(names)}")
        places = {name: i for i, name in enumerate(self.inputs)}
        self._sees = [(n, places[n]) for n in names if n in places], [n for n in names if n not in places]
        self._check = function
        return function

    def define_cases(self, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """From `draw(*shape)` to (name, inputs, keywords): the inputs that tests, checks and benchmarks use."""
        self.draw_cases = function
        return function

    def changed(self) -> None:
        """Called after a kernel is added or removed."""

    def kernel(
        self,
        key: str,
        *,
        workspace: Callable[..., Spec | None] | None = None,
        refuses: Callable[..., str | None] | None = None,
        prepare: Callable[[Array], Any] | None = None,
        error: float = 2.0,
        types: tuple[str, ...] = FLOATS,
        on: Callable[..., Callable[..., None]] | None = None,
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Register a kernel under 'backend' (that backend's default) or 'backend/name' (a rung of its ladder).

        Raises ValueError for an unknown backend, a key that is taken, or a body with other parameters than ours, or
        an `on` with others than the body's that are not dynamic.
        """
        if backend_of(key).bodies != key.partition("/")[0]:
            raise ValueError(f"{self.name}: {key} has no kernels of its own; register on {backend_of(key).bodies}")
        if key in self.kernels or key in self.choices:
            raise ValueError(f"{self.name}: a kernel {key!r} is registered already")

        def register(body: Callable[..., None]) -> Callable[..., None]:
            expected = [*self.inputs, *self.keywords, *(["out"] if self.returns else [])]
            expected += ["workspace"] if workspace else []
            found = signature(body).parameters
            if [name for name in found if name not in self.keywords][: len(self.inputs)] != list(self.inputs) or (
                set(found) != set(expected)
            ):
                raise ValueError(f"{self.name}: kernel {key!r} has parameters {list(found)}, expected {expected}")
            if on and list(signature(on).parameters) != [name for name in found if name not in self.dynamic]:
                raise ValueError(f"{self.name}: kernel {key!r} is not bound by {list(signature(on).parameters)}")
            self.kernels[key] = Kernel(self.name, key, body, workspace, refuses, prepare, error, types, on)
            self.changed()
            return body

        return register

    def choose(self, backend: str) -> Callable[[Callable[..., str]], Callable[..., str]]:
        """Which rung of a backend's ladder runs where only the backend is asked for: from specs and keywords to a key.

        Such a backend has no kernel under its plain name. Raises ValueError for an unknown backend or one that has.
        """
        if backend_of(backend).bodies != backend or backend in self.kernels or backend in self.choices:
            raise ValueError(f"{self.name}: {backend} has its default kernel already, or none of its own")

        def register(function: Callable[..., str]) -> Callable[..., str]:
            self.choices[backend] = function
            self.changed()
            return function

        return register

    # What is known without running.

    def infer(self, *inputs: Any, **keywords: Any) -> tuple[Spec, ...]:
        """Specs of the outputs, from arrays or specs. Raises TypeError or ValueError where the inputs do not fit."""
        return self._described(inputs, keywords)[1]

    def cost(self, *inputs: Any, **keywords: Any) -> Cost:
        """Floating-point operations, and the bytes of the inputs and outputs, each moved once."""
        specs, outputs, canonical = self._described(inputs, keywords)
        assert self._flops is not None, f"{self.name} has no flops"
        written = sum(spec.nbytes for name, spec in zip(self.inputs, specs, strict=True) if name in self.inplace)
        moved = sum(spec.nbytes for spec in (*specs, *outputs)) + written
        return Cost(self._flops(*specs, **canonical), moved)

    def _described(self, inputs: Any, keywords: dict[str, Any]) -> tuple[list[Spec], tuple[Spec, ...], dict[str, Any]]:
        bound, keywords = self._bind(inputs, keywords)
        specs = [a if isinstance(a, Spec) else self.spec(name, a) for name, a in zip(self.inputs, bound, strict=True)]
        outputs, canonical = self._inferred(specs, {name: keywords[name] for name in self.static})
        return specs, outputs, canonical

    def _bind(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Arrays by position and every keyword with its value; TypeError, as from a plain function, otherwise."""
        merged = {**self.defaults, **keywords} if keywords else self.defaults
        if len(args) == len(self.inputs) and merged.keys() == self._names:
            return args, merged
        try:
            bound = self.signature.bind(*args, **keywords)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}; its signature is {self.name}{self.signature}") from None
        bound.apply_defaults()
        return tuple(bound.arguments[n] for n in self.inputs), {n: bound.arguments[n] for n in self.keywords}

    def seen(self, arrays: Sequence[Array], keywords: dict[str, Any]) -> dict[str, Any]:
        """What the check of values sees of these."""
        inputs, names = self._sees
        return {**{name: arrays[i] for name, i in inputs}, **{n: keywords[n] for n in names if n in keywords}}

    def spec(self, name: str, array: Array) -> Spec:
        """The spec of an argument called `name`. Raises TypeError for what is no array, ValueError for its strides."""
        device = "cpu" if type(array) is np.ndarray else device_of(array)
        if device is None:
            raise TypeError(f"{self.name}: {name} must be a NumPy or CuPy array, got {type(array).__name__}")
        if not array.flags.c_contiguous:
            raise ValueError(
                f"{self.name}: {name} must be C-contiguous, got shape {array.shape} with strides {array.strides}; "
                "use np.ascontiguousarray"
            )
        return Spec(array.shape, array.dtype, device)

    def _inferred(self, specs: Any, keywords: dict[str, Any]) -> tuple[tuple[Spec, ...], dict[str, Any]]:
        assert self._infer is not None, f"{self.name} has no infer"
        try:
            canonical = {k: self.canonical[k](k, v) if k in self.canonical else v for k, v in keywords.items()}
            for name, spec in zip(self.inputs, specs, strict=True):
                if 0 in spec.shape:
                    raise ValueError(f"{name} has shape {spec.shape}; an array without elements is refused")
                if spec.device != specs[0].device:
                    raise ValueError(f"{name} is on the {spec.device}, {self.inputs[0]} on the {specs[0].device}")
                if not spec.dtype.isnative:
                    told = f"{name} has dtype {spec.dtype}, of another byte order than this machine's"
                    raise ForeignOrder(f"{told}; use {name}.astype({spec.dtype.name!r})")
            return self._infer(*specs, **canonical), canonical
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.name}: {error}") from None
