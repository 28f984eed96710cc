"""Pictures of a training: conv1's filters as in the paper's Figure 3, and the loss curve."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .backend import Array

COLUMNS = 8


def tile(filters: Array) -> Array:
    """Filters (K, C, R, S) as one image in rows of 8, each scaled to its own range around grey."""
    K, C, R, S = filters.shape
    shown = filters.transpose(0, 2, 3, 1)
    shown = 0.5 + 0.5 * shown / np.abs(shown).max(axis=(1, 2, 3), keepdims=True)
    rows = -(-K // COLUMNS)
    sheet = np.ones((rows * (R + 1) + 1, COLUMNS * (S + 1) + 1, C))
    for k in range(K):
        top, left = k // COLUMNS * (R + 1) + 1, k % COLUMNS * (S + 1) + 1
        sheet[top : top + R, left : left + S] = shown[k]
    return sheet


def draw_filters(path: Path, sets: dict[str, Array]) -> None:
    """Sets of filters side by side, by title. Grey is zero; three channels show as red, green and blue."""
    figure, axes = plt.subplots(1, len(sets), figsize=(5 * len(sets), 2.4), squeeze=False, layout="constrained")
    for axis, (title, filters) in zip(axes[0], sets.items(), strict=True):
        axis.imshow(tile(filters).squeeze(), cmap="gray", vmin=0, vmax=1)
        axis.set_title(f"conv1, {title}")
        axis.axis("off")
    _save(figure, path)


def draw_loss(path: Path, records: list[dict[str, Any]]) -> None:
    """Loss of every step, its running mean, and the held-out accuracy after each epoch."""
    steps, losses = (np.array([record[key] for record in records], float) for key in ("step", "loss"))
    scored = [record for record in records if record["scores"]]
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    axis.plot(steps, losses, color="0.8", linewidth=0.8, label="loss of a step")
    width = max(1, len(steps) // 40)
    axis.plot(
        steps[width - 1 :], np.convolve(losses, np.ones(width) / width, "valid"), color="C0", label=f"mean of {width}"
    )
    axis.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    right = axis.twinx()
    right.plot(
        [r["step"] for r in scored],
        [100 * r["scores"]["top1"] for r in scored],
        "o-",
        color="C1",
        label="held-out accuracy",
    )
    right.set(ylabel="accuracy, %", ylim=(0, 100))
    lines = axis.get_lines() + right.get_lines()
    axis.legend(lines, [str(line.get_label()) for line in lines], loc="center right", frameon=False)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
