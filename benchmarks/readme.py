"""Writes README's tables, of the variants and of the newest record: `python -m alexnet_np.benchmarks.readme`."""

import re
import sys
from collections.abc import Callable
from functools import partial
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
    order = {name: place for place, name in enumerate(VARIANTS)}
    for row in sorted(
        newest.of("training", "inference"), key=lambda r: (r.kind != "training", order[r.variant], r.batch)
    ):
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


# What a GPU has to show, with the first bar: the rows of the table, and which rows of a record fill them.
NOT_YET = "not yet measured on hardware"
STEPS: tuple[tuple[str, str, str, Callable[[Row, Measured], str]], ...] = (
    ("training step, bfloat16, share of its roof", "55 %", "bfloat16", lambda row, ours: f"{row.share(ours):.0%}"),
    ("the same, beside PyTorch at its best", "1.0 ×", "bfloat16", lambda row, ours: times(row, ours)),
    (
        "training step, strict float32, beside PyTorch in strict float32",
        "1.0 ×",
        "float32",
        lambda row, ours: times(row, ours),
    ),
    ("training step, 3×TF32, beside PyTorch in strict float32", "1.2 ×", "tf32x3", lambda row, ours: times(row, ours)),
    ("gaps inside a step, bfloat16", "8 %", "bfloat16", lambda row, ours: gaps(row, ours)),
)
BOUND = ("maxpool", "lrn", "softmax", "sgd")  # what memory limits


def gpu(results: Path = RESULTS) -> str:
    """What the records of GPUs show of each row, for each network; or that nothing is measured."""
    records = [record for path in sorted(results.glob("gpu-*.json")) if "device" in (record := read(path)).about]
    rows = [row for record in records for row in record.rows]
    lines = []
    if records:
        about = records[-1].about
        lines = [f"{about['device']}, driver {about.get('driver')}, {str(about['date'])[:10]}; medians.", ""]
    lines += ["| | first bar | measured |", "|---|---|---|"]
    for what, bar, precision, cell in STEPS:
        steps = [row for row in rows if (row.kind, row.precision) == ("training", precision)]
        cells = [f"`{row.variant}`, batch {row.batch}: {cell(row, row.measured[row.chosen])}" for row in steps]
        lines.append(f"| {what} | {bar} | {'; '.join(cells) or NOT_YET} |")
    single = [row for row in rows if (row.kind, row.precision, row.batch) == ("inference", "bfloat16", 1)]
    cells = [f"`{row.variant}`: {1e6 * row.measured[row.chosen].median:,.0f} µs" for row in single]
    lines.append(f"| one image, bfloat16 | 100 µs | {'; '.join(cells) or NOT_YET} |")
    bound = [row for row in rows if row.kind == "operation" and any(name in row.op for name in BOUND)]
    shares = [row.share(row.measured[row.chosen]) for row in bound]
    least_most = f"{min(shares):.0%} … {max(shares):.0%}" if shares else NOT_YET
    lines.append(f"| pooling, LRN, loss, update: share of copy bandwidth | 80 % | {least_most} |")
    return "\n".join(lines)


def times(row: Row, ours: Measured) -> str:
    """How many times as fast as the peer at its best, and as the peer's default."""
    ratio, default = row.ratio(ours), row.measured.get("torch default")
    if ratio is None:
        return "no peer"
    return f"{ratio:.2f} ×" + (f" ({default.median / ours.median:.2f} × its default)" if default else "")


def gaps(row: Row, ours: Measured) -> str:
    """The share of a step that none of its calls, timed alone, accounts for."""
    alone = row.measured["its calls one by one"].median
    return f"{max(0.0, 1 - alone / ours.median):.0%}"


def rung(row: Row, measured: Measured | None, chosen: bool) -> str:
    """A cell of the ladder."""
    if measured is None:
        return ""
    error = "" if measured.error is None else f", {measured.error:.0e}"
    cell = measured.wrong or f"{1e3 * measured.median:,.0f}, {row.share(measured):.0%}{error}"
    return f"**{cell}**" if chosen else cell


def newest_of(results: Path) -> Record | None:
    """The record of the latest day, the fullest of that day; None where there is none."""
    records = [record for path in sorted(results.glob("*.json")) if "device" not in (record := read(path)).about]
    return max(records, key=lambda record: (str(record.about["date"])[:10], len(record.rows)), default=None)


def images(row: Row, measured: Measured) -> str:
    """Images a second: the median, p10 … p90; or that it was wrong."""
    slow, fast = (row.batch / seconds for seconds in reversed(measured.spread))
    digits = 0 if row.batch / measured.median >= 100 else 1
    return measured.wrong or f"{row.batch / measured.median:,.{digits}f} ({slow:,.{digits}f} … {fast:,.{digits}f})"


def fill(text: str) -> str:
    """The README with the lines between the markers replaced."""
    for name, table in (("variants", variants()), ("speed", speed()), ("ladder", ladder()), ("gpu", gpu())):
        text = re.sub(rf"(<!-- {name}:.*?-->\n).*?(<!-- end -->)", partial(_between, table), text, flags=re.DOTALL)
    return text


def _between(table: str, markers: re.Match[str]) -> str:
    return f"{markers[1]}\n{table}\n\n{markers[2]}"


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "README.md")
    path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
