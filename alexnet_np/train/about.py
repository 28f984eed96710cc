"""What a checkpoint holds beside its arrays, as JSON in the file's metadata.

A file may be of another version, or written by another program: every value is looked at before it is used.
"""

from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, get_type_hints

from .recipe import LIMIT
from .typed import typed

PIXELS = {"scale": float, "crop": tuple[int, ...] | None, "mirror": bool, "colour_std": float}


@dataclass(frozen=True)
class About:
    """The state of a run that is no array; see `Run`. Raises ValueError for a value that no run can have.

    recipe    the fields of its Recipe
    pixels    and schedule: their states, see `Pixels.about` and `Schedule.state`
    data      the fingerprint of the images, see `data.fingerprint`; None in files of format 2
    """

    recipe: dict[str, Any]
    classes: tuple[str, ...]
    images: int
    input_shape: tuple[int, ...]
    pixels: dict[str, Any]
    iteration: int
    loss: float | None
    scored: int
    best: float | None
    schedule: dict[str, Any]
    data: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        whole = self.images, self.iteration, self.scored, *self.input_shape
        if not all(0 <= n < LIMIT for n in whole) or len(self.input_shape) != 3 or 0 in self.input_shape:
            raise ValueError(f"its images, iteration, scored and input_shape are {whole}")
        if not all(n is None or isfinite(n) for n in (self.loss, self.best)):
            raise ValueError(f"its loss and best are {self.loss} and {self.best}")
        if len(self.classes) < 2:
            raise ValueError(f"it has {len(self.classes)} classes")
        if self.data is not None and not all(isinstance(part, dict) for part in self.data.values()):
            raise ValueError("its data are no fingerprint")
        pixels = typed(self.pixels, PIXELS)
        if pixels.keys() != PIXELS.keys() or len(pixels["crop"] or (1, 1)) != 2:
            raise ValueError(f"its pixels have {self.pixels}")
        if not isfinite(pixels["scale"]) or not isfinite(pixels["colour_std"]):
            raise ValueError(f"its scale and colour_std are {pixels['scale']} and {pixels['colour_std']}")

    @classmethod
    def of(cls, content: Any) -> "About":
        """From what JSON held. Raises ValueError where something is missing, unknown, or of another type."""
        if not isinstance(content, dict):
            raise ValueError("its metadata are no table")
        if missing := [f.name for f in fields(cls) if f.name not in content and f.name != "data"]:
            raise ValueError(f"it lacks {', '.join(missing)}")
        return cls(**typed(content, get_type_hints(cls)))
