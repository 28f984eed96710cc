"""Pictures of a training: conv1's filters as in the paper's Figure 3, curves, and the confusion matrix.

Drawn on figures of their own, without pyplot: a notebook's or a program's choice of where plots appear is its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from .backend import Array
from .terminal import shown
from .whole_files import replace_whole

COLUMNS = 8
AS_IT_IS: dict[str, Any] = {"parse_math": False, "usetex": False}  # for text with names in it, where $ is no formula


def tile(filters: Array) -> Array:
    """Filters (K, C, R, S) as one image in rows of 8, each scaled to its own range around grey."""
    K, C, R, S = filters.shape
    scaled = filters.transpose(0, 2, 3, 1)
    scaled = 0.5 + 0.5 * scaled / np.abs(scaled).max(axis=(1, 2, 3), keepdims=True)
    rows = -(-K // COLUMNS)
    sheet = np.ones((rows * (R + 1) + 1, COLUMNS * (S + 1) + 1, C))
    for k in range(K):
        top, left = k // COLUMNS * (R + 1) + 1, k % COLUMNS * (S + 1) + 1
        sheet[top : top + R, left : left + S] = scaled[k]
    return sheet


def draw_filters(path: Path, sets: dict[str, Array]) -> None:
    """Sets of filters side by side, by title. Grey is zero; three channels show as red, green and blue."""
    figure = Figure(figsize=(5 * len(sets), 2.4), layout="constrained")
    axes = figure.subplots(1, len(sets), squeeze=False)
    for axis, (title, filters) in zip(axes[0], sets.items(), strict=True):
        axis.imshow(tile(filters).squeeze(), cmap="gray", vmin=0, vmax=1)
        axis.set_title(shown(f"conv1, {title}"), **AS_IT_IS)
        axis.axis("off")
    save(figure, path)


def draw_curves(path: Path, records: list[dict[str, Any]], title: str) -> None:
    """Training and held-out loss above, held-out error below, over the epochs; a line where the learning rate drops.

    records: the lines of metrics.jsonl, in order, at least one.
    """
    steps, losses, rates = (np.array([r[key] for r in records], float) for key in ("step", "loss", "lr"))
    scored = [r for r in records if r["scores"]]
    # The first record with scores stands at the end of its epoch (counted from 0), which tells how many steps one has.
    epoch = scored[0]["step"] / (scored[0]["epoch"] + 1) if scored else 1
    x, ends = steps / epoch, [r["step"] / epoch for r in scored]
    width = max(1, len(steps) // 50)
    thin = max(1, len(steps) // 5000)  # more points than pixels only cost time
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(x[::thin], losses[::thin], color="0.75", linewidth=0.7, label="training, one step")
    if width > 1:
        mean = np.convolve(losses, np.ones(width) / width, "valid")
        middle = x[width // 2 :][: len(mean)]
        above.plot(middle[::thin], mean[::thin], color="C0", label=f"training, mean of {width:,} steps")
    above.plot(ends, [r["scores"]["loss"] for r in scored], "o-", color="C1", markersize=4, label="held out")
    top = np.nanquantile(np.where(np.isfinite(losses), losses, np.nan), 0.995)  # a spike must not flatten the rest
    heights = [top, *(r["scores"]["loss"] for r in scored)]
    above.set(ylabel="loss (cross-entropy, nats)", ylim=(0, 1.08 * max(v for v in heights if np.isfinite(v))))
    above.set_title(shown(title), **AS_IT_IS)
    for key, label, color in (("top1", "top-1", "C1"), ("top5", "top-5", "C2")):
        errors = [100 * (1 - r["scores"][key]) for r in scored]
        last = f"held out, {label}: {errors[-1]:.2f} % at the end" if errors else label
        below.plot(ends, errors, "o-", color=color, markersize=4, label=last)
    below.set(ylabel="error, %", ylim=(0, None), xlabel=f"epoch, of {epoch:,.0f} steps" if scored else "step")
    drops = np.flatnonzero(rates[1:] < 0.6 * rates[:-1]) + 1  # a smooth schedule has none
    for at in drops:
        for axis in (above, below):
            axis.axvline(x[at - 1], color="0.4", linestyle=":", linewidth=1)
        note, corner = f"ε {rates[at]:.2g}", (x[at - 1], 0.97)
        above.annotate(note, corner, (3, 0), ("data", "axes fraction"), "offset points", va="top", fontsize=8)
    for axis in (above, below):
        axis.grid(alpha=0.25)
        axis.set_xlim(0, 1.01 * x[-1])
        axis.legend(frameon=False, fontsize=9)
    save(figure, path)


NAMED, NUMBERED = 60, 20  # up to so many classes have their names at the sides, and numbers in the cells
CELLS = 250  # more than that, and a cell would be hardly more than a pixel


def draw_confusion(path: Path, confusion: Array, classes: Sequence[str], title: str) -> None:
    """A confusion matrix (K, K): row: the right class, column: what it was taken for, in % of the row's images.

    Colours follow the square root of the share, so that rare confusions show beside the diagonal. Where there are many
    classes a cell stands for a block of them and shows the largest share in it.
    """
    counts = confusion.sum(axis=1, keepdims=True)
    shares = 100 * np.divide(confusion, counts, out=np.zeros(confusion.shape), where=counts > 0)
    K, block = len(confusion), -(-len(confusion) // CELLS)
    starts = np.arange(0, K, block)
    cells = np.maximum.reduceat(np.maximum.reduceat(shares, starts), starts, axis=1)
    side = float(np.clip(1.5 + 0.42 * K, 3.6, 9.5))
    figure = Figure(figsize=(side + 3, side + 2), layout="compressed")
    axis = figure.subplots()
    end = len(cells) * block - 0.5
    norm, extent = PowerNorm(0.5, vmin=0, vmax=100), (-0.5, end, end, -0.5)
    image = axis.imshow(cells, cmap="Blues", norm=norm, extent=extent, interpolation="nearest")
    bar = figure.colorbar(image, ax=axis, fraction=0.046, pad=0.02, ticks=[0, 1, 5, 10, 25, 50, 75, 100])
    bar.set_label("share of the class's images, %" + (f", largest of {block} × {block} classes" if block > 1 else ""))
    if K <= NAMED:
        names, size = [_short(shown(name)) for name in classes], 9 if K <= NUMBERED else 6
        axis.set_xticks(range(K), names, rotation=90, fontsize=size, **AS_IT_IS)
        axis.set_yticks(range(K), names, fontsize=size, **AS_IT_IS)
    if K <= NUMBERED:
        for (row, column), share in np.ndenumerate(shares):
            if confusion[row, column]:
                colour = "white" if share > 35 else "black"
                axis.text(column, row, _percent(share), ha="center", va="center", fontsize=8, color=colour)
    number = "" if K <= NAMED else f" (number of {K:,})"
    axis.set(xlabel=f"taken for{number}", ylabel=f"right class{number}")
    axis.set_title("\n".join(map(shown, title.split("\n"))), fontsize=10, **AS_IT_IS)
    save(figure, path)


def _short(name: str, longest: int = 24) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _percent(share: float) -> str:
    return f"{share:.0f}" if share >= 0.95 else f"{share:.1f}"


def picture_format(path: Path) -> str:
    """The format that a picture's name asks for; PNG where it has no suffix. Raises ValueError for an unknown one."""
    form, known = path.suffix[1:].lower() or "png", FigureCanvasAgg.get_supported_filetypes()
    if form not in known:
        raise ValueError(f"{path}: a picture cannot be a .{form}; it can be {', '.join(sorted(known))}")
    return form


def save(figure: Figure, path: Path) -> None:
    """Write a picture, whole or not at all."""
    form = picture_format(path)
    replace_whole(path, lambda partial: figure.savefig(partial, dpi=130, format=form))
