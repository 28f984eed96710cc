"""Bound: an operation with the kernel that was chosen for it once, to be run on the same shapes again and again."""

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
        self._returns, self._works_in = bool(op.returns), call.kernel.workspace is not None

    def __call__(self, *arrays: Array, out: tuple[Array, ...], workspace: Array = None, **dynamic: Any) -> None:
        """Run on arrays; an operation's check of their values raises as ever. `dynamic`: as its name says."""
        if self._check is not None:
            self._check(*arrays, **self.keywords, **dynamic)
        self.run(*arrays, out=out, workspace=workspace, **dynamic)

    def run(self, *arrays: Array, out: tuple[Array, ...], workspace: Array = None, **dynamic: Any) -> None:
        """The same without a look at their values: what may be captured into a graph."""
        if self._returns:
            dynamic["out"] = out if len(out) > 1 else out[0]
        if self._works_in:
            dynamic["workspace"] = workspace
        if self._prepare is not None:
            arrays = tuple(
                self._prepare(a) if name == "w" else a for name, a in zip(self.op.inputs, arrays, strict=True)
            )
        self._body(*arrays, **self.keywords, **dynamic)
