"""A target with what is measured of it once: its output, the noise of that, and columns and rows of its Jacobian."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import Array
from .numeric import Column, Moved, column, ladder, noise_of
from .targets import Arrays, Target


class Probe:
    """y is flat and float64; `shape` and `dtype` are the output's. `step` is a rung of the ladder of steps."""

    def __init__(self, target: Target, seed: int, step: float | None = None) -> None:
        self.target, self.arrays = target, target.arrays
        self.steps = ladder(min(a.dtype.itemsize for a in self.arrays.values()), step)
        y = np.array(target.forward(self.arrays))
        self.shape, self.dtype = y.shape, y.dtype
        self.y = y.astype(np.float64).ravel()
        self.decisions = target.decisions()
        self.noise = noise_of(target.forward, self.arrays, seed)

    def upstream(self, random: np.random.Generator) -> Array:
        """A random dy of the output's shape and dtype; ones where the backward takes none."""
        dy = random.standard_normal(self.shape) if self.target.upstream else np.ones(self.shape)
        return dy.astype(self.dtype)

    def gradients(self, dy: Array) -> Arrays:
        """What backward makes of dy, flat or of the output's shape."""
        return self.target.backward(self.arrays, np.asarray(dy, self.dtype).reshape(self.shape))

    def row(self, o: int) -> Arrays:
        """Row o of the Jacobian as backward has it: the gradients of the one output."""
        one = np.zeros(self.y.size)
        one[o] = 1
        return self.gradients(one)

    def element(self, key: str, members: list[int]) -> Column:
        """The numeric column of one element of an array, or of a few equal ones that move as one."""
        array, i = self.arrays[key], members[0]
        values = array.flat[members].copy()
        steps = self._steps(abs(float(values[0])), _spread(array))

        def along(t: float) -> Moved:
            try:
                array.flat[members] = values + array.dtype.type(t)
                return Moved(float(array.flat[i]) - float(values[0]), *self._outputs())
            finally:
                array.flat[members] = values

        return column(along, self.y, steps, self.noise)

    def direction(self, directions: Arrays) -> Column:
        """The numeric derivative as whole arrays move along `directions`, with elements about as large."""
        along = self.along(directions)
        # Each element is rounded when it moves, by eps of it: a direction of its own, as random as this one.
        h = float(self.steps[len(self.steps) // 2])
        slope = np.abs(along(h).y - along(-h).y) / (2 * h)
        eps = max(np.finfo(d.dtype).eps for d in directions.values())
        moved = eps * np.maximum(slope, np.sqrt(np.mean(slope**2)))
        return column(along, self.y, self.steps, self.noise + moved)

    def along(self, directions: Arrays) -> Callable[[float], Moved]:
        """From t to t and the outputs where whole arrays have moved by t times `directions`."""
        values = {key: self.arrays[key].copy() for key in directions}

        def along(t: float) -> Moved:
            try:
                for key, direction in directions.items():
                    np.multiply(direction, t, out=self.arrays[key])
                    self.arrays[key] += values[key]
                return Moved(t, *self._outputs())
            finally:
                for key, before in values.items():
                    self.arrays[key][...] = before

        return along

    def random_direction(self, key: str, random: np.random.Generator) -> Array:
        """Normal numbers with the array's own root mean square."""
        array: Any = self.arrays[key]
        return (random.standard_normal(array.shape) * (_spread(array) or 1.0)).astype(array.dtype)

    def _steps(self, size: float, spread: float) -> Array:
        """Steps for an element of this size among others; more of them for one that is much smaller than they are."""
        scale = max(size, spread) or 1.0
        more = int(np.ceil(np.log2(scale / size) / 2)) if 0 < size < scale / 16 else 0
        rungs = [*self.steps, *(self.steps[-1] * 4.0 ** -np.arange(1, min(more, len(self.steps)) + 1))]
        return scale * np.array(rungs)

    def _outputs(self) -> tuple[Array, Array]:
        """The outputs, flat, and for which of them the layer has decided otherwise than at x."""
        # A large step may leave the function's domain; it then decides nothing, and is no business of the user's.
        with np.errstate(all="ignore"):
            y = np.array(self.target.forward(self.arrays), np.float64).ravel()
        if self.decisions is None or (now := self.target.decisions()) is None:
            return y, np.zeros(y.size, bool)
        return y, now != self.decisions


def _spread(array: Array) -> float:
    """The root mean square: how large its elements are."""
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))
