"""What a compiled kernel gives does not depend on whether this process compiled it, nor on what was loaded before."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import pytest

from alexnet_np.kernels import stored
from alexnet_np.kernels.compiled import jit

# Two steps of a small network, layer by layer and planned: kernels of every operation, some with functions in common.
STEPS = """
import hashlib
import numpy as np
import alexnet_np as anp
from alexnet_np.train import SGD, train_step

rng = np.random.default_rng(0)
layers, planned = (anp.alexnet("mini", 10, seed=1) for _ in range(2))
x = rng.standard_normal((8, *layers.input_shape)).astype(np.float32)
labels = rng.integers(0, 10, 8)
sgd, plan = SGD(layers), anp.Plan(planned, x.shape)
for _ in range(2):
    train_step(layers, sgd, x, labels, 0.01)
    plan.step(x, labels)
arrays = [*layers.state_dict().values(), *planned.state_dict().values()]
print(hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest())
"""


def test_compiled_now_or_before(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "ALEXNET_BACKEND": "cpu_numba"}
    first, second = (
        subprocess.run([sys.executable, "-c", STEPS], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert "compiling kernels" in first.stderr
    assert "compiling kernels" not in second.stderr
    assert first.stdout == second.stdout


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Makes a function, called for the first time, of a file of its own; compiled kernels are kept in tmp_path."""
    monkeypatch.setattr(stored.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(stored, "_told", [])
    source = tmp_path / "source.py"
    source.write_text("from alexnet_np.kernels.compiled import jit\n\n@jit\ndef double(x):\n    return 2 * x\n")

    def make() -> Any:
        made = run_path(str(source))["double"]
        assert made(21) == 42
        return made

    return make


def kept(folder: Path) -> list[Path]:
    return list(folder.rglob("*.kernel*"))


@pytest.mark.parametrize("damage", [
    pytest.param(lambda whole: b"", id="empty"),
    pytest.param(lambda whole: whole[:20], id="hardly begun"),
    pytest.param(lambda whole: whole[: len(whole) // 2], id="half"),
    pytest.param(lambda whole: whole[:-1], id="cut"),
    pytest.param(lambda whole: b"garbage" * 50, id="garbage"),
    pytest.param(lambda whole: whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:], id="a bit"),
    pytest.param(lambda whole: pickle.dumps("other sources") + b"cnot_there\nnothing\n.", id="other sources"),
])  # fmt: skip
def test_a_file_that_is_not_whole_is_made_anew(damage: Any, double: Callable[[], Any], tmp_path: Path) -> None:
    assert double().stats.cache_misses and double().stats.cache_hits
    (file,) = kept(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    assert not double().stats.cache_hits and double().stats.cache_hits
    assert kept(tmp_path) == [file]


def test_no_folder_can_be_written(double: Callable[[], Any], capsys: pytest.CaptureFixture[str]) -> None:
    """What is compiled is used all the same, and it is said in a line, once."""
    stored.config.CACHE_DIR = str(Path(stored.config.CACHE_DIR) / "source.py")
    for said in (1, 0):
        assert double().stats.cache_misses
        lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("compiling")]
        assert len(lines) == said and all("stay in memory (" in line and "Not a directory)" in line for line in lines)


def test_a_full_disk(double: Callable[[], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With room for some of a file: that is removed, and made when there is room for all."""
    resource = pytest.importorskip("resource")
    double()
    (file,) = kept(tmp_path)
    size = file.stat().st_size
    file.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (0, size // 2, size - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            assert double().stats.cache_misses and not kept(tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large); NUMBA_CACHE_DIR may name a folder" in capsys.readouterr().err
    assert double().stats.cache_misses and double().stats.cache_hits


def test_what_lies_beside_the_sources_is_read_where_it_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image of a container; then the user's cache, if there is one."""
    monkeypatch.setattr(stored.config, "CACHE_DIR", "")
    folder = Path(stored.__file__).parent
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.setenv("HOME", "/home/user")
    first, second = stored.places(folder)
    assert first == folder / "__pycache__" and second.is_absolute() and second.name.startswith("kernels_")
    monkeypatch.setattr(stored, "AppDirs", lambda *_, **__: SimpleNamespace(user_cache_dir="~/.cache/numba"))
    assert stored.places(folder) == [first], "who has no home gets no folder named ~"


def test_functions_without_a_file_are_compiled_in_memory() -> None:
    """Such as those of a notebook or of a prompt, whose globals may change."""
    scope: dict[str, Any] = {}
    exec("def double(x): return 2 * x", scope)
    assert jit(scope["double"])(21) == 42


def test_without_compilation() -> None:
    """NUMBA_DISABLE_JIT=1, for debuggers: everything runs in NumPy, threads too."""
    code = (
        "import numpy as np, alexnet_np as anp; from alexnet_np.parallel import share\n"
        "model = anp.alexnet('mini', num_classes=10); x = np.ones((4, 3, 32, 32), np.float32); anp.set_threads(2)\n"
        "with anp.trace() as calls: model.forward(x)\n"
        "anp.Plan(model, x.shape).step(x, np.arange(4)); share(2, lambda lo, hi: None)\n"
        "print({call.kernel for call in calls})"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{'cpu_numpy'}\n", "")
