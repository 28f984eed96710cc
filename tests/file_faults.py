"""A fault at the k-th thing that a process does to the files of a folder, for every k.

`python file_faults.py {train,resize} {kill,full} FOLDER`: a subject runs in a process of its own, which is killed at
the event, or told that the disk is full; then once more, without a fault. Prints each event after which the end is
another than without any, and how many events there were.
"""

import contextlib
import errno
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from PIL import Image
from safetensors import SafetensorError

from alexnet_np.data import generated
from alexnet_np.data.dataset import Split
from alexnet_np.data.resize import resize
from alexnet_np.train import Recipe, Scores, fit, load, loop, start
from alexnet_np.train.checkpoint import _read
from alexnet_np.train.series import newest

EVENTS = {"open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "os.utime"}
SCORES = 0.3, 0.6, 0.6  # after each epoch: some are the best so far


class Faults:
    """Counts what happens to files below a folder; at number k the fault comes."""

    def __init__(self, folder: Path, k: int, kill: bool) -> None:
        self.folder, self.k, self.kill, self.count, self.at = str(folder), k, kill, 0, ""
        sys.addaudithook(self.heard)
        self.save_file = safetensors.numpy.save_file
        safetensors.numpy.save_file = self.half_a_file  # written by compiled code, of which no hook hears

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or not isinstance(arguments[0], str | os.PathLike):
            return
        path = os.fsdecode(arguments[0])
        reading = event == "open" and not set(str(arguments[1] or "")) & set("wax+")
        if path.startswith(self.folder) and not reading and self.due(f"{event} {path}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def half_a_file(self, arrays: Any, path: Path, metadata: Any) -> None:
        self.save_file(arrays, path, metadata)
        size = path.stat().st_size
        if self.due(f"save_file {path}", lambda: os.truncate(path, size // 2)):
            raise SafetensorError("No space left on device (os error 28)")

    def due(self, what: str, before: Callable[[], None] = lambda: None) -> bool:
        self.count += 1
        if self.count != self.k:
            return False
        self.at = what
        before()
        if self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        return True


def train(folder: Path) -> None:
    """Three epochs of a step, without their arithmetic: weights follow from the step and from what they were."""
    images = generated.load(train=8, test=2, side=32)
    split = Split(images.train, images.test)

    def step(self: Any, x: Any, labels: Any, lr: float, ahead: Any) -> float:
        for w in self.run.model.state_dict().values():
            w[...] = 0.5 * w + float(labels.sum())
        self.run.model.iteration += 1
        return float(labels.sum())

    def evaluate(model: Any, *_: Any, **__: Any) -> Scores:
        top1 = SCORES[model.iteration - 1]
        return Scores(1 - top1, top1, 1.0, 2, np.zeros((12, 12), np.int64))

    loop._Loop.step, loop.evaluate = step, evaluate  # type: ignore[method-assign, assignment]
    path, recipe = newest(folder), Recipe(epochs=3, batch=8, save_every=1, keep=2, threads=1)
    fit(load(path) if path.exists() else start(recipe, split), split, folder)


def trained(folder: Path) -> Any:
    runs = {}
    for name in ("last", "best"):
        tensors, about = _read(folder / f"{name}.safetensors")
        runs[name] = {key: array.tobytes() for key, array in tensors.items()}, about
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return runs, [(line["step"], line["loss"], line["scores"]) for line in lines], sorted(os.listdir(folder))


def copy(folder: Path) -> None:
    source = folder.parent / "source" / "a"
    if not source.exists():
        source.mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (40, 30), (i, 2 * i, 3 * i)).save(source / f"{i}.png")
    resize(source.parent, folder, side=24)


def copied(folder: Path) -> Any:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def child(run: Callable[[Path], None], folder: Path, k: int, kill: bool) -> tuple[int, str]:
    """How often something happened to files, and what the fault hit; in a process of its own."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        faults, os.fsync = Faults(folder, k, kill), lambda _: None  # a process that is killed loses nothing written
        try:
            with contextlib.suppress(OSError):  # as the command line, which says it in a line
                run(folder)
            os.write(writer, json.dumps([faults.count, faults.at]).encode())
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    with open(reader, "rb") as file:
        said = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == (-signal.SIGKILL if kill and not said else 0), f"event {k}: the process ended with {status}"
    count, at = json.loads(said) if said else (k, "killed")
    return count, at


SUBJECTS = {"train": (train, trained), "resize": (copy, copied)}


def main(subject: str, mode: str, place: Path) -> None:
    (run, outcome), folder = SUBJECTS[subject], place / "out"
    shutil.rmtree(folder, ignore_errors=True)
    events, _ = child(run, folder, 0, False)
    expected = outcome(folder)
    for k in range(1, events + 1):
        shutil.rmtree(folder, ignore_errors=True)
        _, at = child(run, folder, k, mode == "kill")
        child(run, folder, 0, False)
        if outcome(folder) != expected:
            print(f"event {k}, {at}: another end", flush=True)
    print(f"{events} events")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
