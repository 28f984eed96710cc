"""The README's examples run, its table is the program's, and what it names exists."""

import re
import shlex
from pathlib import Path

import pytest

from alexnet_np import VARIANTS, ops
from alexnet_np.benchmarks.readme import fill
from alexnet_np.cli import _parsed

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=["study", "provenance", "check", "kernel", "plan", "emulated plan"])
def test_example_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # an example writes a page
    try:
        exec(compile(code, "README.md", "exec"), {})
    finally:
        ops.relu.kernels.pop("cpu_numpy/halves", None)
        ops.relu.changed()


def test_table_is_up_to_date() -> None:
    assert fill(TEXT) == TEXT, "run python -m alexnet_np.benchmarks.readme"
    assert "| `paper` | 224 | 60,965,224 | 724.4 M |" in TEXT


def test_links_and_files_exist() -> None:
    named = re.findall(r"\]\(([^)h][^)]*)\)", TEXT) + re.findall(r"^\| `([\w/.]+)` \|(?! \d)", TEXT, re.MULTILINE)
    files = [name for name in named if "/" in name]
    assert len(files) >= 6
    for name in files:
        assert (ROOT / name).exists(), name


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([\w-]+)", TEXT)) - {"are"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_commands_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the README is taken as it stands there; one that begins a training keeps what ten crops need."""
    monkeypatch.chdir(tmp_path)  # where there is no run to resume
    blocks = "".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL))
    commands = [shlex.split(line, comments=True)[1:] for line in blocks.splitlines() if line.startswith("alexnet-np ")]
    assert len(commands) >= 12
    for command in commands:
        if command[0] == "train" and "--resume" in command:
            continue
        call = _parsed(command)
        if "--init" in command:
            recipe = call.keywords["settings"]  # type: ignore[attr-defined]
            assert recipe.store > VARIANTS[recipe.variant].input_shape[1]
