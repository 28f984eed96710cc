"""Times everything on a GPU and writes the record: `python -m alexnet_np.benchmarks.gpu_bench`, or `make gpu-bench`."""

import re
import sys
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from alexnet_np.backend import BACKENDS
from alexnet_np.dispatch import NoKernel, load_kernels
from alexnet_np.terminal import say

from . import machine, plots, table
from .gpu_clock import GPU, Emulated
from .gpu_rows import network_row, operation_rows
from .record import Record, Row

Part = Literal["steps", "inference", "products", "memory"]
RESULTS = Path("benchmarks/results")


def measure(
    only: Annotated[tuple[Part, ...], tyro.conf.arg(name="only")] = ("steps", "inference", "products", "memory"),
    variants: tuple[str, ...] = ("torchvision", "paper"),
    batches: tuple[int, ...] = (256,),
    precisions: tuple[Literal["float32", "bfloat16", "tf32", "tf32x3"], ...] = ("float32", "bfloat16"),
    rounds: int = 10,
    peers: bool = True,
    out: Path | None = None,
    emulate: bool = False,
) -> Record:
    """Time training steps, one image and batches at prediction, and every call of a step with all its rungs.

    Args:
        only: training steps; predictions; the products of convolutions and linear layers; what memory limits
        variants: which networks
        batches: images at a time; predictions are of one image as well
        precisions: of products and storage; tf32 and tf32x3 are rungs on float32
        rounds: in which everything runs once, in a new order each
        peers: whether PyTorch takes part
        out: the record to write, pictures beside it; a name with the device and the date unless given
        emulate: try the harness with the emulator; its times mean nothing
    """
    load_kernels()
    if not emulate and (why := BACKENDS["gpu_cuda"].missing()):
        raise NoKernel(f"there is nothing to time: {why}; --emulate tries the harness without a GPU")
    clock: Any = Emulated() if emulate else GPU()
    record = Record({**machine.describe(), **clock.about()}, 0)
    device = re.sub(r"[^a-z0-9]+", "-", record.about["device"].lower()).strip("-")
    path = out or RESULTS / f"gpu-{device}-{datetime.now(UTC).date()}-{'-'.join(only)}.json"

    def add(row: Row) -> None:
        row.commit = record.about["commit"]
        record.rows.append(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        record.write(path)
        say(table.row_text(row) + "\n")

    for variant, precision in product(variants, precisions):
        for batch in batches:
            if "steps" in only:
                add(network_row("training", variant, batch, precision, clock, rounds, peers))
        for batch in dict.fromkeys((1, *batches)):
            if "inference" in only:
                add(network_row("inference", variant, batch, precision, clock, rounds, peers))
    wanted = {"products": lambda op: op.startswith(("conv2d", "linear"))}
    wanted["memory"] = lambda op: not wanted["products"](op)
    for part in (p for p in ("products", "memory") if p in only):
        for precision, batch in product((p for p in precisions if p in ("float32", "bfloat16")), batches):
            for variant in variants:
                for row in operation_rows(variant, batch, precision, clock, rounds, peers, wanted[part]):
                    add(row)
    say(f"wrote {path}")
    for precision in precisions:  # each has roofs of its own
        own = Record(record.about, 0, [row for row in record.rows if row.precision == precision])
        for picture in plots.draw(own, path.with_stem(f"{path.stem}-{precision}")):
            say(f"wrote {picture}")
    return record


if __name__ == "__main__":
    try:
        tyro.cli(measure, prog="make gpu-bench")
    except (ValueError, OSError, NoKernel) as error:
        sys.exit(f"error: {error}")
