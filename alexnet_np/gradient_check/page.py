"""Reports as one self-contained HTML page: a table of the gradients, maps of their elements, the worst of them."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, select_autoescape
from PIL import Image

from ..backend import Array
from .report import KINDS, Compared, Report, Row

MAPPED = 1 << 16  # elements of the largest array that is drawn
WORST = 10  # elements in the table
# Readable with any colour vision: blue to red through white, and orange to black through red.
BLUE, WHITE, RED, ORANGE, BLACK, GREY = (
    (33, 102, 172),
    (255, 255, 255),
    (178, 24, 43),
    (230, 145, 56),
    (0, 0, 0),
    (225, 225, 225),
)
CLASSES = {"smooth": (200, 220, 240), "bracketed": ORANGE, "undecided": (120, 60, 140)}


class Element(NamedTuple):
    """A line of the table of the worst elements."""

    at: str
    kind: str
    analytic: float
    numeric: float
    share: float


def page(reports: list[Report], title: str = "gradient check") -> str:
    """The reports as HTML; what it shows is inside, so that it can be sent and kept."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=select_autoescape(["html"]), trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("page.html")
    return template.render(title=title, reports=reports, pictures=pictures, worst=worst, kinds=list(CLASSES.items()))


def worst(row: Row) -> list[Element]:
    """The elements with the largest share of their bound, the worst first."""
    found = row.compared
    if found is None:
        return []
    share = _share(found)
    lines = []
    for n in np.argsort(-share, kind="stable")[:WORST]:
        at = ", ".join(map(str, np.unravel_index(int(found.places[n]), row.shape)))
        lines.append(Element(f"({at})", found.kinds[n], found.analytic[n], found.numeric[n], float(share[n])))
    return lines


def pictures(row: Row) -> list[tuple[str, str, int, int]]:
    """(caption, PNG as a data address, width, height) of each map; none where the array is too large to draw."""
    found = row.compared
    if found is None or row.elements > MAPPED:
        return []
    size = float(np.abs(found.numeric[np.isfinite(found.numeric)]).max(initial=0)) or 1.0
    kinds = np.array([KINDS.index(kind) for kind in found.kinds])
    maps = {
        f"analytic, ±{size:.3g}": _between(found.analytic / size),
        f"numeric, ±{size:.3g}": _between(found.numeric / size),
        "difference": _beyond(_share(found), np.abs(found.analytic - found.numeric) / size),
        "class": np.array(list(CLASSES.values()), np.uint8)[kinds],
    }
    return [(caption, *_png(_mosaic(row.shape, found.places, colours))) for caption, colours in maps.items()]


def _share(found: Compared) -> Array:
    share = np.abs(found.analytic - found.numeric) / found.bound
    return np.where(np.isfinite(share), share, np.inf)


def _between(values: Array) -> Array:
    """Colours of −1 … 1, from blue through white to red; black for what is not a number."""
    v = np.clip(np.nan_to_num(values), -1, 1)[:, None]
    ends = np.where(v < 0, np.array(BLUE), np.array(RED))
    colours = np.array(WHITE) + np.abs(v) * (ends - np.array(WHITE))
    colours[~np.isfinite(values)] = BLACK
    return colours.astype(np.uint8)


def _beyond(share: Array, difference: Array) -> Array:
    """Colours of differences, as shares of the largest value: white within their bounds; beyond them from orange, at
    1e-12, through red, at 1e-6, to black, at 1 and where there is no number."""
    decades = np.log10(np.clip(np.nan_to_num(difference, nan=1.0), 1e-12, 1.0))[:, None] / 6 + 1  # −1 … 1
    ends = np.where(decades < 0, np.array(ORANGE), np.array(BLACK))
    colours = np.array(RED) + np.abs(decades) * (ends - np.array(RED))
    return np.where(share[:, None] <= 1, np.array(WHITE), colours).astype(np.uint8)


def _mosaic(shape: tuple[int, ...], places: Array, colours: Array) -> Array:
    """The array as a picture (height, width, 3): its last two axes as tiles, those before them as their grid."""
    pixels = np.full((int(np.prod(shape)), 3), GREY, np.uint8)
    pixels[places] = colours
    full = (1,) * (4 - len(shape)) + shape if len(shape) < 4 else (int(np.prod(shape[:-3])), *shape[-3:])
    rows, columns, height, width = full
    if len(shape) < 3:
        return pixels.reshape(height, width, 3)
    tiles = np.full((rows, height + 1, columns, width + 1, 3), 255, np.uint8)
    tiles[:, :height, :, :width] = pixels.reshape(*full, 3).transpose(0, 2, 1, 3, 4)
    return tiles.reshape(rows * (height + 1), columns * (width + 1), 3)[:-1, :-1]


def _png(picture: Any) -> tuple[str, int, int]:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    height, width = picture.shape[:2]
    scale = max(1, min(24, 320 // max(height, width)))
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}", width * scale, height * scale
