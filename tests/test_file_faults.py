"""A kill, or a full disk, at anything that a command does to files: done again, it ends as if nothing had happened."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("mode", ["kill", "full"])
@pytest.mark.parametrize(("subject", "least"), [("train", 80), ("resize", 10)])
def test_a_fault_at_every_event(subject: str, least: int, mode: str, tmp_path: Path) -> None:
    script = Path(__file__).with_name("file_faults.py")
    command = [sys.executable, str(script), subject, mode, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    *wrong, counted = said.stdout.splitlines()
    assert wrong == []
    assert int(counted.split()[0]) >= least, counted
