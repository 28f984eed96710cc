"""Pictures of a record: operations under the two roofs, bars for each layer, and the ratio to the peer by batch."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from alexnet_np.pictures import save

from .record import Record, Row

# Okabe and Ito's colours, which the colour-blind tell apart; each family has a marker of its own as well.
OURS, THEIRS, ROOF = "#0072B2", "#D55E00", "#555555"
FAMILIES = {
    "conv2d": ("#0072B2", "o"),
    "linear": ("#E69F00", "s"),
    "lrn": ("#009E73", "^"),
    "maxpool2d": ("#CC79A7", "D"),
    "relu": ("#56B4E9", "v"),
    "dropout": ("#D55E00", "P"),
    "sgd_momentum": ("#000000", "X"),
    "softmax": ("#999999", "*"),
}
VARIANT_STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"))
DIRECTIONS = {"conv2d": "forward", "conv2d_backward_data": "data", "conv2d_backward_weights": "weights"}


def draw(record: Record, beside: Path) -> list[Path]:
    """Write the pictures that the record has rows for, named after the file `beside`; returns their paths."""
    operations, networks = list(record.of("operation")), list(record.of("training", "inference"))
    made = []
    for name, figure in (
        ("roofline", roofline(operations) if operations else None),
        ("layers", layers(operations) if any(row.op in DIRECTIONS for row in operations) else None),
        ("batches", batches(networks) if any(row.peers() for row in networks) else None),
    ):
        if figure is not None:
            path = beside.with_name(f"{beside.stem}-{name}.png")
            save(figure, path)
            made.append(path)
    return made


def roofline(rows: list[Row]) -> Figure:
    """Rate of our chosen kernels against flop per byte, under the roofs as they were measured: median and spread."""
    figure = Figure(figsize=(8.5, 5.6), layout="constrained")
    axis = figure.subplots()
    intensity = np.array([row.flops / row.bytes for row in rows])
    reach = np.geomspace(0.7 * intensity.min(), 1.5 * intensity.max(), 200)
    gemm = np.concatenate([row.roofs.gemm for row in rows])
    copy = np.concatenate([row.roofs.copy for row in rows])
    middle = np.minimum(np.median(gemm), np.median(copy) * reach)
    low, high = (np.minimum(np.percentile(gemm, p), np.percentile(copy, p) * reach) for p in (10, 90))
    axis.fill_between(reach, low / 1e9, high / 1e9, color=ROOF, alpha=0.15, linewidth=0)
    label = f"roofs: {np.median(gemm) / 1e9:,.0f} GFLOP/s, {np.median(copy) / 1e9:,.1f} GB/s"
    axis.plot(reach, middle / 1e9, color=ROOF, label=label)
    for family, (colour, marker) in FAMILIES.items():
        here = [row for row in rows if row.op.startswith(family) and row.chosen in row.measured]
        if here:
            rates = [row.flops / row.measured[row.chosen].median / 1e9 for row in here]
            x = [row.flops / row.bytes for row in here]
            axis.scatter(x, rates, s=34, color=colour, marker=marker, label=family, edgecolor="white", linewidth=0.4)
    axis.set(xscale="log", yscale="log", xlabel="arithmetic of the definition, flop per byte", ylabel="GFLOP/s")
    axis.set_title("Operations under the roofs; above: fewer multiplications than the definition has", fontsize=10)
    axis.grid(alpha=0.25, which="both", linewidth=0.4)
    axis.legend(fontsize=8, loc="lower right")
    return figure


def layers(rows: list[Row]) -> Figure:
    """The convolutions as shares of the GEMM roof: ours chosen beside PyTorch at its best, one panel for a variant."""
    convolutions = [row for row in rows if row.op in DIRECTIONS]
    panels = [(key, list(group)) for key, group in groupby(convolutions, lambda row: (row.variant, row.batch))]
    figure = Figure(figsize=(9, 0.8 + 2.9 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)
    for axis, ((variant, batch), group) in zip(axes[:, 0], panels, strict=True):
        for side, (who, colour, hatch) in enumerate((("ours", OURS, ""), ("PyTorch at its best", THEIRS, "//"))):
            for place, row in enumerate(group):
                best = row.best(peer=bool(side))
                m = row.measured.get(best or "") if side else row.measured.get(row.chosen)
                if m:
                    low, high = m.spread
                    share, reach = 100 * row.share(m), 100 * row.share(m) * m.median / np.array([high, low])
                    axis.bar(place + 0.4 * side, share, 0.38, color=colour, hatch=hatch, edgecolor="white", label=who)
                    axis.vlines(place + 0.4 * side, *reach, color="black", linewidth=1)
        axis.axhline(100, color=ROOF, linewidth=1, linestyle="--")
        names = [f"{row.layer}\n{DIRECTIONS[row.op]}" for row in group]
        axis.set_xticks(np.arange(len(group)) + 0.2, names, fontsize=7)
        axis.set(ylabel="% of the roof", title=f"{variant}, batch {batch}; lines: p10 … p90")
        handles, labels = axis.get_legend_handles_labels()
        by_label = dict(zip(labels, handles, strict=True))  # each bar has brought its own
        axis.legend(by_label.values(), by_label.keys(), fontsize=8)
    return figure


def batches(rows: list[Row]) -> Figure:
    """How many times as fast as PyTorch at its best, over the batch: training and inference, a line for a variant."""
    kinds = [kind for kind in ("training", "inference") if any(row.kind == kind for row in rows)]
    figure = Figure(figsize=(4.6 * len(kinds), 4), layout="constrained")
    axes = figure.subplots(1, len(kinds), squeeze=False)
    variants = list(dict.fromkeys(row.variant for row in rows))
    for axis, kind in zip(axes[0], kinds, strict=True):
        sizes = sorted({row.batch for row in rows if row.kind == kind})
        for i, variant in enumerate(variants):
            colour, marker = VARIANT_STYLES[i % len(VARIANT_STYLES)]
            points = sorted(_ratios(rows, kind, variant))
            if points:
                axis.plot(*zip(*points, strict=True), color=colour, marker=marker, label=variant)
        axis.axhline(1, color=ROOF, linewidth=1, linestyle="--")
        axis.set(xscale="log", xlabel="batch", title=kind, ylim=(0, None))
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
        axis.grid(alpha=0.25, linewidth=0.4)
    axes[0, 0].set_ylabel("times as fast as PyTorch at its best")
    axes[0, 0].legend(fontsize=8)
    return figure


def _ratios(rows: list[Row], kind: str, variant: str) -> Iterator[tuple[int, float]]:
    for row in rows:
        if (row.kind, row.variant) == (kind, variant) and row.chosen in row.measured:
            ratio = row.ratio(row.measured[row.chosen])
            if ratio is not None:
                yield row.batch, ratio
