"""Which kernel runs: operations, the kernels registered on them, and how one is chosen.

The kernel of a call is found by the device of its arrays, then by a choice made for the operation, then by the
with-block's default, then by the environment variable ALEXNET_BACKEND, then it is the best backend of the device.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from marshal import dumps, loads
from typing import Any, NamedTuple

import numpy as np

from .backend import BACKENDS, BEST, Array, Backend, array_module, backend_of, native
from .operation import ForeignOrder, Kernel, Operation, Spec

OPS: dict[str, "Op"] = {}


class NoKernel(LookupError):
    """No kernel of the operation can run as asked; the message names those that exist and why others do not."""


class TracedCall(NamedTuple):
    """One dispatched call: the operation, the kernel that ran, and the one that was asked for (None: the best)."""

    op: str
    kernel: str
    asked: str | None


class Call(NamedTuple):
    """A resolved call: what `Op.resolve` tells a planner, and what a plain call executes."""

    kernel: Kernel
    key: str  # what it runs as: gpu_cupy runs the kernels of cpu_numpy
    device: str
    outputs: tuple[Spec, ...]
    workspace: Spec | None
    keywords: dict[str, Any]
    asked: str | None
    warning: str | None


class _Choice(NamedTuple):
    default: str | None = None
    per_op: tuple[tuple[str, str], ...] = ()
    missing: str = "error"


_NO_CHOICE = _Choice()
_choice: ContextVar[_Choice] = ContextVar("choice", default=_NO_CHOICE)
_trace: ContextVar[tuple[list[TracedCall], ...]] = ContextVar("trace", default=())


@contextmanager
def use(default: str | None = None, *, missing: str | None = None, **per_op: str) -> Iterator[None]:
    """Choose kernels inside a with-block: a backend for every operation, or a kernel for one and its backward.

        with anp.use("cpu_numba", lrn="cpu_numpy", conv2d="cpu_numba/direct"): ...

    `missing="error"` (the rule) raises NoKernel where the chosen kernel does not exist or cannot run; `"warn"` warns
    and runs the best one of the array's device. Raises ValueError for an unknown backend or operation.
    """
    outer = _choice.get()
    for key in (*per_op.values(), *([default] if default else [])):
        backend_of(key)
    if default and "/" in default:
        raise ValueError(f"{default!r} is a kernel of one operation; the default of a block is a backend")
    if unknown := sorted(per_op.keys() - OPS.keys()):
        raise ValueError(f"unknown operation {unknown[0]!r}; the operations are {', '.join(OPS)}")
    if missing not in (None, "error", "warn"):
        raise ValueError(f"missing must be 'error' or 'warn', got {missing!r}")
    merged = {**dict(outer.per_op), **per_op}
    token = _choice.set(_Choice(default or outer.default, tuple(merged.items()), missing or outer.missing))
    try:
        yield
    finally:
        _choice.reset(token)


def default_backend() -> Backend | None:
    """What `use()` or ALEXNET_BACKEND asks for, for every operation; None: the best of the arrays' device."""
    if default := _choice.get().default:
        return backend_of(default)
    try:
        return backend_of(name) if (name := _environment()) else None
    except ValueError as error:
        raise ValueError(f"ALEXNET_BACKEND: {error}") from None


@contextmanager
def trace() -> Iterator[list[TracedCall]]:
    """Record every dispatched call of the with-block, in order."""
    calls: list[TracedCall] = []
    token = _trace.set((*_trace.get(), calls))
    try:
        yield calls
    finally:
        _trace.reset(token)


_VARIABLE, _BYTES = os.environ.encodekey("ALEXNET_BACKEND"), os.environ._data  # type: ignore[attr-defined]


def _environment() -> str | None:
    """ALEXNET_BACKEND at this moment. os.environ.get raises and catches an exception for a variable that is not set,
    a sixth of what a dispatched call costs; the dict behind it does not."""
    value = _BYTES.get(_VARIABLE)
    return os.environ.decodevalue(value) if value else None


class Op(Operation):
    """An operation that can be called: `y = op(x, ...)` allocates, `op(x, ..., out=, workspace=)` does not.

    Inputs in the byte order of another kind of machine are copied first; what is written into must have this one's.
    Raises TypeError or ValueError where the inputs do not fit (the message names the operation, the argument, its
    value and what was expected), and NoKernel where no kernel takes the call.
    """

    def __init__(self, definition: Callable[..., Any], **options: Any) -> None:
        super().__init__(definition, **options)
        # A backward stands in its forward's folder, and a choice made for the forward covers it.
        self.forward = next((other for other in OPS.values() if self.name in other.backward), None)
        self._loaded: set[str] = set()
        self._resolved = lru_cache(maxsize=1024)(lambda specs, exact, *rest: self._resolve(specs, _plain(exact), *rest))

    def changed(self) -> None:
        self._resolved.cache_clear()

    def resolve(self, *specs: Spec, **keywords: Any) -> Call:
        """The kernel that `use()` and the device choose, the outputs' specs and the workspace, without running."""
        return self._call_for(*self._bind(specs, keywords))

    def _call_for(self, specs: tuple[Spec, ...], keywords: dict[str, Any]) -> Call:
        static = tuple([keywords[name] for name in self.static])
        context = _choice.get(), _environment()
        try:
            return self._resolved(specs, _exact(static), *context)
        except _NotPlain:
            pass
        return self._resolve(specs, static, *context)

    def __call__(self, *args: Any, out: Any = None, workspace: Array = None, **keywords: Any) -> Any:
        arrays, keywords = self._bind(args, keywords)
        # Plain tuples where nothing can be wrong: equal to Specs as keys, and made in half the time.
        specs: list[Any] = [
            (a.shape, a.dtype, "cpu") if type(a) is np.ndarray and a.flags.c_contiguous else self.spec(name, a)
            for name, a in zip(self.inputs, arrays, strict=True)
        ]
        try:
            call = self._call_for(tuple(specs), keywords)
        except ForeignOrder:
            if any(name in self.inplace and not a.dtype.isnative for name, a in zip(self.inputs, arrays, strict=True)):
                raise
            return self(*map(native, arrays), out=out, workspace=workspace, **keywords)
        if self._check is not None:
            try:
                self._check(**self.seen(arrays, keywords))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{self.name}: {error}") from None
        if call.warning is not None:
            warnings.warn(call.warning, RuntimeWarning, stacklevel=2)
        kernel, options = call.kernel, call.keywords.copy()
        for name in self.dynamic:
            options[name] = keywords[name]
        xp = np if call.device == "cpu" else array_module(arrays[0])
        if self.returns:
            if out is None:
                made = [xp.empty(spec.shape, spec.dtype) for spec in call.outputs]
                out = made[0] if len(made) == 1 else tuple(made)
            else:
                self._check_out(xp, out, call.outputs, arrays)
            options["out"] = out
        elif out is not None:
            raise TypeError(f"{self.name} works in place and takes no out=")
        if kernel.workspace is not None:
            options["workspace"] = self._scratch(xp, workspace, call.workspace, (arrays, out))
        if kernel.prepare is not None:
            arrays = [kernel.prepare(a) if name == "w" else a for name, a in zip(self.inputs, arrays, strict=True)]
        for calls in _trace.get():
            calls.append(TracedCall(self.name, call.key, call.asked))
        kernel.body(*arrays, **options)
        return out

    def _resolve(self, specs: Any, static: Any, choice: _Choice, environment: str | None) -> Call:
        specs = [Spec(*spec) for spec in specs]
        outputs, keywords = self._inferred(specs, dict(zip(self.static, static, strict=True)))
        key, asked, warning = self._select(specs, keywords, choice, environment)
        kernel = self.find(key)
        assert kernel is not None
        workspace = kernel.workspace(*specs, **keywords) if kernel.workspace else None
        return Call(kernel, key, specs[0].device, outputs, workspace, keywords, asked, warning)

    # Choosing.

    def asked(self) -> str | None:
        """The backend or kernel that `use()` or ALEXNET_BACKEND asks for now; None: the best that there is."""
        return self._asked(_choice.get(), _environment())[0]

    def _asked(self, choice: _Choice, environment: str | None) -> tuple[str | None, str]:
        per_op = dict(choice.per_op)
        if self.name in per_op:
            return per_op[self.name], "use()"
        if self.forward is not None and self.forward.name in per_op:
            key = per_op[self.forward.name]
            # Rungs are named per operation: where the backward lacks this one, its backend's default serves.
            return (key if self.find(key) else key.partition("/")[0]), "use()"
        if choice.default:
            return choice.default, "use()"
        return environment, "ALEXNET_BACKEND"

    def _select(
        self, specs: Any, keywords: dict[str, Any], choice: _Choice, environment: str | None
    ) -> tuple[str, str | None, str | None]:
        """The key of the kernel to run, the one that was asked for, and a warning where they differ."""
        asked, source = self._asked(choice, environment)
        warning = None
        if asked:
            try:
                key = self._rung(asked, specs, keywords)
                why = self.refusal(key, specs, keywords)
            except ValueError as error:
                raise ValueError(f"{source}: {error}") from None
            if why is None:
                return key, asked, None
            message = f"{self.name}: {source} asks for {asked}, but {why}"
            if choice.missing == "error":
                raise NoKernel(f"{message}. {self.overview()}")
            warning = message
        for name in BEST[specs[0].device]:
            key = self._rung(name, specs, keywords)
            if self.refusal(key, specs, keywords) is None:
                return key, asked, warning and f"{warning}; running {key}"
        raise NoKernel(f"{self.name}: no kernel takes this call on the {specs[0].device}. {self.overview()}")

    def _rung(self, key: str, specs: Any, keywords: dict[str, Any]) -> str:
        """The key itself, or what its backend chooses for such a call."""
        self.find(key)
        backend = backend_of(key)
        choice = self.choices.get(backend.bodies) if key == backend.name else None
        return backend.name + choice(*specs, **keywords)[len(backend.bodies) :] if choice else key

    def find(self, key: str) -> Kernel | None:
        """The kernel registered under `key`, its file loaded first; None where there is none."""
        backend = backend_of(key)
        if backend.missing() is None:
            self._load(backend.bodies)
        return self.kernels.get(backend.bodies + key[len(backend.name) :])

    def refusal(self, key: str, specs: Any = (), keywords: dict[str, Any] | None = None) -> str | None:
        """Why the kernel `key` cannot run (this call, if specs are given); None when it can."""
        backend = backend_of(key)
        if specs and backend.device != specs[0].device:
            return f"{backend.name} takes arrays on the {backend.device}, these are on the {specs[0].device}"
        if why := backend.missing():
            return why
        kernel = self.find(key)
        if kernel is None and backend_of(key).bodies in self.choices and key == backend.name and not specs:
            return None
        if kernel is None:
            return "it has no such kernel"
        if specs and specs[0].dtype.name not in kernel.types:
            return f"it computes in {' and '.join(kernel.types)}, not in {specs[0].dtype}"
        if specs and kernel.refuses is not None and (why := kernel.refuses(*specs, **(keywords or {}))):
            return f"it refuses: {why}"
        return None

    def overview(self) -> str:
        """The kernels that exist, and the backends that cannot run here with the reason, in one line."""
        for backend in BACKENDS.values():
            self.find(backend.name)
        out = {name: why for name, backend in BACKENDS.items() if (why := backend.missing())}
        absent = "; ".join(f"{name}: {why}" for name, why in out.items())
        return f"It has {', '.join(self.kernels) or 'no kernels'}" + (f" ({absent})" if absent else "")

    def _load(self, bodies: str) -> None:
        if bodies in self._loaded:
            return
        family = self.forward.name if self.forward else self.name
        package = f"alexnet_np.kernels.{family.rstrip('_')}"
        if find_spec(package) and find_spec(f"{package}.{bodies}"):
            import_module(f"{package}.{bodies}")
        self._loaded.add(bodies)

    # Memory.

    def _check_out(self, xp: Any, out: Any, specs: tuple[Spec, ...], arrays: Any) -> None:
        given = out if isinstance(out, tuple) else (out,)
        if len(given) != len(specs):
            raise ValueError(f"{self.name}: out= needs {len(specs)} arrays ({', '.join(self.returns)})")
        for i, (name, array, spec) in enumerate(zip(self.returns, given, specs, strict=True)):
            if self.spec(name, array) != spec:
                wanted = f"{spec.dtype} {spec.shape} on the {spec.device}"
                raise ValueError(f"{self.name}: out= has {name} as {array.dtype} {array.shape}, expected {wanted}")
            for other_name, other in zip((*self.inputs, *self.returns), (*arrays, *given[:i]), strict=False):
                if xp.may_share_memory(array, other):
                    raise ValueError(f"{self.name}: out= has a {name} that overlaps {other_name}")

    def _scratch(self, xp: Any, given: Array, wanted: Spec | None, used: tuple[Any, Any]) -> Array:
        if wanted is None:
            return None
        if given is None:
            return xp.empty(wanted.shape, wanted.dtype)
        if self.spec("workspace", given).nbytes < wanted.nbytes:
            raise ValueError(f"{self.name}: workspace has {given.nbytes} bytes, {wanted.nbytes} are needed")
        arrays, out = used
        for array in (*arrays, *(out if isinstance(out, tuple) else (out,))):
            if xp.may_share_memory(given, array):
                raise ValueError(f"{self.name}: workspace overlaps an input or output")
        return given.reshape(-1).view(np.uint8)[: wanted.nbytes].view(wanted.dtype).reshape(wanted.shape)


class _NotPlain(Exception):
    """A keyword that is no plain Python value, such as a NumPy number: its call is resolved each time."""


def _exact(values: Any) -> bytes:
    """A key in which 1, 1.0 and True are not the same."""
    try:
        return dumps(values, 2)
    except ValueError:
        raise _NotPlain from None


def _plain(exact: bytes) -> Any:
    """The values of a key. A NumPy number is no error of marshal's: it went in as an array of bytes."""

    def holds_bytes(value: Any) -> bool:
        return isinstance(value, bytes) or (isinstance(value, tuple | list) and any(map(holds_bytes, value)))

    values = loads(exact)
    if holds_bytes(values):
        raise _NotPlain
    return values


def op(**options: Any) -> Callable[[Callable[..., Any]], Op]:
    """Make the decorated definition an operation; see Op for the options. Raises ValueError for a name taken."""

    def make(definition: Callable[..., Any]) -> Op:
        made = Op(definition, **options)
        if made.name in OPS:
            raise ValueError(f"an operation {made.name!r} exists already")
        OPS[made.name] = made
        return made

    return make


def load_kernels() -> dict[str, Op]:
    """Load the kernels of every operation on every backend that can run here; returns the table of operations."""
    for operation in OPS.values():
        operation.overview()
    return OPS
