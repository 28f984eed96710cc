"""From the bytes of an image file to pixels: every mode, depth and orientation becomes upright 8-bit RGB or grey.

Pillow tells the format from the content (ILSVRC has PNG files that are named .JPEG). Plain JPEGs are decompressed by
simplejpeg where it is installed: the same library, libjpeg-turbo, with the same settings and the same pixels.
`decoder()` says which one runs.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..backend import Array
from .depth import eight_bits
from .named_warnings import about

JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
SUFFIXES = JPEG | {".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
LARGE, DENSEST = 1 << 24, 10_000  # more pixels than LARGE need a byte for each DENSEST: a black PNG of 1 bit has that
GAP = 2  # a JPEG may be decompressed at a fraction of its size that is still this many times what is wanted
FULL_SIZE = (), (1, 0)  # Pillow's settings of a JPEG that is not reduced
ORIENTATION = 0x0112  # the EXIF tag; its values, beside 1 for upright, and what turns such an image upright
TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@cache
def _simplejpeg() -> Any:
    return import_module("simplejpeg") if find_spec("simplejpeg") else None


def decoder() -> str:
    """What decompresses plain JPEG files here, with its version."""
    return f"simplejpeg {version('simplejpeg')}" if _simplejpeg() else f"Pillow {version('pillow')}"


def decode(content: bytes, name: str, shape: tuple[int, int, int]) -> Array:
    """An image as uint8 `shape` (C, H, W): its shorter side is brought to the window's, then the centre is cut out.

    Raises ValueError, with the image's name, where the content is truncated or no image.
    """
    channels, height, width = shape
    mode = "RGB" if channels == 3 else "L"
    with opened_image(content, name, max(height, width)) as opened:
        pixels = _by_simplejpeg(content, opened)
        top, left = opened.height - height, opened.width - width
        if pixels is not None and opened.mode == mode and min(top, left) == 0 and _turn(opened) is None:
            # What `fit` does with an image of the right size, without Pillow's own copies.
            pixels = pixels[top // 2 : top // 2 + height, left // 2 : left // 2 + width]
        else:
            pixels = np.asarray(fit(_upright(opened, pixels, mode, name), height, width))
    return pixels.transpose(2, 0, 1) if channels == 3 else pixels[None]


def upright(content: bytes, name: str, mode: str | None, side: int) -> Image.Image:
    """An image of 8 bits, turned as its EXIF data say, in mode 'RGB' or 'L'; None: whichever of the two it is.

    side: what its shorter side will be reduced to; a large JPEG is decompressed at 1/2, 1/4 or 1/8 of its size.
    Transparent images are laid on white. Raises ValueError, with the name, where the content is truncated or no image.
    """
    with opened_image(content, name, side) as opened:
        return _upright(opened, _by_simplejpeg(content, opened), mode, name)


@contextmanager
def opened_image(content: bytes, name: str, side: int) -> Iterator[Any]:
    """Pillow's view of an image, its header read; errors and warnings inside get the image's name.

    side: what its shorter side will be reduced to. Raises ValueError for what says that it is far larger than its bytes
    can tell: memory is taken for all of a damaged image before it is found to be one.
    """
    try:
        with about(name), Image.open(io.BytesIO(content)) as opened:
            pixels = opened.width * opened.height
            if pixels == 0 or pixels > max(LARGE, DENSEST * len(content)):
                raise ValueError(f"it says that it has {opened.width}×{opened.height} pixels in {len(content)} bytes")
            opened.draft(None, (GAP * side, GAP * side))
            yield opened
    except MemoryError:
        raise
    except UnidentifiedImageError:
        raise ValueError(f"{name} cannot be read as an image: {'unknown format' if content else 'empty'}") from None
    except Exception as error:  # Pillow's parsers raise whatever they stumble over in damaged bytes
        raise ValueError(f"{name} cannot be read as an image: {error}") from error


def _by_simplejpeg(content: bytes, opened: Any) -> Array | None:
    """(H, W, 3) or (H, W); None where it is Pillow's case: another format, or a damaged file to judge."""
    plain = opened.format == "JPEG" and opened.mode in ("RGB", "L") and opened.decoderconfig in FULL_SIZE
    if not (plain and (simplejpeg := _simplejpeg())):
        return None
    try:
        pixels = simplejpeg.decode_jpeg(content, "RGB" if opened.mode == "RGB" else "GRAY")
    except ValueError:
        return None
    return pixels if opened.mode == "RGB" else pixels[..., 0]


def _upright(opened: Any, pixels: Array | None, mode: str | None, name: str) -> Image.Image:
    image = opened if pixels is None else Image.fromarray(pixels)
    image.load()
    if (turn := _turn(opened)) is not None:
        image = image.transpose(turn)
    return _opaque(eight_bits(image, opened, name) if image.mode[0] in "IF" else image, mode)


def _turn(opened: Any) -> Image.Transpose | None:
    return TURN.get(opened.getexif().get(ORIENTATION, 1))


def _opaque(image: Image.Image, mode: str | None) -> Image.Image:
    mode = mode or ("L" if image.mode in ("1", "L", "LA") else "RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def fit(image: Image.Image, height: int, width: int) -> Image.Image:
    """The centre of an image that was resized, with an antialiasing filter, so that it just covers height × width."""
    scale = max(height / image.height, width / image.width)
    rows, columns = max(height, round(image.height * scale)), max(width, round(image.width * scale))
    top, left = (rows - height) // 2, (columns - width) // 2
    box = left, top, left + width, top + height
    if (columns, rows) == image.size:
        return image if box == (0, 0, *image.size) else image.crop(box)
    # Only the pixels of the window are computed: those of the whole resized image, cut out afterwards.
    x, y = image.width / columns, image.height / rows
    seen = box[0] * x, box[1] * y, min(box[2] * x, image.width), min(box[3] * y, image.height)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=seen)
