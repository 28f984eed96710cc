"""Recipes: the named ones, TOML files under flags, and what a mistake in one gets."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet_np.cli import main
from alexnet_np.train import Recipe, recipe_file
from alexnet_np.train.recipe import FREE


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["train", *arguments, "--print-recipe"]) == 0
    return capsys.readouterr().out


def test_named_recipes() -> None:
    """The published figures, as ALEXNET's sources have them."""
    assert recipe_file.names() == ["caffe", "cifar", "demo", "fashion", "paper", "torchvision"]
    paper, caffe, torchvision = map(recipe_file.find, ("paper", "caffe", "torchvision"))
    assert (paper.variant, paper.batch, paper.lr, paper.epochs) == ("paper", 128, 0.01, 90)
    assert (paper.schedule, paper.gamma, paper.drops) == ("plateau", 0.1, 3)
    assert (paper.momentum, paper.weight_decay, paper.bias_lr, paper.bias_decay) == (0.9, 5e-4, 1, 1)
    assert (paper.store, paper.mirror, paper.colour) == (256, True, 0.1)
    assert (caffe.batch, caffe.drop_steps, caffe.steps, caffe.bias_lr, caffe.bias_decay) == (
        256,
        100_000,
        450_000,
        2,
        0,
    )
    assert (caffe.store, caffe.mirror, caffe.colour) == (256, True, 0)
    assert (torchvision.drop_epochs, torchvision.epochs, torchvision.weight_decay) == (30, 90, 1e-4)


@pytest.mark.parametrize("name", recipe_file.names())
def test_a_printed_recipe_is_the_recipe(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "again.toml"
    file.write_text(printed(capsys, "--recipe", name, "--seed", "7", "--init", 'a "b"\\\tü\x7f'), encoding="utf-8")
    assert recipe_file.find(str(file)) == replace(recipe_file.find(name), seed=7, init='a "b"\\\tü\x7f')
    assert printed(capsys, "--recipe", str(file)) == file.read_text(encoding="utf-8")


def test_flags_over_file_over_defaults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my.toml").write_text('lr = 1\nbatch = 32\ndrop = [2, 3]\nfreeze = ["conv1..conv2"]\nlrn = false\n')
    content = printed(capsys, "--recipe", str(tmp_path / "my.toml"), "--batch", "16", "--drop", "4", "--mirror")
    (tmp_path / "out.toml").write_text(content)
    assert recipe_file.find(str(tmp_path / "out.toml")) == Recipe(
        lr=1.0, batch=16, drop=(4,), freeze=("conv1..conv2",), lrn=False, mirror=True, name="my"
    )


MISTAKES = [
    ("lrr = 0.1", "unknown key 'lrr'; the keys are variant, data, epochs, steps, batch, lr,"),
    ("lr = 'fast'", "lr must be a number, got 'fast'"),
    ("lr = true", "lr must be a number, got True"),
    ("batch = 1.5", "batch must be a whole number, got 1.5"),
    ("mirror = 1", "mirror must be true or false, got 1"),
    ("drop = 4", "drop must be a list, got 4"),
    ("drop = [4, 'x']", "drop must be a whole number, got 'x'"),
    ("drop = [0]", "drop must be numbers of epochs, from 1, got (0,)"),
    ("data = 3", "data must be a text, got 3"),
    ("variant = 'alexnet'", "variant must be one of paper, caffe, caffenet, torchvision, torch, keras, cifar, fashion"),
    ("schedule = 'linear'", "schedule must be one of constant, step, plateau, cosine, got 'linear'"),
    (
        "schedule = 'cosine'\ndrop = [3]",
        "drop, drop_epochs and drop_steps belong to the schedule 'step', not to 'cosine'",
    ),
    ("gamma = 1.5", "gamma must be between 0 and 1, got 1.5"),
    ("keep = 0", "keep must be at least 1, got 0"),
    ("colour = inf", "colour must be a finite number from 0, got inf"),
    ("[train]\nlr = 1", "unknown key 'train'"),
    ("lr 1", "is not TOML: "),
]


@pytest.mark.parametrize(("content", "message"), MISTAKES, ids=[content for content, _ in MISTAKES])
def test_a_mistake_is_one_line(content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.toml"
    path.write_text(content)
    assert main(["train", "--recipe", str(path), "--out", str(tmp_path / "run")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"alexnet-np: {path}") and message in lines[0]
    assert not (tmp_path / "run").exists()


def test_unknown_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--recipe", "papre"]) == 2
    expected = "there is no recipe 'papre'; give one of caffe, cifar, demo, fashion, paper, torchvision, or a TOML file"
    assert capsys.readouterr().err == f"alexnet-np: {expected}\n"


def test_help_shows_the_defaults_of_a_recipe() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alexnet_np.cli", "train", "--recipe", "paper", "--help"], capture_output=True, text=True
    )
    assert "(default: 256)" in done.stdout and "(default: plateau)" in done.stdout


def test_what_may_differ_in_a_resumed_run_exists() -> None:
    assert set(FREE) <= set(Recipe.__dataclass_fields__)


FLAGS = [
    (["learn"], "there is no command 'learn'; the commands are info, demo, train, "),
    (
        ["train", "--variant", "alexnet"],
        "invalid choice 'alexnet' for argument '--variant'. Expected one of ('paper', ",
    ),
    (["train", "--schedule", "linear"], "Expected one of ('constant', 'step', 'plateau', 'cosine')"),
    (
        ["train", "--lr", "fast"],
        "Error parsing --lr: could not convert string to float: 'fast'; see alexnet-np train --h",
    ),
    (["train", "--lrr", "1"], "Unrecognized options: --lrr, 1; see alexnet-np train --help"),
    (["train", "--recipe"], "Missing value for argument '--recipe'"),
    (["train", "--freeze", "conv9"], "there is no layer 'conv9' to freeze; those with weights are conv1, "),
    (["train", "--store", "16"], "images stored at 16×16 are smaller than the network's 32×32"),
    (["train", "--init", "/nowhere"], "there is no checkpoint /nowhere"),
    (["train", "--resume", "a", "b"], "--resume takes one checkpoint, got a b"),
    (["train", "--resume", "/nowhere/x"], "there is no checkpoint /nowhere/x"),
]


@pytest.mark.parametrize(("flags", "message"), FLAGS, ids=[" ".join(flags[:3]) for flags, _ in FLAGS])
def test_wrong_flags_are_one_line(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(flags) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("alexnet-np: ") and message in lines[0]
    assert list(tmp_path.iterdir()) == []
