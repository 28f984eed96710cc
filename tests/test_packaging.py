"""The wheel: everything under alexnet_np, nothing at the top level that belongs to others, and it works installed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_contents(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"alexnet_np"}
    for name in (
        "alexnet_np/py.typed",
        "alexnet_np/ops/lrn.py",
        "alexnet_np/kernels/conv2d/cpu_numpy.py",
        "alexnet_np/benchmarks/operations.py",
        "alexnet_np/train/loop.py",
        "alexnet_np/train/recipes/paper.toml",
    ):
        assert name in names
    assert not [name for name in names if "test" in name]


def test_every_source_file_is_in(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for top, prefix in (("alexnet_np", ""), ("kernels", "alexnet_np/"), ("benchmarks", "alexnet_np/")):
        for path in (ROOT / top).rglob("*.py"):
            assert prefix + path.relative_to(ROOT).as_posix() in names


def test_works_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere and run from there, with no checkout in reach."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "import alexnet_np as anp, numpy as np\n"
        f"assert anp.__file__.startswith({str(tmp_path)!r}), anp.__file__\n"
        "model = anp.alexnet('mini', 3)\n"
        "y = model.forward(np.ones((2, 3, 32, 32), np.float32))\n"
        "np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)\n"
        "import alexnet_np.kernels, alexnet_np.benchmarks\n"
        f"assert alexnet_np.kernels.__file__.startswith({str(tmp_path)!r})\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=tmp_path)
