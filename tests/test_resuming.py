"""A run that goes on: from another folder, with images that have changed, and after its very end."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_np import cli, data
from alexnet_np.arguments import gathered
from alexnet_np.cli import main
from alexnet_np.data import InMemory, Split, changes, fingerprint, generated
from alexnet_np.train import Recipe, load

ARGUMENTS = ["train", "--batch", "9", "--epochs", "1", "--threads", "1"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with two classes of ten pictures in `images`: 18 to train on."""
    random = np.random.default_rng(0)
    for name in ("one", "two"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(10):
            picture = Image.fromarray(random.integers(0, 256, (40, 44, 3), np.uint8))
            picture.save(tmp_path / "images" / name / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(place: Path) -> Path:
    assert main([*ARGUMENTS, "--data", "images", "--out", "run"]) == 0
    return place / "run"


def test_from_another_working_folder(
    trained: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--data is found, also where another folder of that name is nearer; a run and its images may move, too."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "images").mkdir()
    monkeypatch.chdir(elsewhere)
    assert main(["train", "--resume", str(trained / "last.safetensors"), "--epochs", "2"]) == 0
    assert main(["evaluate", "--checkpoint", str(trained / "last.safetensors"), "--json", "scores.json"]) == 0
    assert json.loads((elsewhere / "scores.json").read_text())["images"] == 2
    shutil.move(trained.parent / "images", elsewhere / "moved")
    shutil.move(trained, elsewhere / "run")
    resume = ["train", "--resume", "--out", "run", "--epochs", "3"]
    assert main(resume) == 2
    assert main([*resume, "--data", "moved"]) == 0
    assert load(Path("run/last.safetensors")).model.iteration == 6


def resized(folder: Path) -> None:
    Image.new("RGB", (50, 50)).save(folder / "one" / "5.png")


def renamed(folder: Path) -> None:
    (folder / "two" / "5.png").rename(folder / "two" / "55.png")


def held_out(folder: Path) -> None:
    Image.new("RGB", (50, 50)).save(folder / "one" / "0.png")


CHANGES = [
    (resized, ["the training images have changed: other sizes of files"]),
    (renamed, ["the training images have changed: other names"]),
    (held_out, ["the held-out images have changed: other sizes of files"]),
    (lambda folder: None, []),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_images_that_changed_are_told(
    change: object, expected: list[str], trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line for each part; the run goes on, and from then on with these."""
    assert callable(change)
    change(trained.parent / "images")
    capsys.readouterr()
    assert main(["train", "--resume", "--out", "run", "--epochs", "2"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(expected)
    for line, begins in zip(lines, expected, strict=True):
        assert line.startswith(f"alexnet-np: since the checkpoint {begins}"), line
    assert main(["train", "--resume", "--out", "run", "--epochs", "3"]) == 0
    assert capsys.readouterr().err == ""


def test_fingerprints_of_images_in_memory() -> None:
    one, other = (fingerprint(generated.load(train=24, test=12, side=32, seed=seed)) for seed in (1, 2))
    assert json.loads(json.dumps(one)) == one
    assert changes(one, one) == []
    split = generated.load(train=24, test=12, side=32, seed=1)
    turned = InMemory(split.train.images(np.arange(24)), split.train.labels[::-1], split.train.classes)
    assert changes(one, fingerprint(Split(turned, split.test))) == ["the training images have changed: other labels"]
    assert changes(one, other) == [f"the {part} images have changed: other pixels" for part in ("training", "held-out")]


def test_the_order_of_files_counts(place: Path) -> None:
    split = data.load("images", (3, 32, 32))
    one = fingerprint(split)
    split.train.paths[1:3] = split.train.paths[2:0:-1]  # type: ignore[attr-defined]
    (said,) = changes(one, fingerprint(split))
    assert said.startswith("the training images have changed: another order")


def test_what_a_finished_run_still_lacks(trained: Path) -> None:
    """A kill after the last checkpoint: curves are drawn, and what was half written goes."""
    (trained / "curves.png").unlink()
    (trained / ".curves.png.partial").mkdir()
    before = (trained / "last.safetensors").read_bytes()
    assert main(["train", "--resume", "--out", "run"]) == 0
    assert (trained / "last.safetensors").read_bytes() == before
    names = {"curves.png", "metrics.jsonl", "last.safetensors", "best.safetensors", ".lock"}
    assert {p.name for p in trained.iterdir() if not p.name.startswith("step-")} == names


def outputs(place: Path) -> list[list[str]]:
    """Every command with every file that it writes; the file's name is to follow."""
    return [
        [*ARGUMENTS, "--data", "images", "--out"],
        [*ARGUMENTS, "--data", "images", "--out", "other", "--profile"],
        ["evaluate", "--checkpoint", "run/last.safetensors", "--json"],
        ["evaluate", "--checkpoint", "run/last.safetensors", "--confusion"],
        ["predict", "images/one/1.png", "--checkpoint", "run/last.safetensors", "--json"],
        ["gradcheck", "relu", "--json"],
        ["gradcheck", "relu", "--html"],
        ["study", "--variant", "mini", "--out"],
        ["bench", "--only", "ops", "--ops", "relu", "--out"],
        ["demo", "--out"],
        ["data", "resize", "images"],
    ]


def test_outputs_are_tried_before_the_work(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place below a file, a name that is too long, a folder for a file: one line, before any kernel runs."""
    place = trained.parent
    (place / "file").write_text("kept")

    def work(*_: object, **__: object) -> None:
        raise AssertionError("the long work began")

    for name in ("evaluate", "predict"):
        monkeypatch.setattr(f"alexnet_np.results.{name}", work)
    for name in ("start", "fit", "check_named"):
        monkeypatch.setattr(f"alexnet_np.report.{name}", work)
    monkeypatch.setattr("alexnet_np.network.Sequential.forward", work)
    monkeypatch.setattr("alexnet_np.benchmarks.bench.rows", work)
    monkeypatch.setattr("alexnet_np.demo.check_gradients", work)
    capsys.readouterr()
    before = sorted(place.rglob("*"))
    for command in outputs(place):
        folders = command[0] in ("data", "demo") or command[-2:] == ["images", "--out"]
        bad = ["file/x.png", "x" * 300 + ".png", *([] if folders else ["images"])]
        for name in bad:
            assert cli.main([*command, name]) == 2, (command, name)
            (line,) = capsys.readouterr().err.splitlines()
            assert name[:40] in line, (command, line)
    assert sorted(place.rglob("*")) == before and (place / "file").read_text() == "kept"


def test_a_flag_that_is_given_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """All elements are shown, however they are given."""
    elements = ["loss.y[]", "fc8.dbias[1]", "fc8.y[0,1]"]
    study = ["study", "--variant", "mini"]
    assert main([*study, "--element", elements[0], "--element", *elements[1:]]) == 0
    said = capsys.readouterr().out
    assert all(element in said for element in elements)
    expected = [*study, "--element", *elements]
    for way in (expected, [*study, *(f"--element={element}" for element in elements)]):
        assert gathered(way, cli.study, Recipe) == expected
    given = [
        "train",
        "--freeze",
        "conv1",
        "--lr",
        "1",
        "--drop=2",
        "--freeze",
        "conv2",
        "fc6",
        "--lr",
        "2",
        "--drop",
        "3",
    ]
    expected = ["train", "--freeze", "conv1", "conv2", "fc6", "--lr", "1", "--drop", "2", "3", "--lr", "2"]
    assert gathered(given, cli.train, Recipe) == expected


@pytest.mark.parametrize("key", ["lr", "epochs", "momentum", "seed", "steps"])
def test_a_number_of_400_digits(key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "r.toml"
    for digits in (400, 5000):
        recipe.write_text(f"{key} = 1{'0' * digits}")
        assert main(["train", "--recipe", str(recipe), "--out", str(tmp_path / "run")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert str(recipe) in line and len(line) < 300
    assert main(["train", f"--{key}", "1" + "0" * 400, "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert key in line and len(line) < 300
