"""A tape: calls of operations in a fixed order, on buffers that are laid out by when they are used.

What a plan on a GPU runs, and what its graph is captured from.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..backend import Array
from ..dispatch import NoKernel, Op
from ..operation import Spec
from .arena import Arena, Buffer
from .bound import Bound


class Call(NamedTuple):
    """A kernel, bound to its shapes, with its buffers.

    layers   whose work it does, to be shown
    dynamic  arrays that it reads when it runs
    """

    layers: str

    bound: Bound
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    workspace: Buffer | None
    dynamic: dict[str, Array]

    def __call__(self) -> None:
        room = self.workspace.array if self.workspace else None
        out = tuple(buffer.array for buffer in self.outputs)
        self.bound.run(*[buffer.array for buffer in self.inputs], out=out, workspace=room, **self.dynamic)


class Tape:
    """Calls are recorded, then laid out, then run as often as one likes."""

    def __init__(self, device: str) -> None:
        self.device, self.arena, self.calls = device, Arena(), list[Call]()
        self.layers = ""  # whose work the calls are that come now

    def fixed(self, name: str, array: Array) -> Buffer:
        """A buffer that stands for an array of its own."""
        buffer = Buffer(name, array.shape, array.dtype)
        buffer.hold(array)
        return buffer

    def takes(self, op: Op, *inputs: Buffer, **keywords: Any) -> bool:
        """Whether there is a kernel for such a call."""
        try:
            op.resolve(*map(self._spec, inputs), **keywords)
        except NoKernel:
            return False
        return True

    def call(self, op: Op, *inputs: Buffer, out: Sequence[Buffer] = (), **keywords: Any) -> tuple[Buffer, ...]:
        """Record a call; its outputs, in `out` where that is given. Raises what the operation raises."""
        bound = Bound(op, *map(self._spec, inputs), **keywords)
        moment, name = len(self.calls), f"{len(self.calls)} {op.name}"
        outputs = tuple(out) or tuple(
            self.arena.buffer(f"{name}.{of}", spec.shape, spec.dtype)
            for of, spec in zip(op.returns, bound.outputs, strict=True)
        )
        room = bound.workspace
        workspace = self.arena.buffer(f"{name}.workspace", room.shape, room.dtype) if room else None
        for buffer in (*inputs, *outputs, *([workspace] if workspace else [])):
            buffer.touch(moment)
        dynamic = {name: keywords[name] for name in op.dynamic}
        self.calls.append(Call(self.layers, bound, inputs, outputs, workspace, dynamic))
        return outputs

    def lay_out(self, *results: Buffer) -> None:
        """No more calls come. results: buffers that are read when all is done."""
        for buffer in results:
            buffer.touch(len(self.calls))
        self.arena.lay_out()

    def run(self) -> None:
        for call in self.calls:
            call()

    def _spec(self, buffer: Buffer) -> Spec:
        return Spec(buffer.shape, buffer.dtype, self.device)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """Its calls, to be shown: layers, operation, shape of the result, kernel."""
        return [
            (
                call.layers,
                call.bound.op.name,
                " × ".join(map(str, call.outputs[0].shape)) if call.outputs else "",
                call.bound.kernel,
            )
            for call in self.calls
        ]
