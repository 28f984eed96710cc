"""Bound: an operation with the kernel that was chosen for it once, to be run on the same shapes again and again."""

from collections.abc import Callable
from functools import partial
from operator import is_not
from typing import Any

from ..backend import Array
from ..dispatch import Op
from ..operation import Spec


class Bound:
    """`op` on arrays of these specs, by the kernel that `use()`, the environment and the device choose now.

    outputs    specs of what it returns
    keywords   in their one form, without those that change from step to step
    workspace  spec of the scratch array that a call needs, or None

    Raises what a call would raise where the specs do not fit or no kernel takes them.
    """

    def __init__(self, op: Op, *specs: Spec, **keywords: Any) -> None:
        self.op, call = op, op.resolve(*specs, **keywords)
        self.outputs, self.workspace, self.kernel, self.keywords = call.outputs, call.workspace, call.key, call.keywords
        self._check, self._body, self._prepare = op._check, call.kernel.body, call.kernel.prepare
        self._on, self._returns, self._works_in = call.kernel.on, bool(op.returns), call.kernel.workspace is not None

    def __call__(self, *arrays: Array, out: tuple[Array, ...], workspace: Array = None, **dynamic: Any) -> None:
        """Run on arrays; an operation's check of their values raises as ever. `dynamic`: as its name says."""
        if self._check is not None:
            self._check(**self.op.seen(arrays, {**self.keywords, **dynamic}))
        self.run(*arrays, out=out, workspace=workspace, **dynamic)

    def run(self, *arrays: Array, out: tuple[Array, ...], workspace: Array = None, **dynamic: Any) -> None:
        """The same without a look at their values: what may be captured into a graph."""
        if self._prepare is not None:
            arrays = tuple(
                self._prepare(a) if name == "w" else a for name, a in zip(self.op.inputs, arrays, strict=True)
            )
        self._body(*arrays, **self.keywords, **self._written(out, workspace), **dynamic)

    def on(self, *arrays: Array, out: tuple[Array, ...] = (), workspace: Array = None) -> Callable[..., None]:
        """A function that does the same on these arrays, as often as one likes. It takes what is dynamic by position,
        and some kernels begin sooner so: together half of what a small update takes."""
        if self._on is not None:
            run = self._on(*arrays, **self.keywords, **self._written(out, workspace))
        else:

            def run(*dynamic: Any) -> None:
                named = dict(zip(self.op.dynamic, dynamic, strict=True))
                self.run(*arrays, out=out, workspace=workspace, **named)

        if self._check is None:
            return run
        fixed = self.op.seen(arrays, self.keywords)
        check = partial(self._check, **fixed) if fixed else self._check

        def call(*dynamic: Any) -> None:
            check(*dynamic)
            run(*dynamic)

        return call

    def _written(self, out: tuple[Array, ...], workspace: Array) -> dict[str, Any]:
        """The body's arguments that are written."""
        arguments: dict[str, Any] = {}
        if self._returns:
            arguments["out"] = out if len(out) > 1 else out[0]
        if self._works_in:
            arguments["workspace"] = workspace
        return arguments


class Repeated:
    """A bound operation, bound to the arrays too that a call brings, and again when another comes with others."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self._given: tuple[Array, ...] = ()
        self._run: Callable[..., None] = bound.run

    def __call__(self, *arrays: Array, out: tuple[Array, ...] = (), workspace: Array = None, dynamic: Any = ()) -> None:
        """dynamic: by position, as the operation names them."""
        given = *arrays, *out, workspace
        if len(given) != len(self._given) or any(map(is_not, given, self._given)):
            self._given, self._run = given, self.bound.on(*arrays, out=out, workspace=workspace)
        self._run(*dynamic)
