"""The stage of one layer, whichever it is: its operation, the backwards and the update, each by its bound kernel."""

from typing import Any

from ..dispatch import OPS
from ..layers import Dropout, Flatten, Layer
from ..operation import Spec
from .arena import Arena, Buffer
from .bound import Bound, Repeated
from .stage import Moments, Stage, spec
from .update import Update

PARAMETER = {"w": "weight", "b": "bias"}  # an operation's name for it, and the layer's


class LayerStage(Stage):
    """A layer by the kernels that a plain call would run, on images with channels first."""

    def __init__(self, name: str, layer: Layer, x: Buffer, sgd: Any) -> None:
        super().__init__({name: layer}, x, sgd)
        self.layer = layer
        self.params_of = {of: layer.params[PARAMETER[of]] for of in layer.op.inputs if of in PARAMETER}
        weights = [Spec(p.shape, p.dtype) for p in self.params_of.values()]
        keywords = {**layer.options, **self._key()}
        self.run = {
            train: Repeated(Bound(layer.op, spec(x), *weights, **keywords, **({"train": train} if self._key() else {})))
            for train in (False, True)
        }
        outputs = self.run[True].bound.outputs
        self.outputs = {
            of: Buffer(f"{name}.{of}", out.shape, out.dtype, "first" if len(out.shape) == 4 else "")
            for of, out in zip(layer.op.returns, outputs, strict=True)
        }
        self.y = self.outputs[layer.op.returns[0]]

    def _key(self) -> dict[str, Any]:
        return {"key": self.layer.key} if isinstance(self.layer, Dropout) else {}

    @property
    def kernels(self) -> str:
        return self.run[True].bound.kernel

    def reserve(self, arena: Arena, moments: Moments, workers: int) -> None:
        self.x.touch(moments.forward)
        for buffer in self.outputs.values():
            arena.add(buffer).touch(moments.forward)
        self.scratch = _scratch(arena, f"{self.name}.workspace", self.run[True].bound.workspace, moments.forward)
        self.backwards: list[tuple[Repeated, list[str], tuple[Buffer, ...], Buffer | None]] = []
        self.updates: list[Update] = []
        if moments.backward is None:
            return
        assert self.dy
        known = {"x": self.x, **self.outputs, "dy": self.dy}
        self.dy.touch(moments.backward)
        for op_name in self.layer.op.backward:
            op = OPS[op_name]
            if not any(map(self._needs, op.returns)):
                continue
            specs = [spec(known[of]) if of in known else Spec(*_shape(self.params_of[of])) for of in op.inputs]
            shapes = {f"{of}_shape": array.shape for of, array in {**known, **self.params_of}.items()}
            options = {**self.layer.options, **self._key(), **shapes}
            bound = Bound(op, *specs, **{k: v for k, v in options.items() if k in op.keywords})
            made = []
            for of, out in zip(op.returns, bound.outputs, strict=True):
                if of == "dx":
                    assert self.dx
                    made.append(self.dx.touch(moments.backward))
                else:
                    made.append(arena.buffer(f"{self.name}.{of}", out.shape, out.dtype).touch(moments.backward))
                    if self._trains(of):
                        self.updates.append(Update(self.name, self.layer, PARAMETER[of[1:]], made[-1], self.sgd))
            scratch = _scratch(arena, f"{self.name}.{op_name}.workspace", bound.workspace, moments.backward)
            for of in op.inputs:
                if of in known:
                    known[of].touch(moments.backward)
            self.backwards.append((Repeated(bound), list(op.inputs), tuple(made), scratch))

    def _needs(self, gradient: str) -> bool:
        return self.dx is not None if gradient == "dx" else self._trains(gradient)

    def _trains(self, gradient: str) -> bool:
        return self.trained(f"{self.name}.{PARAMETER[gradient[1:]]}")

    def forward(self, train: bool) -> None:
        out = tuple(buffer.array for buffer in self.outputs.values())
        arrays = [self.x.array, *self.params_of.values()]
        self.run[train](*arrays, out=out, workspace=self.scratch and self.scratch.array, dynamic=self._key().values())

    def backward(self, lr: float) -> None:
        assert self.dy
        values = {"x": self.x.array, "dy": self.dy.array, **self.params_of}
        values |= {of: buffer.array for of, buffer in self.outputs.items()}
        for run, inputs, made, scratch in self.backwards:
            out = tuple(buffer.array for buffer in made)
            room = scratch and scratch.array
            run(*[values[of] for of in inputs], out=out, workspace=room, dynamic=self._key().values())
        for update in self.updates:
            update(lr)


class FlattenStage(Stage):
    """Flatten of images with channels first: the same memory, seen as rows."""

    def __init__(self, name: str, layer: Flatten, x: Buffer, sgd: Any) -> None:
        super().__init__({name: layer}, x, sgd)
        self.y = x.view(f"{name}.y", layer.infer(spec(x))[0].shape)

    @property
    def kernels(self) -> str:
        return "a view"

    def gradient(self, arena: Arena) -> Buffer:
        return self.dx.view(f"d{self.y.name}", self.y.shape) if self.dx else super().gradient(arena)

    def reserve(self, arena: Arena, moments: Moments, workers: int) -> None:
        self.x.touch(moments.forward)

    def forward(self, train: bool) -> None:
        pass

    def backward(self, lr: float) -> None:
        pass


def _scratch(arena: Arena, name: str, wanted: Spec | None, moment: int) -> Buffer | None:
    return arena.buffer(name, wanted.shape, wanted.dtype).touch(moment) if wanted else None


def _shape(array: Any) -> tuple[Any, Any]:
    return array.shape, array.dtype
