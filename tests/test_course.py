"""The course runs, has a chapter for each operation, and what it tells to read exists."""

import re
import runpy
from pathlib import Path

import matplotlib
import pytest

from alexnet_np.dispatch import OPS

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "docs" / "course").glob("*.py"))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_a_chapter_runs(
    chapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    runpy.run_path(str(chapter))
    assert list(tmp_path.glob("*.png")) and capsys.readouterr().out
    text = chapter.read_text(encoding="utf-8")
    read = re.findall(r"`([\w/]+/[\w/.]+)`", text)
    assert any(path.startswith("alexnet_np/ops/") for path in read) and any(
        path.startswith("kernels/") for path in read
    )
    assert all((ROOT / path).exists() for path in read)


def test_every_operation_has_a_chapter() -> None:
    text = "\n".join(chapter.read_text(encoding="utf-8") for chapter in CHAPTERS)
    forwards = [op.name for op in OPS.values() if op.forward is None and not op.fuses]
    assert [name for name in forwards if f"ops.{name}" not in text] == []
    contents = (ROOT / "docs" / "course" / "README.md").read_text(encoding="utf-8")
    assert all(f"({chapter.name})" in contents for chapter in CHAPTERS)
