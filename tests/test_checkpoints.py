"""Checkpoints: what they hold, which stay, and what becomes of damaged ones, full disks and wrong ones."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from alexnet_np.cli import main
from alexnet_np.data import generated
from alexnet_np.data.dataset import InMemory, Split
from alexnet_np.train import Recipe, Run, fit, load, save, start
from alexnet_np.train.checkpoint import write_tensors
from alexnet_np.train.series import Series, newest
from alexnet_np.whole_files import PARTIAL

SMALL = Recipe(epochs=2, batch=16, lr=0.02, seed=3)
COLOURFUL = replace(SMALL, store=36, mirror=True, colour=0.1, schedule="plateau", freeze=("conv1",), init=None)


@pytest.fixture(scope="module")
def images() -> Split:
    return generated.load(train=96, test=24, side=36, seed=1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 20 pictures, of which two each are held out: 36 to train on."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name in ("one", "two"):
        (folder / name).mkdir()
        for i in range(20):
            Image.fromarray(random.integers(0, 256, (40, 44, 3), np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture
def run(images: Split) -> Run:
    return start(COLOURFUL, images)


def change(run: Run) -> None:
    """Bring a run to a state that no new one has."""
    random = np.random.default_rng(5)
    for array in (*run.model.state_dict().values(), *run.sgd.velocity.values()):
        array[...] = random.standard_normal(array.shape)
    run.model.iteration, run.loss, run.scored, run.best = 17, 1.25, 12, 0.5
    run.schedule.restore({"best": 0.5, "waited": 2, "dropped": 1})


def test_everything_comes_back(run: Run, tmp_path: Path) -> None:
    change(run)
    save(tmp_path / "a.safetensors", run)
    again = load(tmp_path / "a.safetensors")
    for mine, its in (
        (run.model.state_dict(), again.model.state_dict()),
        (run.sgd.velocity, again.sgd.velocity),
        (run.pixels.tensors(), again.pixels.tensors()),
    ):
        assert mine.keys() == its.keys()
        for name, array in mine.items():
            np.testing.assert_array_equal(array, its[name], err_msg=name)
    assert run.pixels.about() == again.pixels.about() and "pixels.colour" in again.pixels.tensors()
    for name in ("recipe", "classes", "images", "schedule", "loss", "scored", "best"):
        assert getattr(run, name) == getattr(again, name), name
    assert again.model.iteration == 17 and again.model.input_shape == (3, 32, 32)
    assert again.sgd.frozen == {"conv1"} and "conv1.weight" not in again.sgd.velocity


def test_transposed_weights(tmp_path: Path) -> None:
    """safetensors writes a transposed array's memory as if it were contiguous; ours must come back as it was."""
    turned = np.arange(6.0).reshape(2, 3).T
    write_tensors(tmp_path / "t.safetensors", {"t": turned}, {})
    from safetensors.numpy import load_file

    np.testing.assert_array_equal(load_file(tmp_path / "t.safetensors")["t"], turned)


def test_the_last_few_and_the_best_stay(run: Run, tmp_path: Path) -> None:
    series = Series(tmp_path, keep=2)
    for step in range(5):
        run.model.iteration = step
        series.save(run, best=step == 1)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"step-00000003.safetensors", "step-00000004.safetensors", "last.safetensors", "best.safetensors"}
    assert load(tmp_path / "last.safetensors").model.iteration == 4
    assert load(tmp_path / "best.safetensors").model.iteration == 1


def test_going_back_keeps_what_lies_beyond(run: Run, tmp_path: Path) -> None:
    """A run that goes on from an older checkpoint does not push out its own new ones by their lower numbers."""
    series = Series(tmp_path, keep=2)
    for step in (10, 20, 30, 15):
        run.model.iteration = step
        series.save(run)
    assert {path.stem for path in tmp_path.glob("step-*")} == {"step-00000020", "step-00000030"} | {"step-00000015"}
    assert load(tmp_path / "last.safetensors").model.iteration == 15


def test_the_first_checkpoint_without_its_name(run: Run, tmp_path: Path) -> None:
    """A kill between the write and the second name: --resume finds what is there."""
    assert newest(tmp_path) == tmp_path / "last.safetensors"
    save(tmp_path / "step-00000000.safetensors", run)
    assert newest(tmp_path) == tmp_path / "step-00000000.safetensors"
    Series(tmp_path, keep=1).save(run)
    assert newest(tmp_path) == tmp_path / "last.safetensors"


def test_without_hard_links(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    Series(tmp_path, keep=2).save(run, best=True)
    for name in ("last", "best"):
        assert load(tmp_path / f"{name}.safetensors").model.iteration == 0


def test_best_of_a_run(images: Split, tmp_path: Path) -> None:
    run = start(replace(COLOURFUL, epochs=3), images)
    scores: list[float] = []
    assert fit(run, images, tmp_path, lambda report: scores.append(report.scores.top1) if report.scores else None)
    assert load(tmp_path / "best.safetensors").model.iteration == 6 * (1 + int(np.argmax(scores)))
    assert load(tmp_path / "last.safetensors").best == max(scores) == run.best


DAMAGES = {
    "cut in half": lambda whole: whole[: len(whole) // 2],
    "one byte short": lambda whole: whole[:-1],
    "empty": lambda whole: b"",
    "zeros": lambda whole: b"\0" * len(whole),
    "text": lambda whole: b"not a checkpoint at all",
    "a bit in an array": lambda whole: whole[:-1000] + bytes([whole[-1000] ^ 1]) + whole[-999:],
    "a digit in the recipe": lambda whole: whole.replace(b'\\"batch\\": 16', b'\\"batch\\": 32'),
    "a tensor's name": lambda whole: whole.replace(b'"velocity.fc8.bias"', b'"velocity.fc9.bias"'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged(damage: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save(path, run)
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    assert path.read_bytes() != whole
    with pytest.raises(ValueError, match=r"last.safetensors is damaged"):
        load(path)


def test_the_one_before_a_damaged_one_is_offered(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest that is whole, in one line; given to --resume, it goes on, and ends as if nothing had happened."""
    out, other = tmp_path / "run", tmp_path / "other"
    common = ["train", "--data", str(pictures), "--batch", "9", "--epochs", "2", "--save-every", "2"]
    assert main([*common, "--out", str(other)]) == 0 and main([*common, "--out", str(out)]) == 0
    capsys.readouterr()
    for step in (8, 6):
        path = out / f"step-0000000{step}.safetensors"
        path.write_bytes(path.read_bytes()[:-500])
    assert main(["train", "--resume", "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    before = out / "step-00000004.safetensors"
    assert f"{out}/last.safetensors is damaged" in line
    assert line.endswith(f"the checkpoint before it is whole: give {before}")
    assert main(["evaluate", "--checkpoint", str(out / "last.safetensors")]) == 2
    assert line == capsys.readouterr().err.strip()
    assert main(["train", "--resume", str(before)]) == 0
    assert (out / "last.safetensors").read_bytes() != b""
    one, two = (load(folder / "last.safetensors") for folder in (out, other))
    for name, array in one.model.state_dict().items():
        np.testing.assert_array_equal(array, two.model.state_dict()[name])


def test_other_files(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    with pytest.raises(ValueError, match=r"there is no checkpoint .*last.safetensors"):
        load(path)
    write_tensors(path, {"w": np.ones(3)}, {})
    with pytest.raises(ValueError, match="not a checkpoint of ours"):
        load(path)
    save(path, run)
    with safe_open(path, framework="numpy") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    metadata["run"] = metadata["run"].replace('"momentum"', '"nesterov"')
    del metadata["crc32"]
    write_tensors(path, tensors, metadata)
    with pytest.raises(ValueError, match=r"last.safetensors has a recipe of another version: unknown key 'nesterov'"):
        load(path)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # else the signal ends the process
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk(run: Run, tmp_path: Path) -> None:
    """The last good one stays, nothing else is left, and it is an OSError that names the file."""
    Series(tmp_path, keep=3).save(run)
    before = (tmp_path / "last.safetensors").read_bytes()
    change(run)
    with full_disk(100_000), pytest.raises(OSError, match=r"cannot write .*step-00000017.safetensors: .*large"):
        Series(tmp_path, keep=3).save(run)
    assert {path.name for path in tmp_path.iterdir()} == {"step-00000000.safetensors", "last.safetensors"}
    assert (tmp_path / "last.safetensors").read_bytes() == before
    assert load(tmp_path / "last.safetensors").model.iteration == 0


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_write_that_fails_late(run: Run, tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.safetensors"
    save(path, run)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    change(run)
    monkeypatch.setattr(os, broken, full)
    with pytest.raises(OSError, match=r"cannot write .*last.safetensors: no space"):
        save(path, run)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


def test_what_a_kill_leaves_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / f".step-00000007.safetensors{PARTIAL}"
    left.mkdir()
    (left / ".tmp4iX").write_bytes(b"half a checkpoint")
    Series(tmp_path, keep=1)
    assert list(tmp_path.iterdir()) == []


def test_permissions_are_those_of_any_file(run: Run, tmp_path: Path) -> None:
    """safetensors alone would give the file to its owner only."""
    (tmp_path / "plain").touch()
    save(tmp_path / "a.safetensors", run)
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def other_classes(images: Split, count: int) -> Split:
    """The same images under other names."""

    def part(data: InMemory) -> InMemory:
        return InMemory(data.pixels, data.labels % count, [f"kind {i}" for i in range(count)])

    return Split(part(images.train), part(images.test))  # type: ignore[arg-type]


def test_weights_from_a_checkpoint(run: Run, images: Split, tmp_path: Path) -> None:
    """Another class count: the last layer is drawn anew and said so; the same classes: everything is taken."""
    change(run)
    save(tmp_path / "a.safetensors", run)
    told: list[str] = []
    recipe = replace(COLOURFUL, init=str(tmp_path / "a.safetensors"), freeze=("conv1..conv3",), seed=8)
    reused, drawn = start(recipe, other_classes(images, 4), told.append), start(replace(recipe, init=None), images)
    assert told == [f"weights from {tmp_path}/a.safetensors; fc8 drawn anew for other classes"]
    assert reused.model["fc8"].params["weight"].shape == (4, 64) and reused.model.iteration == 0
    for name, array in run.model.state_dict().items():
        if not name.startswith("fc8"):
            np.testing.assert_array_equal(reused.model.state_dict()[name], array)
    assert all((v == 0).all() for v in reused.sgd.velocity.values())
    assert not np.array_equal(drawn.model["conv1"].params["weight"], reused.model["conv1"].params["weight"])
    told.clear()
    same = start(recipe, images, told.append)
    np.testing.assert_array_equal(same.model["fc8"].params["weight"], run.model["fc8"].params["weight"])
    assert told == [f"weights from {tmp_path}/a.safetensors"]
    renamed = start(recipe, other_classes(images, 12), told.append)
    assert not np.array_equal(renamed.model["fc8"].params["weight"], run.model["fc8"].params["weight"])
    assert fit(reused, other_classes(images, 4))
    np.testing.assert_array_equal(reused.model["conv3"].params["weight"], run.model["conv3"].params["weight"])


def test_weights_of_another_network(run: Run, images: Split, tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", run)
    with pytest.raises(ValueError, match=r"a.safetensors is of the variant mini, it cannot start one of cifar"):
        start(Recipe("cifar", batch=16, store=36, init=str(tmp_path / "a.safetensors")), images)
    larger = generated.load(train=24, test=12, side=48)
    with pytest.raises(ValueError, match=r"a.safetensors does not fit: fc6.weight has shape \(64, 432\), this network"):
        start(replace(SMALL, init=str(tmp_path / "a.safetensors")), larger)


def test_other_data(run: Run, images: Split) -> None:
    """Another class count, with both named; other names; another number of images."""
    with pytest.raises(
        ValueError, match=r"has 12 classes \(vertical, .*\), the images have 4 classes \(kind 0, kind 1"
    ):
        fit(run, other_classes(images, 4))
    with pytest.raises(ValueError, match=r"12 classes \(vertical, .* have 12 classes \(kind 0"):
        fit(run, other_classes(images, 12))
    with pytest.raises(ValueError, match="the run began with 96 training images, there are 84 now"):
        fit(run, generated.load(train=84, test=24, side=36))


MISTAKES = [
    (["--variant", "cifar"], "was made by another recipe (variant 'mini' → 'cifar')"),
    (["--lr", "0.5", "--mirror"], "(lr 0.01 → 0.5; mirror False → True)"),
    (["--recipe", "fashion"], "(variant 'mini' → 'fashion'; "),
    (
        ["--data", "generated"],
        "the checkpoint has 2 classes (one, two), the images have 12 classes (vertical, rising, ",
    ),
]


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    assert main(["train", "--data", str(pictures), "--batch", "9", "--epochs", "1", "--out", str(folder)]) == 0
    return folder / "last.safetensors"


@pytest.mark.parametrize(("flags", "message"), MISTAKES, ids=[flags[0] for flags, _ in MISTAKES])
def test_resuming_another_run_is_refused(
    flags: list[str], message: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = trained.read_bytes()
    assert main(["train", "--resume", str(trained), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and trained.read_bytes() == before


def test_what_may_change_in_a_resumed_run(trained: Path, tmp_path: Path) -> None:
    """Epochs, threads and what is kept; the rest comes from the checkpoint, without a flag."""
    arguments = ["--epochs", "2", "--threads", "1", "--keep", "1", "--save-every", "3", "--out", str(tmp_path)]
    assert main(["train", "--resume", str(trained), *arguments]) == 0
    run = load(tmp_path / "last.safetensors")
    assert run.model.iteration == 8 and (run.recipe.batch, run.recipe.threads, run.recipe.keep) == (9, 1, 1)


def test_a_cosine_cannot_grow(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["train", "--data", str(pictures), "--batch", "9", "--schedule", "cosine", "--out", str(tmp_path)]
    assert main([*common, "--epochs", "1"]) == 0
    capsys.readouterr()
    assert main([*common, "--epochs", "2", "--resume"]) == 2
    assert "was made by another recipe (epochs 1 → 2)" in capsys.readouterr().err


def test_ctrl_c_on_the_command_line(pictures: Path, tmp_path: Path) -> None:
    """A checkpoint, a line that says how to go on, and exit code 0."""
    arguments = ["train", "--data", str(pictures), "--batch", "4", "--epochs", "100000", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "alexnet_np.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        while "epoch   1" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        text = process.communicate()[0]
    run = load(tmp_path / "last.safetensors")
    assert run.model.iteration >= 9
    assert f"interrupted at step {run.model.iteration}; go on with: alexnet-np train --resume {tmp_path}" in text
