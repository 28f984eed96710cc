"""A training that is asked to end, and a second one in its folder."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_np.cli import main
from alexnet_np.train import load
from alexnet_np.train.interrupts import interrupts


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 20 pictures: 36 to train on, nine steps of four."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name in ("one", "two"):
        (folder / name).mkdir()
        for i in range(20):
            Image.fromarray(random.integers(0, 256, (40, 44, 3), np.uint8)).save(folder / name / f"{i}.png")
    return folder


Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def begin(pictures: Path, tmp_path: Path) -> Iterator[Begin]:
    """Starts a training of 100,000 epochs in tmp_path / "run", and waits until the first is done."""
    begun = []

    def start(*before: str, **options: object) -> "subprocess.Popen[str]":
        arguments = ["--data", str(pictures), "--batch", "4", "--epochs", "100000", "--out", str(tmp_path / "run")]
        resume = ["--resume"] if (tmp_path / "run" / "last.safetensors").exists() else []
        command = [*before, sys.executable, "-m", "alexnet_np.cli", "train", *arguments, *resume]
        process: subprocess.Popen[str] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
        begun.append(process)
        assert process.stdout
        while "epoch" not in process.stdout.readline():
            assert process.poll() is None
        return process

    yield start
    for process in begun:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_saves_and_ends(name: str, begin: Begin, tmp_path: Path) -> None:
    """After the step; a line says how to go on, and the exit code is not 0, so that `train && deploy` stops."""
    process, number = begin(), getattr(signal, name)
    process.send_signal(number)
    text = process.communicate()[0]
    last = tmp_path / "run" / "last.safetensors"
    run = load(last)
    assert process.returncode == 128 + number
    assert f"interrupted at step {run.model.iteration}; go on with: alexnet-np train --resume {last}" in text
    assert run.model.iteration >= 9
    recorded = (tmp_path / "run" / "metrics.jsonl").read_text().count("\n")
    assert recorded == run.model.iteration, "the checkpoint is of another step than the last one"


def test_several_signals_at_once(begin: Begin, tmp_path: Path) -> None:
    """As when a session ends: the step is done and saved all the same."""
    process = begin()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGHUP, signal.SIGINT, signal.SIGHUP):
        process.send_signal(number)
    process.communicate()
    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGHUP, 128 + signal.SIGINT)
    recorded = (tmp_path / "run" / "metrics.jsonl").read_text().count("\n")
    assert load(tmp_path / "run" / "last.safetensors").model.iteration == recorded


def test_the_same_signal_again_ends_at_once() -> None:
    with interrupts() as signals:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.raise_signal(number)
        assert signals.asked == signal.SIGHUP
        for number in (signal.SIGTERM, signal.SIGINT):
            with pytest.raises(KeyboardInterrupt) as caught:
                signal.raise_signal(number)
            assert caught.value.args == (number,)
        with pytest.raises(KeyboardInterrupt), signals.at_once():
            raise AssertionError("it was asked before")


def test_nohup(begin: Begin, tmp_path: Path) -> None:
    """A SIGHUP that was ignored before stays ignored."""
    process = begin("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    process.send_signal(signal.SIGHUP)
    assert process.stdout
    for _ in range(3):
        assert "epoch" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143


def test_a_terminal_that_is_closed(pictures: Path, tmp_path: Path) -> None:
    """What is written there fails from then on; the checkpoint is saved all the same."""
    pid, terminal = pty.fork()
    if pid == 0:
        arguments = ["--data", str(pictures), "--batch", "4", "--epochs", "100000", "--out", str(tmp_path)]
        os.execv(sys.executable, [sys.executable, "-m", "alexnet_np.cli", "train", *arguments])
    said = b""
    while b"epoch   2" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 129
    assert load(tmp_path / "last.safetensors").model.iteration >= 18
    assert load(tmp_path / "last.safetensors").model.iteration == (tmp_path / "metrics.jsonl").read_text().count("\n")


RAISING = """
import os, sys
from alexnet_np import cli
cli.COMMANDS["info"] = lambda: os.kill(os.getpid(), {})
sys.exit(cli.main(["info"]))
"""


def test_signals_amid_another_command() -> None:
    """It ends with the signal's code, also as the first process of a container, which no signal ends by itself."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        done = subprocess.run([sys.executable, "-c", RAISING.format(int(number))], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (128 + number, "alexnet-np: interrupted\n")


def test_a_second_run_in_a_folder(
    begin: Begin, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused in a line, whichever way it begins; when the first was killed, the next one starts."""
    first, folder = begin(), tmp_path / "run"
    for more in ([], ["--resume"]):
        assert main(["train", "--data", str(pictures), "--out", str(folder), *more]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"another process trains in {folder}" in line
    first.kill()
    first.communicate()
    second = begin()
    second.send_signal(signal.SIGTERM)
    second.communicate()
    assert second.returncode == 143
