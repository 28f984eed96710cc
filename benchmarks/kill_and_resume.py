"""Does a training run survive SIGKILL at any moment? `python -m alexnet_np.benchmarks.kill_and_resume`.

A run with augmentation and dropout goes through once without interruption. Then the same run is killed at random
moments, each time resumed with another number of loader threads. Both must end with the same checkpoint, bit for bit,
and the same record of losses and scores.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from alexnet_np.backend import Array

# Images of 40 pixels, of which the network sees crops of 32; its dropout layers, a plateau and a bias rule beside.
RECIPE = """
variant = "mini"
batch = 64
lr = 0.02
schedule = "plateau"
patience = 1
store = 40
mirror = true
colour = 0.1
bias_lr = 2.0
bias_decay = 0.0
save_every = 7
"""
THREADS = 1, 2, 3, 5


def command(folder: Path, epochs: int, threads: int, resume: bool) -> list[str]:
    recipe = folder.parent / "recipe.toml"
    recipe.write_text(RECIPE)
    arguments = ["--recipe", recipe, "--out", folder, "--epochs", epochs, "--threads", threads]
    return [sys.executable, "-m", "alexnet_np.cli", "train", *map(str, arguments), *(["--resume"] if resume else [])]


def begin(folder: Path, epochs: int, threads: int) -> subprocess.Popen[str]:
    """A process that has loaded its images and now trains; it goes on where the folder has a checkpoint."""
    resume = any(folder.glob("*.safetensors"))
    process = subprocess.Popen(command(folder, epochs, threads, resume), stdout=subprocess.PIPE, text=True)
    assert process.stdout
    line = process.stdout.readline()
    if "images to train on" not in line:
        raise RuntimeError(f"the process ended with {process.wait()} before it trained, after {line!r}")
    return process


def end(process: subprocess.Popen[str]) -> None:
    text = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(f"the process ended with {process.returncode}: {text}")


def outcome(folder: Path) -> tuple[dict[str, Array], str, list[tuple[object, ...]]]:
    """Arrays and metadata of the last checkpoint, and what the record says beside times."""
    from safetensors import safe_open

    with safe_open(folder / "last.safetensors", framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        about = json.loads(file.metadata()["run"])
    del about["recipe"]["threads"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return tensors, json.dumps(about), [(r["step"], r["loss"], r["lr"], json.dumps(r["scores"])) for r in lines]


def recorded(folder: Path) -> int:
    """How many steps stand in a run's record."""
    path = folder / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def kill_and_resume(folder: Path, kills: int, epochs: int, seed: int) -> list[str]:
    """What differs in the end, by name: nothing, if all is well. Prints where each kill hit."""
    draw, whole, killed = random.Random(seed), folder / "whole", folder / "killed"
    process, began = begin(whole, epochs, 2), time.perf_counter()
    end(process)
    steps = recorded(whole)
    step = (time.perf_counter() - began) / steps
    # Each waits for a step that is not done yet, so that it hits before the end however slow the machine is.
    for number, least in enumerate(sorted(draw.sample(range(int(0.8 * steps)), kills)), 1):
        threads = THREADS[(number - 1) % len(THREADS)]
        process = begin(killed, epochs, threads)
        while recorded(killed) < least and process.poll() is None:
            time.sleep(0.002)
        time.sleep(draw.uniform(0, step))
        process.kill()
        process.communicate()
        if process.returncode == 0:
            raise RuntimeError(f"the run was done before kill {number}")
        print(f"kill {number:>2}: {threads} threads, after step {recorded(killed)}", flush=True)
    end(begin(killed, epochs, THREADS[kills % len(THREADS)]))
    (tensors, about, record), (tensors2, about2, record2) = outcome(whole), outcome(killed)
    if tensors.keys() != tensors2.keys():
        return sorted(tensors.keys() ^ tensors2.keys())
    different = [name for name, array in tensors.items() if array.tobytes() != tensors2[name].tobytes()]
    different += ["metadata"] * (about != about2) + ["metrics.jsonl"] * (record != record2)
    print(f"{len(tensors)} arrays of {sum(np.size(a) for a in tensors.values()):,} numbers, {len(record)} steps")
    return different


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Does a training run survive SIGKILL at any moment?")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        wrong = kill_and_resume(Path(place), given.kills, given.epochs, given.seed)
    print(f"different: {', '.join(wrong)}" if wrong else "the same, bit for bit")
    sys.exit(bool(wrong))
