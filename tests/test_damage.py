"""Damaged files of every kind that is parsed: read or refused in one line, in bounded memory, and the process lives on.

`tests/damage.py` has the damage; there are 1700 inputs from fixed seeds.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from image_files import write

from alexnet_np.benchmarks import record
from alexnet_np.data.resize import resize
from alexnet_np.train import checkpoint, metrics, recipe_file

GREW = 200  # MiB; a picture of 16 million pixels, which a short damaged file may speak of, takes a third of that


@pytest.mark.timeout(300)
def test_damaged_files() -> None:
    command = [sys.executable, str(Path(__file__).with_name("damage.py")), "1"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended by {done.returncode} after {lines[-1:]}: {done.stderr[-2000:]}"
    results = [line for line in lines if "reader" in line]
    assert len(results) == 10
    for result in results:
        assert not result["other"], f"{result['reader']}, input and what it did: {result['other']}"
        assert result["grew"] < GREW, result
        assert result["refused"] >= 5, "the damage does no harm"


def resized(path: Path) -> None:
    write(path.parent / "source" / "a.jpg")
    (path.parent / "target").mkdir()
    path.rename(path.parent / "target" / "resize.json")
    resize(path.parent / "source", path.parent / "target")


@pytest.mark.parametrize("content", [b"[" * 100_000, b"a" + b".a" * 100_000 + b" = 1\n", b"\xff\n", b"null\n"])
@pytest.mark.parametrize("read", [metrics.read, recipe_file.read, record.read, resized, checkpoint.load])
def test_texts_that_no_parser_gets_through(read: Callable[[Path], object], content: bytes, tmp_path: Path) -> None:
    """Nested or joined without end, no UTF-8, or something else: one line with the file's name."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=r"^\S*(file|target)\b[^\n]+$"):
        read(tmp_path / "file")
