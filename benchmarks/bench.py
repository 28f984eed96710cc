"""`alexnet-np bench`: what is timed, in which order, and where the record goes."""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from alexnet_np.dispatch import OPS, load_kernels
from alexnet_np.models import VARIANTS
from alexnet_np.parallel import threads

from . import machine
from .network_rows import inference_row, training_row
from .operation_rows import distinct_calls, operation_row
from .record import Record, Row, name_of, read

Part = Literal["ops", "steps", "inference"]
PARTS: tuple[Part, ...] = ("ops", "steps", "inference")
RESULTS = Path("benchmarks/results")


@dataclass(frozen=True)
class Wanted:
    """What to time.

    variants, batches  where none are given, those that the committed results have
    ops                only of these operations; of all unless given
    seconds, rounds  of a row: so much time, at least five rounds; or so many rounds
    peers            whether PyTorch takes part
    """

    only: tuple[Part, ...] = PARTS
    variants: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()
    ops: tuple[str, ...] = ()
    seconds: float = 2.0
    rounds: int | None = None
    peers: bool = True

    def __post_init__(self) -> None:
        _known("variant", self.variants, VARIANTS)
        _known("operation", self.ops, OPS)
        if any(batch < 1 for batch in self.batches):
            raise ValueError(f"a batch has at least one image, got {min(self.batches)}")
        if self.rounds is not None and self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {self.rounds}")
        if not self.seconds >= 0:
            raise ValueError(f"seconds must not be negative, got {self.seconds}")


def _known(kind: str, names: Sequence[str], table: Iterable[str]) -> None:
    if unknown := [name for name in names if name not in table]:
        raise ValueError(f"unknown {kind} {unknown[0]!r}; there are {', '.join(table)}")


def rows(wanted: Wanted, done: Container[str] = ()) -> Iterator[Row]:
    """Measure row by row. An operation's shape that several variants share is measured for the first of them.

    done: names of rows that are left out.
    """
    load_kernels()
    how: Any = {"seconds": wanted.seconds, "rounds": wanted.rounds, "peers": wanted.peers}
    networks = wanted.variants or ("paper", "torchvision", "torch", "keras")
    if "steps" in wanted.only:
        for variant, batch in product(networks, wanted.batches or (32, 128)):
            if name_of("training", variant, batch) not in done:
                yield training_row(variant, batch, **how)
    if "inference" in wanted.only:
        for variant, batch in product(networks, wanted.batches or (1, 32, 128)):
            if name_of("inference", variant, batch) not in done:
                yield inference_row(variant, batch, **how)
    if "ops" in wanted.only:
        seen: set[Any] = set()
        for batch, variant in product(wanted.batches or (128,), wanted.variants or ("torchvision", "paper")):
            for call in distinct_calls(variant, batch, wanted.ops, seen):
                if name_of(f"{call.layers} {call.op.name}", variant, batch) not in done:
                    yield operation_row(variant, batch, call, **how)


def run(wanted: Wanted, out: Path, tell: Callable[[Row], None], resume: bool = False, again: float = 0) -> Record:
    """Measure everything, writing the record after each row, so that an interrupted benchmark keeps what it has.

    resume: go on with the record that is there: what it has is not measured again.
    again: but for rows whose roofs stayed below this share of the record's highest, as where others use the machine. Of
        both measurements of a row the one with the higher roofs is kept, whatever became of the row itself.
    Raises OSError where `out` cannot be written or, to resume, read, and ValueError for a record of another machine,
    of other versions or of another number of threads, and for an `again` that is no share or resumes nothing.
    """
    if not 0 <= again <= 1:
        raise ValueError(f"again is a share of the roofs, from 0 to 1, got {again}")
    if again and not resume:
        raise ValueError("again goes with a record to resume: there is none whose rows could be measured once more")
    record = Record(machine.describe(), threads())
    if resume:
        record = _continued(read(out), record, out)
    commit = machine.commit()
    done = {row.name for row, near in zip(record.rows, record.calm(), strict=True) if near >= again}
    for row in rows(wanted, done):
        row.commit = commit
        kept = record.keep(row)
        record.write(out)
        tell(kept)
    if not record.rows:
        raise ValueError("nothing to time: none of these operations is called by these variants")
    return record


def _continued(stored: Record, now: Record, path: Path) -> Record:
    """The stored record, if it was made on this machine, with these versions and threads."""
    before, today = ({**r.about, "threads": r.threads} for r in (stored, now))
    for key in before.keys() | today.keys():
        if key not in ("commit", "date") and before.get(key) != today.get(key):
            raise ValueError(f"{path} was made with {key} {before.get(key)}, here it is {today.get(key)}")
    return stored


def default_path() -> Path:
    """A name with the machine and the date, under benchmarks/results."""
    about = machine.describe()
    cpu = re.sub(r"\((R|TM)\)|Processor|CPU", "", about["cpu"])
    words = re.sub(r"[^a-z0-9]+", "-", f"{cpu} {about['isa']} {about['cores']}".lower()).strip("-")
    return RESULTS / f"{words}-{about['date'][:10]}.json"
