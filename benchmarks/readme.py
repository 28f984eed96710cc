"""Writes README's tables, of the variants and of the newest record: `python -m alexnet_np.benchmarks.readme`."""

import re
import sys
from math import prod
from pathlib import Path

from alexnet_np.models import VARIANTS, alexnet

from .record import Measured, Record, Row, read

RESULTS = Path(__file__).resolve().parent / "results"
CLASSES = {"cifar": 10, "fashion": 10, "mini": 10}


def variants() -> str:
    """One row for each variant: input, parameters, multiply-adds of an image, and what it is."""
    lines = ["| variant | input | parameters | multiply-adds | what it is |", "|---|---|---|---|---|"]
    for name, variant in VARIANTS.items():
        model = alexnet(name, CLASSES.get(name, 1000))
        weights = sum(prod(layer.param_specs()[key].shape) for _, layer, key in model.parameters())
        products = sum(cost.flops for layer, cost in model.costs().items() if model[layer].param_specs()) // 2
        channels, height, _ = variant.input_shape
        side = f"{height}" if channels == 3 else f"{height}, grey"
        lines.append(f"| `{name}` | {side} | {weights:,} | {products / 1e6:,.1f} M | {variant.summary} |")
    return "\n".join(lines)


def speed(results: Path = RESULTS) -> str:
    """One row for each network and batch of the newest record: ours beside PyTorch at its best."""
    newest = newest_of(results)
    if newest is None:
        return "No record is committed yet; `make bench` makes one."
    about = newest.about
    lines = [
        f"{about['cpu']} ({about['isa']}), {newest.threads} threads, PyTorch {about['torch']}, {about['date'][:10]}; "
        "medians, in brackets p10 … p90.",
        "",
        "| | batch | ours, images/s | PyTorch at its best, images/s | its mode | times as fast |",
        "|---|---|---|---|---|---|",
    ]
    for row in newest.of("training", "inference"):
        mode, ours = row.best(peer=True), row.measured.get(row.chosen)
        if mode is None or ours is None:
            continue
        cells = [f"`{row.variant}` {row.kind}", str(row.batch), images(row, ours), images(row, row.measured[mode])]
        lines.append(
            f"| {' | '.join(cells)} | {mode.removeprefix('torch').strip() or 'eager'} | {row.ratio(ours):.2f} |"
        )
    return "\n".join(lines)


def ladder(results: Path = RESULTS) -> str:
    """A convolution's rungs in the newest record, a row for each layer and direction of its first variant."""
    newest = newest_of(results)
    rows = [row for row in newest.of("operation") if row.op.startswith("conv2d")] if newest else []
    if not rows:
        return "No record of operations is committed yet; `make bench` makes one."
    rows = [row for row in rows if (row.variant, row.batch) == (rows[0].variant, rows[0].batch)]
    times: dict[str, list[float]] = {}
    for row in rows:
        for name, measured in row.ours().items():
            times.setdefault(name, []).append(measured.median)
    names = sorted(times, key=lambda name: -sum(times[name]) / len(times[name]))
    lines = [
        f"`{rows[0].variant}`, batch {rows[0].batch}: milliseconds, share of the GEMM roof, error as a share of the "
        "largest value; what runs by default is bold.",
        "",
        f"| layer | direction | {' | '.join(f'`{name}`' for name in names)} | PyTorch |",
        "|" + "---|" * (len(names) + 3),
    ]
    for row in rows:
        cells = [rung(row, row.measured.get(name), name == row.chosen) for name in names]
        peer = row.best(peer=True)
        cells.append(rung(row, row.measured[peer] if peer else None, False))
        direction = row.op.removeprefix("conv2d").strip("_").removeprefix("backward_") or "forward"
        lines.append(f"| {row.layer} | {direction} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rung(row: Row, measured: Measured | None, chosen: bool) -> str:
    """A cell of the ladder."""
    if measured is None:
        return ""
    error = "" if measured.error is None else f", {measured.error:.0e}"
    cell = measured.wrong or f"{1e3 * measured.median:,.0f}, {row.share(measured):.0%}{error}"
    return f"**{cell}**" if chosen else cell


def newest_of(results: Path) -> Record | None:
    """The record of the latest day, the fullest of that day; None where there is none."""
    records = [read(path) for path in sorted(results.glob("*.json"))]
    return max(records, key=lambda record: (str(record.about["date"])[:10], len(record.rows)), default=None)


def images(row: Row, measured: Measured) -> str:
    """Images a second: the median, p10 … p90; or that it was wrong."""
    slow, fast = (row.batch / seconds for seconds in reversed(measured.spread))
    digits = 0 if row.batch / measured.median >= 100 else 1
    return measured.wrong or f"{row.batch / measured.median:,.{digits}f} ({slow:,.{digits}f} … {fast:,.{digits}f})"


def fill(text: str) -> str:
    """The README with the lines between the markers replaced."""
    for name, table in (("variants", variants()), ("speed", speed()), ("ladder", ladder())):
        text = re.sub(
            rf"(<!-- {name}:.*?-->\n).*?(<!-- end -->)",
            lambda m, t=table: f"{m[1]}\n{t}\n\n{m[2]}",
            text,
            flags=re.DOTALL,
        )
    return text


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "README.md")
    path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
