"""What commands write, and where: links, pipes and devices; names of any bytes, and terminals of any encoding."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import class_tree
from PIL import Image
from rich.console import Console

import alexnet_np as anp
from alexnet_np import pictures, terminal
from alexnet_np.cli import main
from alexnet_np.data import Pixels
from alexnet_np.study.report import page
from alexnet_np.terminal import progress_bar, say, shown
from alexnet_np.train import SGD, Recipe, Run, metrics, save
from alexnet_np.whole_files import replace_text, replace_whole

# Each is a legal name of a file: formulas, markup, JSON, spaces, what moves a cursor, and bytes that are no UTF-8.
NAMES = [
    "cost $^$ of \\frac{",
    "rows [1,  2]  [ 3 ]",
    "<!--<script>&amp;",
    ":cat: [bold]猫[/bold]",
    "\x1b[31mred\x1b[0m\ttab\nline\rback\x9b1m",
    "\u202eright to left\u2028",
    os.fsdecode(b"caf\xe9 \xff"),
]
posix = pytest.mark.skipif(os.name != "posix", reason="names and devices of POSIX")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose classes have the odd names."""
    model = anp.alexnet("mini", len(NAMES), seed=1)
    pixels = Pixels(np.full((3, 32, 32), 128, np.float32), 1 / 70)
    path = tmp_path_factory.mktemp("run") / "last.safetensors"
    save(path, Run(Recipe(), model, SGD(model), pixels, NAMES, images=1))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture under each odd name."""
    folder = tmp_path_factory.mktemp("photos")
    for name in NAMES:
        pixels = np.random.default_rng().integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name.replace('/', '|')}.png", "PNG")
    return folder


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# Where it is written.
def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    """Of links to links, from another folder, and to a file that is not there yet."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "old").write_text("before", encoding="utf-8")
    links = {"one": "two", "two": "far/old", "new": "far/new"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    for name in ("one", "new"):
        replace_text(tmp_path / name, name)
    assert [os.readlink(tmp_path / name) for name in links] == list(links.values())
    assert text_of(tmp_path / "far" / "old") == "one" and text_of(tmp_path / "far" / "new") == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["far", "new", "new", "old", "one", "two"]
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match="circle"):
        replace_text(tmp_path / "circle", "")


@posix
@pytest.mark.parametrize("form", ["png", "pdf"])
def test_a_pipe_is_written_to(tmp_path: Path, form: str) -> None:
    """A picture too, although its library seeks in a file; the same bytes as in one."""
    pipe, read = tmp_path / f"pipe.{form}", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    confusion = np.eye(2, dtype=int)
    pictures.draw_confusion(pipe, confusion, ["a", "b"], "t")
    reader.join()
    assert pipe.is_fifo() and read[0][:4] == {"png": b"\x89PNG", "pdf": b"%PDF"}[form]
    assert [path.name for path in tmp_path.iterdir()] == [pipe.name]


@posix
def test_a_device_is_written_to() -> None:
    before = os.stat("/dev/null")
    replace_text(Path("/dev/null"), "nothing")
    after = os.stat("/dev/null")
    assert (before.st_ino, before.st_rdev) == (after.st_ino, after.st_rdev)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_device_that_takes_nothing_is_named(checkpoint: Path, photos: Path, capsys: Any) -> None:
    picture = str(next(photos.iterdir()))
    assert main(["predict", picture, "--checkpoint", str(checkpoint), "--json", "/dev/full"]) == 2
    assert capsys.readouterr().err.endswith("alexnet-np: [Errno 28] No space left on device: '/dev/full'\n")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(IsADirectoryError, match="there"):
        replace_whole(tmp_path / "there", lambda new: new.touch())
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@posix
@pytest.mark.parametrize("sent_to", ["a pipe", "a file"])
def test_standard_output_gets_everything_in_order(tmp_path: Path, sent_to: str) -> None:
    """What is printed before, the file, what is printed behind it; where a shell has sent output to a file as well."""
    code = (
        "from pathlib import Path; from alexnet_np.whole_files import replace_text\n"
        "print('before'); replace_text(Path('/dev/stdout'), 'file\\n'); print('behind')"
    )
    with (tmp_path / "out").open("wb") as file:
        to = subprocess.PIPE if sent_to == "a pipe" else file
        done = subprocess.run([sys.executable, "-c", code], stdout=to, check=True)
    printed = done.stdout if sent_to == "a pipe" else (tmp_path / "out").read_bytes()
    assert printed.split() == [b"before", b"file", b"behind"]


# Names.
@posix
def test_names_survive_json(checkpoint: Path, photos: Path, tmp_path: Path, capsys: Any) -> None:
    """In a file and on the terminal: the names that come back open the files; control characters are escaped."""
    files = sorted(map(str, photos.iterdir()))
    for target in (tmp_path / "p.json", "-"):
        assert main(["predict", str(photos), "--checkpoint", str(checkpoint), "--json", str(target)]) == 0
        printed = capsys.readouterr().out
        text = printed if target == "-" else text_of(tmp_path / "p.json")
        assert not any(terminal.CONTROL.search(line) for line in text.split("\n")) and "猫" in text
        predictions = json.loads(text)["predictions"]
        assert sorted(p["image"] for p in predictions) == files and all(Path(p["image"]).is_file() for p in predictions)
        assert all({entry["class"] for entry in p["top"]} <= set(NAMES) for p in predictions)


ENCODINGS = [
    {"PYTHONIOENCODING": "cp1252"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "utf-8"},
]


@posix
@pytest.mark.parametrize("encoding", ENCODINGS, ids=["-".join(e.values()) for e in ENCODINGS])
def test_names_on_any_terminal(checkpoint: Path, photos: Path, encoding: dict[str, str]) -> None:
    """Names come as bytes on standard input; each is shown in a line, and its JSON is read by anybody."""
    names = [name for name in map(os.fsencode, photos.iterdir()) if b"\n" not in name]
    command = [
        sys.executable,
        "-m",
        "alexnet_np.cli",
        "predict",
        "-",
        "--checkpoint",
        str(checkpoint),
        "--threads",
        "1",
    ]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONIOENCODING", "LC_ALL")} | encoding
    given = b"".join(name + b"\n" for name in names)
    done = subprocess.run(command, input=given, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6 * len(names)
    assert not {*range(32), 127} - {10} & set(done.stdout)
    done = subprocess.run([*command, "--json", "-"], input=given, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert [os.fsencode(p["image"]) for p in json.loads(done.stdout)["predictions"]] == names


COMMANDS = [["info"], ["--help"], ["predict", "--help"], ["gradcheck", "relu"], ["train", "--print-recipe"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_ends_at_an_encoding(command: list[str]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "alexnet_np.cli", *command], capture_output=True, env=environment)
    assert done.returncode == 0 and done.stdout.isascii() and done.stderr.isascii()


def test_what_is_shown_of_a_name() -> None:
    """One line, from which the name can be told; spaces, letters of any script and joined emoji as they are."""
    assert [shown(name) for name in NAMES[:4]] == NAMES[:4]
    assert shown(NAMES[4]) == r"\x1b[31mred\x1b[0m\ttab\nline\rback\x9b1m"
    assert shown(NAMES[5]) == r"\u202eright to left\u2028" and shown(NAMES[6]) == r"caf\udce9 \udcff"
    for kept in ("  two  spaces ", "no-break\xa0space", "👩\u200d🔬", "می\u200cخواهم"):
        assert shown(kept) == kept


def test_said_as_it_is(capsys: Any) -> None:
    """Longer than the terminal is wide, with markup, emoji codes and spaces of any number, over several lines."""
    text = "\n".join([*map(shown, NAMES), "", "a  b" * 100 + "  ", "\x1b[2J"])
    say(text)
    assert capsys.readouterr().out.split("\n") == [*text.split("\n")[:-1], r"\x1b[2J", ""]


# Pages and pictures.
def test_a_page_holds_any_name() -> None:
    """Nothing in the data can end or open a script, and the data are what they were."""
    model = anp.alexnet("mini", 3, dtype=np.float64)
    with model.record() as recording:
        recording.step(np.random.default_rng().standard_normal((1, 3, 32, 32)), np.array([1]))
    text = page(
        recording,
        "title </title>",
        "\n".join(NAMES),
        [(name, 0.1) for name in NAMES],
        {},
        [(n, 1.0, "") for n in NAMES],
    )
    inside = text.split('type="application/json">')[1].split("</script>")[0]
    assert "<" not in inside and [name for name, _ in json.loads(inside)["guesses"]] == NAMES
    assert [name for name, *_ in json.loads(inside)["alike"]] == NAMES and "title </title>" not in text


def test_a_name_is_no_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn as it is written, in all three pictures."""
    figures: list[Any] = []
    draw = pictures.save
    monkeypatch.setattr(pictures, "save", lambda figure, path: (figures.append(figure), draw(figure, path)))
    title = "$^$ $x^2$ on data/$\\bad{"
    line = {"step": 1, "epoch": 0, "loss": 1.0, "lr": 0.1, "scores": None}
    names = [name.replace("猫", "") for name in NAMES]  # which the font lacks
    pictures.draw_confusion(tmp_path / "c.png", np.eye(len(names), dtype=int), names, title)
    pictures.draw_curves(tmp_path / "t.png", [line], title)
    pictures.draw_filters(tmp_path / "f.png", {title: np.random.default_rng().standard_normal((4, 3, 5, 5))})
    assert [title in figure.axes[0].get_title() for figure in figures] == [True] * 3
    assert [label.get_text() for label in figures[0].axes[0].get_xticklabels()] == [
        pictures._short(shown(name)) for name in names
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.png", "f.png", "t.png"]


def test_pictures_leave_a_notebooks_plots_alone(tmp_path: Path) -> None:
    """The backend that was chosen stays, and so do the figures that are open, before and after a drawing."""
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "import alexnet_np.pictures as pictures, alexnet_np.benchmarks.plots\n"
        "draw = lambda name: pictures.draw_confusion(Path(name), np.eye(2, dtype=int), ['a', 'b'], 't')\n"
        "draw('before.pdf'); assert 'matplotlib.pyplot' not in sys.modules\n"
        "import matplotlib; matplotlib.use('svg'); import matplotlib.pyplot as plt; plt.figure()\n"
        "draw('c.png'); assert matplotlib.get_backend() == 'svg' and plt.get_fignums() == [1]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


@pytest.mark.parametrize(
    "error", [ValueError("bad formula"), RuntimeError("no font"), OSError(28, "full"), MemoryError()]
)
def test_no_picture_ends_a_training(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def draw(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(pictures, "draw_curves", draw)
    class_tree(tmp_path / "data", count=6)
    train = ["train", "--data", str(tmp_path / "data"), "--batch", "5", "--epochs", "2", "--threads", "1"]
    assert main([*train, "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert out.count("the curves are not drawn: ") == 2 and type(error).__name__ in out
    assert metrics.read(tmp_path / "run" / "metrics.jsonl")[-1]["step"] == 4


# Progress.
@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_counts_stay_on_a_narrow_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere, width=width, force_terminal=True, color_system=None)
        monkeypatch.setattr(terminal, "console", console)
        bar = progress_bar("{task.fields[pace]}")
        task = bar.add_task("training", total=None, pace="")
        with console.capture() as first:
            console.print(bar.get_renderable())
        bar.update(task, completed=12345, total=450450, pace="loss 0.1234  1,234 images/s")
        with console.capture() as later:
            console.print(bar.get_renderable())
    assert "0/?" in first.get() and "nan" not in first.get()
    assert "12345/450450" in later.get() and max(map(len, later.get().splitlines())) <= width
    assert ("loss 0.1234  1,234 images/s" in later.get()) == (width >= 60)


MOVED = """
import os, sys
from alexnet_np.terminal import say, take_any_text
reader, writer = os.pipe()
os.dup2(writer, 1)
take_any_text()
say("a \\u2713")
sys.stdout.flush()
os.write(2, os.read(reader, 100))
"""


def test_a_file_that_becomes_a_pipe(tmp_path: Path) -> None:
    """Python asks for the place in what it took for a file; no command ends at that."""
    with (tmp_path / "out").open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", MOVED],
            stdout=file,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        )
    assert (done.returncode, done.stderr) == (0, b"a \\u2713\n")
