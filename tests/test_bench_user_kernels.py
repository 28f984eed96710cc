"""alexnet-np bench my_kernel.py: a user's kernel is checked, timed beside ours, and a mistake in it is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from quick_bench import quick

from alexnet_np.cli import main
from alexnet_np.dispatch import load_kernels

HEAD = "import numpy as np\nimport alexnet_np as anp\n"
RIGHT = (
    HEAD
    + """
@anp.ops.relu.kernel("cpu_numpy/mine")
def mine(x, *, out):
    np.maximum(x, 0, out=out)
"""
)
FEW = "--variants", "mini", "--batches", "2", "--rounds", "2", "--no-peers"


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """Kernels that a test registers go with it."""
    before = {op: dict(op.kernels) for op in load_kernels().values()}
    with quick():
        yield
    for op, kernels in before.items():
        op.kernels.clear()
        op.kernels.update(kernels)
        op.changed()


def write(folder: Path, text: str) -> str:
    path = folder / "my_kernel.py"
    path.write_text(text)
    return str(path)


def test_a_right_kernel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", write(tmp_path, RIGHT), *FEW]) == 0
    shown = capsys.readouterr().out
    assert "CONFORMS relu cpu_numpy/mine" in shown
    assert "of the copy roof" in shown and "times as fast as ours (cpu_numba)" in shown


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("np.maximum(x, 0,", "np.maximum(x, 0.01,"), "y is off by"),
        (("np.maximum(x, 0, out=out)", "x[...] = 0"), "it changes its input x"),
        (("np.maximum(x, 0, out=out)", "out[0] = 1 / np.zeros(3)"), "it raises"),
        (("np.maximum(x, 0, out=out)", "pass"), "y is off by inf"),
    ],
    ids=["off", "input changed", "raises", "not written"],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_wrong_kernel(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], told: str) -> None:
    assert change[0] in RIGHT
    with pytest.raises(SystemExit) as ended:
        main(["bench", write(tmp_path, RIGHT.replace(*change)), *FEW])
    assert ended.value.code == 1
    shown = capsys.readouterr().out
    assert "WRONG    relu cpu_numpy/mine, case" in shown and told in shown and "roof" not in shown


def test_a_kernel_that_is_wrong_only_at_large_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the conformance test's small cases do not show, the check of the timed calls does."""
    text = RIGHT + "    if x.size > 5000:\n        out.flat[-1] = 100\n"
    with pytest.raises(SystemExit) as ended:
        main(["bench", write(tmp_path, text), *FEW])
    shown = capsys.readouterr().out
    assert ended.value.code == 1 and "CONFORMS" in shown and "WRONG    mini relu1 relu, batch 2" in shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD, "registers no kernel"),
        ("import nothing_like_this", "ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("def (", "SyntaxError"),
        (RIGHT.replace("cpu_numpy/mine", "cpu_numba"), "registered already"),
        (RIGHT.replace("cpu_numpy/mine", "gpu_cuda/mine"), "not timed here"),
        (RIGHT.replace("(x, *", "(y, *"), "has parameters"),
    ],
    ids=["no kernel", "import", "syntax", "key taken", "other device", "parameters"],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str) -> None:
    assert main(["bench", write(tmp_path, text), *FEW]) == 2
    said = capsys.readouterr().err
    assert told in said and "my_kernel.py" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.py"], "there is no file nowhere.py"),
        (["--variants", "vgg"], "unknown variant 'vgg'"),
        (["--ops", "conv3d"], "unknown operation 'conv3d'"),
        (["--batches", "0"], "at least one image"),
        (["--rounds", "0"], "rounds must be at least 1"),
        (["--seconds", "-1"], "seconds must not be negative"),
        (["--threads", "0"], "threads must be a positive int"),
        (["--only", "everything"], "invalid choice 'everything'"),
        (["--table", "nowhere.json"], "nowhere.json"),
        (["--compare", "a.json", "b.json"], "a.json"),
        (["--only", "ops", "--variants", "cifar", "--batches", "1", "--ops", "dropout"], "nothing to time"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_end_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == 2
    said = capsys.readouterr().err.replace("compiling kernels, which takes a while\n", "")
    assert told in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())
