"""Grey images of more than 8 bits, brought to 8.

Where a format says how deep its pixels are, that is their range: 16 bits in PNG and PGM. A TIFF file's 32-bit integers
and floating-point numbers may mean anything, so their values tell: the range is the smallest of 0 … 1, 0 … 255 and
the like that holds them all, otherwise from the lowest to the highest.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..backend import Array

TOPS = 1, *(2**bits - 1 for bits in (8, 10, 12, 14, 16))  # of floats, and of what cameras and scanners give
BITS_PER_SAMPLE, SAMPLE_FORMAT = 258, 339  # TIFF's tags; format 1 is an unsigned integer


def eight_bits(image: Image.Image, opened: Any, name: str) -> Image.Image:
    """Mode 'L' of an image in mode 'I', 'I;16' or 'F'; `opened` is the file's first view of it, with its tags.

    Warns where values told the range, once for each folder. Raises ValueError for a pixel that is not finite.
    """
    pixels = np.asarray(image)
    if image.mode.startswith("I;16") or (opened.format in ("PNG", "PPM") and image.mode == "I"):
        return Image.fromarray((np.clip(pixels, 0, 65535) // 257).astype(np.uint8))
    if _is_unsigned(opened):
        pixels = pixels.view(np.uint32)
    low, high, what = _range(pixels)
    kind = "floating-point numbers" if image.mode == "F" else "32-bit integers"
    # Without the file's own name: Python shows a warning once for each text.
    place = Path(name).parent if Path(name).parent.name else Path(name)
    warnings.warn(f"{place}: pixels are {kind}; {what} became black … white", stacklevel=2)
    return Image.fromarray(np.rint((pixels - low) * (255 / (high - low))).astype(np.uint8))


def _is_unsigned(opened: Any) -> bool:
    """Whether these are 32-bit integers without a sign, which Pillow shows as integers with one."""
    tags = getattr(opened, "tag_v2", {})
    return bool(opened.mode == "I" and tags.get(BITS_PER_SAMPLE) == (32,) and tags.get(SAMPLE_FORMAT, (1,)) == (1,))


def _range(pixels: Array) -> tuple[float, float, str]:
    """What becomes 0 and 255, and how that is said. Raises ValueError where a pixel is infinite or NaN."""
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("its pixels are not all finite numbers")
    top = next((top for top in TOPS if low >= 0 and high <= top), None)
    if top is not None:
        return 0, top, f"0 … {top}"
    return low, high if high > low else low + 1, "the lowest … highest of each image"
