"""Stages: what a plan is made of. A stage does the work of one layer, or of a few that are fused, on fixed buffers.

Every stage says beforehand which buffers it touches when, so that the arena can be laid out; then it runs forward and
backward without allocating. A backward ends with the update of the stage's parameters.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from ..backend import Array
from ..layers import Layer
from ..operation import Spec
from .arena import Arena, Buffer

Step = Callable[[int, int], Any]


class Moments(NamedTuple):
    """When a stage runs, counted in stages from the beginning of a step. backward: None where it never does."""

    forward: int
    backward: int | None = None

    @property
    def all(self) -> tuple[int, ...]:
        return (self.forward,) if self.backward is None else (self.forward, self.backward)


class Stage(ABC):
    """Work on fixed buffers.

    layers   the layers it does the work of, by name
    x, y     what it reads and what it makes; a subclass makes y
    dy, dx   the gradients of y, which it may overwrite, and of x, which it makes; None where nobody needs them
    sgd      the optimizer, see train.SGD; None where nothing is trained
    """

    y: Buffer

    def __init__(self, layers: dict[str, Layer], x: Buffer, sgd: Any) -> None:
        self.layers, self.x, self.sgd = layers, x, sgd
        self.dx: Buffer | None = None
        self.dy: Buffer | None = None

    @property
    def name(self) -> str:
        return " ".join(self.layers)

    @property
    @abstractmethod
    def kernels(self) -> str:
        """The kernels that it runs, to be shown."""

    def gradient(self, arena: Arena) -> Buffer:
        """A buffer for dy; dx is there already."""
        return arena.buffer(f"d{self.y.name}", self.y.shape, self.y.dtype, self.y.layout)

    @abstractmethod
    def reserve(self, arena: Arena, moments: Moments, workers: int) -> None:
        """Make its other buffers in the arena, and touch all it works on. dy and dx are there where it runs backward.

        workers: how many threads may work at once.
        """

    @abstractmethod
    def forward(self, train: bool) -> None:
        """y from x."""

    in_steps = False  # whether it has steps

    def steps(self, state: Array, compare: bool) -> list[Step]:
        """A prediction's forward as steps that all threads do together: step(part, parts), with a wait between them.

        state: of the threads' barrier, for turns and waits of a step's own. A step that returns True ends it all:
        `compare` was asked for, and what is kept of some weights is of others than they are now. Then comes `renew`,
        and all again.
        """
        raise NotImplementedError(f"{type(self).__name__} has no steps")

    def renew(self) -> None:  # noqa: B027 (most keep nothing)
        """Make anew what is kept of weights between predictions, where those were changed."""

    @abstractmethod
    def backward(self, lr: float) -> None:
        """dx from dy, where there is a dx; then the update of the parameters that are trained."""

    def params(self) -> dict[str, Array]:
        """Its parameters by full name."""
        return {f"{name}.{key}": value for name, layer in self.layers.items() for key, value in layer.params.items()}

    def trained(self, name: str) -> bool:
        """Whether the parameter of this full name is updated."""
        return self.sgd is not None and name in self.sgd.velocity


def spec(of: Buffer) -> Spec:
    return Spec(of.shape, of.dtype)
