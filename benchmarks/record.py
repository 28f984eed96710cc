"""The record of a benchmark: rows of samples, in JSON. Tables, plots and comparisons are made from it alone."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from alexnet_np.operation import Cost
from alexnet_np.whole_files import replace_text

from .roofs import LARGEST, Roofs

FORMAT = 1
Made = TypeVar("Made")
# What reading something else ends in.
WRONG = KeyError, TypeError, AttributeError, TypeCheckError, RecursionError, ValueError


@dataclass
class Measured:
    """What was measured of one that was timed.

    seconds    of each of its calls
    peer       whether it belongs to another library
    error      the largest relative difference from what it should compute, before and after the timing; None: unknown
    wrong      why its results are not right, '' where they are
    memory     bytes at the peak of a process that does only this, beyond those before the network was made
    predicted  the same as its plan tells it before anything runs
    """

    seconds: list[float]
    peer: bool = False
    error: float | None = None
    wrong: str = ""
    memory: int | None = None
    predicted: int | None = None

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def spread(self) -> tuple[float, float]:
        """The 10th and the 90th percentile."""
        low, high = np.percentile(self.seconds, (10, 90))
        return float(low), float(high)


@dataclass
class Row:
    """What was timed in turns, with both roofs.

    kind     'operation', 'training' or 'inference'
    layer    and op: which operation, '' for whole networks
    flops    and bytes: the least that is needed, see Operation.cost
    chosen   the name of the one that runs unless something else is asked for
    absent   from names to the reasons why they are missing
    commit   of the source when it was measured, None if unknown
    precision  of what was timed on a GPU
    least    seconds that its calls take at their roofs, each at its own; None: of flops and bytes as a whole
    """

    kind: str
    variant: str
    batch: int
    flops: int
    bytes: int
    measured: dict[str, Measured]
    roofs: Roofs
    layer: str = ""
    op: str = ""
    chosen: str = ""
    absent: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    precision: str = ""
    least: float | None = None

    @property
    def name(self) -> str:
        what = f"{self.layer} {self.op}" if self.layer else self.kind
        return name_of(f"{what} {self.precision}".strip(), self.variant, self.batch)

    @property
    def limit(self) -> str:
        """The roof that is nearer: 'GEMM' or 'copy'."""
        return self.roofs.limit(Cost(self.flops, self.bytes))

    def share(self, measured: Measured) -> float:
        """How near its roof it is; above 1 where it does with less arithmetic than the definition."""
        return (self.least or self.roofs.seconds(Cost(self.flops, self.bytes))) / measured.median

    def ours(self) -> dict[str, Measured]:
        return {name: m for name, m in self.measured.items() if not m.peer}

    def peers(self) -> dict[str, Measured]:
        return {name: m for name, m in self.measured.items() if m.peer}

    def best(self, peer: bool) -> str | None:
        """The name of the fastest one of ours, or of the peers: theirs at its best. None where there is none."""
        right = {name: m for name, m in self.measured.items() if m.peer == peer and not m.wrong}
        return min(right, key=lambda name: right[name].median, default=None)

    def ratio(self, measured: Measured) -> float | None:
        """How many times as fast it is as the peer at its best; None where there is no peer."""
        best = self.best(peer=True)
        return self.measured[best].median / measured.median if best else None


def name_of(what: str, variant: str, batch: int) -> str:
    """The name of a row; what: 'training', 'inference', or layer and operation."""
    return f"{variant} {what}, batch {batch}"


@dataclass
class Record:
    """A whole benchmark."""

    about: dict[str, Any]
    threads: int
    rows: list[Row] = field(default_factory=list)
    format: int = FORMAT

    def of(self, *kinds: str) -> Iterator[Row]:
        return (row for row in self.rows if row.kind in kinds)

    def calm(self) -> list[float]:
        """How near each row's roofs were to the highest of all rows: below 1 where others used the machine meanwhile.

        The product is the same in every row; the copy is in those that move as many bytes as it ever does. In any row
        its slow rounds, the tenth percentile, are held against its median.
        """
        gemm = np.array([np.median(row.roofs.gemm) for row in self.rows])
        copy = np.array([np.median(row.roofs.copy) if row.bytes >= LARGEST else 0 for row in self.rows])
        near = gemm / gemm.max(initial=0)
        near = np.minimum(near, [np.percentile(row.roofs.copy, 10) / np.median(row.roofs.copy) for row in self.rows])
        comparable = copy > 0
        near[comparable] = np.minimum(near[comparable], copy[comparable] / copy.max(initial=0))
        return [float(share) for share in near]

    def keep(self, row: Row) -> Row:
        """Add a row, or put it in place of the one of its name if its minutes were calmer; which of them stays."""
        for i, other in enumerate(self.rows):
            if other.name == row.name:
                near = replace(self, rows=[*self.rows, row]).calm()
                self.rows[i] = row if near[-1] > near[i] else other
                return self.rows[i]
        self.rows.append(row)
        return row

    def write(self, path: Path) -> None:
        """Raises OSError where the file cannot be written."""
        plain = asdict(self)
        for row in plain["rows"]:
            row["roofs"] = {"gemm": row["roofs"][0], "copy": row["roofs"][1]}
        text = json.dumps(_rounded(plain), indent=1)
        replace_text(path, text + "\n")


def read(path: Path) -> Record:
    """Raises OSError where the file cannot be read, ValueError where it holds no record of this format."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain["format"] != FORMAT:
            raise ValueError(f"its format is {str(plain['format'])[:20]}, expected {FORMAT}")
        rows = [
            _made(
                Row,
                **{
                    **row,
                    "roofs": _made(Roofs, **row["roofs"]),
                    "measured": {name: _made(Measured, **m) for name, m in row["measured"].items()},
                },
            )
            for row in plain["rows"]
        ]
        return _made(Record, about=plain["about"], threads=plain["threads"], rows=rows)
    except WRONG as error:
        told = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is no benchmark record: {type(error).__name__}: {told}") from None


def _made(kind: Callable[..., Made], /, **fields: Any) -> Made:
    """One of a record's classes. Raises TypeCheckError for a field of another type, ValueError for numbers that no
    measurement has."""
    for name, hint in get_type_hints(kind).items():
        if name in fields:
            check_type(fields[name], hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    for name in {*fields} & {"seconds", "gemm", "copy"}:
        if not (fields[name] and all(0 < value < inf for value in fields[name])):
            raise ValueError(f"{name} are not all positive numbers")
    # A record of a GPU has 0 threads.
    for name, least in {"flops": 0, "bytes": 0, "batch": 1, "threads": 0}.items():
        if not least <= fields.get(name, least) < 2**63:
            raise ValueError(f"{name} is {str(fields[name])[:20]}")
    return kind(**fields)


def _rounded(value: Any) -> Any:
    """Floats with six digits, which is more than is measured."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value
