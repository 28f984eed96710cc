"""A record as text: a block for each network and batch, a line for everything that was timed."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from .record import Measured, Record, Row

HEAD = "", "median", "p10 … p90", "rate", "roof", "× peer", "error"
CHOSEN, PEER = "→ ", "  "


def text(record: Record) -> str:
    """The whole record. → marks the kernel that runs unless another is asked for; 'roof' is its share of the nearer."""
    about = record.about
    lines = [
        f"{about.get('cpu')} ({about.get('isa')}), {record.threads} threads, {about.get('date')}, "
        f"commit {about.get('commit')}, NumPy {about.get('numpy')}, PyTorch {about.get('torch')}",
        "roof: share of the GEMM or copy rate, whichever is nearer; × peer: times as fast as PyTorch at its best",
    ]
    for (kind, variant, batch), rows in groupby(record.rows, lambda row: (row.kind, row.variant, row.batch)):
        blocks = list(rows)
        title = "operations" if kind == "operation" else kind
        lines += ["", f"{variant}, {title}, batch {batch}", *aligned([HEAD, *_cells(blocks)])]
        lines += [f"  {absence}" for absence in absences(blocks)]
    return "\n".join(lines)


def row_text(row: Row) -> str:
    """One row, as it is shown when it has been measured."""
    return "\n".join([row.name, *aligned(_lines(row)), *(f"  {absence}" for absence in absences([row]))])


def _cells(rows: Iterable[Row]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        if row.layer:
            yield (f"{row.layer} {row.op} ({row.limit})", *[""] * (len(HEAD) - 1))
        yield from _lines(row)


def _lines(row: Row) -> Iterator[tuple[str, ...]]:
    for name, m in sorted(row.measured.items(), key=lambda item: item[1].median):
        low, high = m.spread
        ratio = row.ratio(m)
        yield (
            f"  {CHOSEN if name == row.chosen else PEER}{name}",
            milliseconds(m.median),
            f"{milliseconds(low)} … {milliseconds(high)}",
            rate(row, m),
            f"{row.share(m):.0%} {row.limit}",
            f"{ratio:.2f}" if ratio is not None and not m.peer else "",
            f"WRONG: {m.wrong}" if m.wrong else "" if m.error is None else f"{m.error:.0e}",
        )
        if m.memory and m.predicted:
            off = m.predicted / m.memory - 1
            told = (
                f"    memory {m.memory / 2**20:,.0f} MiB at the peak, predicted {m.predicted / 2**20:,.0f} ({off:+.1%})"
            )
            yield (told, *[""] * (len(HEAD) - 1))


def milliseconds(seconds: float) -> str:
    digits = 3 if seconds < 1e-3 else 2 if seconds < 1e-2 else 1 if seconds < 1 else 0
    return f"{1e3 * seconds:,.{digits}f} ms"


def rate(row: Row, m: Measured) -> str:
    """Images a second of a network; flop/s or byte/s of an operation, by the roof that limits it."""
    if not row.layer:
        return f"{row.batch / m.median:,.1f} images/s"
    if row.limit == "GEMM":
        return f"{row.flops / m.median / 1e9:,.1f} GFLOP/s"
    return f"{row.bytes / m.median / 1e9:,.1f} GB/s"


def absences(rows: Iterable[Row]) -> list[str]:
    """What is missing and why, each reason once."""
    missing: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, reason in row.absent.items():
            missing.setdefault((name, reason), []).append(f"{row.layer} {row.op}".strip())
    return [
        f"absent: {name}{f' ({len(places)} rows)' if len(places) > 1 else ''}: {reason}"
        for (name, reason), places in missing.items()
    ]


def aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Names to the left, numbers to the right; what stands alone in its line, and the last column, is not measured."""
    cells = list(rows)
    full = [row for row in cells if any(row[1:])]
    widths = [max((len(row[i]) for row in full), default=0) for i in range(len(HEAD))]
    return [
        "  ".join(
            cell.ljust(w) if i in (0, len(HEAD) - 1) else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
