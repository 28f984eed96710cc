"""The command line as a user meets it: what it prints, what it writes, and one line for each mistake."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import alexnet_np as anp
from alexnet_np.cli import main
from alexnet_np.ops.cases import cases


def run(*arguments: str, code: int = 0) -> str:
    """What a command prints; its exit code is checked."""
    done = subprocess.run([sys.executable, "-m", "alexnet_np.cli", *arguments], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    text = run("train", "--epochs", "1", "--batch", "500", "--out", str(folder))
    assert "6,000 images to train on, 1,200 held out, 12 classes" in " ".join(text.split())
    return folder


def test_info(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a machine without g++ and without the simulator; what is missing is told for each backend."""
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    text = run("info")
    for shown in ("conv2d_backward_weights", "sgd_momentum_", "numba", "gpu_cuda", "NUMBA_ENABLE_CUDASIM=1 is not set"):
        assert shown in text
    assert "g++ is not installed" in text
    assert max(map(len, text.splitlines())) <= 80


def test_help_names_every_command() -> None:
    text = run("--help")
    assert all(name in text for name in ("info", "demo", "train", "evaluate"))


def test_train_writes_a_checkpoint_and_metrics(trained: Path) -> None:
    with safe_open(trained / "last.safetensors", framework="numpy") as file:
        names = set(file.keys())
        about = json.loads(file.metadata()["run"])
    assert {"conv1.weight", "conv1.bias", "fc8.weight", "velocity.fc8.weight", "pixels.mean"} <= names
    assert about["recipe"]["variant"] == "mini" and about["iteration"] == 12
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13)) and lines[-1]["scores"]["images"] == 1200


def test_evaluate_agrees_with_training(trained: Path) -> None:
    scores = json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])["scores"]
    assert f"top-1 {scores['top1']:.2%}, top-5 {scores['top5']:.2%}" in run(
        "evaluate", "--checkpoint", str(trained / "last.safetensors")
    )


def test_resume(trained: Path) -> None:
    """Nothing is overwritten unasked; a resumed run keeps its recipe and goes on where it was."""
    again = ["train", "--batch", "500", "--out", str(trained)]
    assert "exists; give --resume to go on with it, or another --out" in run(*again, code=2)
    refused = run(*again, "--resume", "--lr", "0.5", code=2)
    assert "lr 0.01 → 0.5" in refused.replace("\\u2192", "→"), "as encodings without the arrow have it"
    text = run(*again, "--resume", "--epochs", "2")
    assert "epoch   2" in text and "epoch   1" not in text


MISTAKES = [
    (["train", "--data", "/nowhere"], "there is no folder '/nowhere'; give one, or 'generated'"),
    (["train", "--variant", "fashion"], "has images of (3, 28, 28), the network takes (1, 28, 28)"),
    (["train", "--lr", "-1"], "lr must be a finite number from 0, got -1.0"),
    (["train", "--batch", "7000"], "6000 training images do not fill a batch of 7000; choose a smaller batch"),
    (["train", "--resume", "--out", "/nowhere"], "there is no checkpoint /nowhere/last.safetensors"),
    (["evaluate", "--checkpoint", "/dev/null"], "there is no checkpoint /dev/null"),
    (["evaluate", "--checkpoint", __file__], "is damaged, or no safetensors file"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(a[:3]) for a, _ in MISTAKES])
def test_one_line_for_a_mistake(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("alexnet-np: ") and message in lines[0]


USERS = """
import numpy as np

class Swish:
    def example(self, random):
        return random.standard_normal((3, 4))

    def forward(self, x):
        self.x = x
        return x / (1 + np.exp(-x))

    def backward(self, dy):
        s = 1 / (1 + np.exp(-self.x))
        return dy * (s + self.x * s * (1 - s))

class Subtle(Swish):
    def backward(self, dy):
        s = 1 / (1 + np.exp(-self.x))
        return dy * (s + self.x * s * s)
"""


def test_gradcheck_of_a_users_file(tmp_path: Path) -> None:
    """A layer outside the package: right, wrong (exit code 1, and how to see it again), and missing."""
    file = tmp_path / "mine.py"
    file.write_text(USERS)
    assert "1 checked, 0 wrong" in run("gradcheck", f"{file}:Swish")
    text = run("gradcheck", f"{file}:Subtle", "--seed", "3", code=1)
    assert "WRONG at" in text and f"again: alexnet-np gradcheck {file}:Subtle --dtype float64 --seed 3" in text
    assert "has no Mish" in run("gradcheck", f"{file}:Mish", code=2)
    assert "there is no file" in run("gradcheck", f"{tmp_path}/yours.py:Swish", code=2)


def test_gradcheck_of_operations() -> None:
    count = len(list(cases(anp.ops.lrn, np.float32)))
    text = run("gradcheck", "lrn", "--backend", "cpu_numpy", "--dtype", "float32")
    assert f"{count} checked, 0 wrong" in text
    assert "cannot check 'lrm': give 'all', an operation (conv2d, " in run("gradcheck", "lrm", code=2)
    assert "unknown backend 'fast'" in run("gradcheck", "lrn", "--backend", "fast", code=2)


@pytest.mark.parametrize("module", ["alexnet_np", "alexnet_np.cli"])
def test_version(module: str) -> None:
    """One version, everywhere; both names of the program are the same."""
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"alexnet-np {anp.__version__}\n" and version("alexnet-np") == anp.__version__


def test_train_is_imported_when_it_is_touched() -> None:
    code = (
        "import sys, alexnet_np as anp; assert 'alexnet_np.train' not in sys.modules\n"
        "assert anp.train.Recipe().variant == 'mini' and anp.train is sys.modules['alexnet_np.train']\n"
        "assert not hasattr(anp, 'trains')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


NUMBERS = [
    *(["predict", "x.png", "--checkpoint", "x", flag, value] for flag in ("--top", "--batch") for value in ("-1", "0")),
    ["evaluate", "--checkpoint", "x", "--batch", "-5"],
    ["data", "resize", "x", "y", "--threads", "0"],
    ["gradcheck", "relu", "--elements", "0"],
    ["gradcheck", "relu", "--seed", "-1"],
    ["study", "--summary", "--terms", "-1"],
    ["study", "--summary", "--seed", "-1"],
    ["emulate", "x.cu", "kernel", "--grid", "2", "0"],
    ["emulate", "x.cu", "kernel", "--block", "-32"],
    ["demo", "--seed", "-1"],
]


@pytest.mark.parametrize("arguments", NUMBERS, ids=" ".join)
def test_numbers_are_refused_where_they_are_given(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is read or done: no file that is named here exists."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    name, least = arguments[-2 - ("--grid" in arguments)].lstrip("-"), int("--seed" not in arguments)
    assert capsys.readouterr().err == f"alexnet-np: {name} must be at least {least}, got {arguments[-1]}\n"
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in run("train", "--data", "/nowhere", "--debug", code=1)


def test_unknown_names_are_listed() -> None:
    """The command-line parser knows the variants and the commands."""
    assert "caffenet" in run("train", "--variant", "alexnet", code=2)
    assert "evaluate" in run("learn", code=2)


def test_bad_backend_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("ALEXNET_BACKEND", "fast")
    assert main(["train", "--out", str(tmp_path)]) == 2
    assert "ALEXNET_BACKEND: unknown backend 'fast'; the backends are cpu_numpy" in capsys.readouterr().err
