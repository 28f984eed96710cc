"""Systems that are not Linux on x86-64: what they lack is taken away here; code is compiled for their processors."""

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent

# Windows has none of these; macOS lacks some.
TAKEN_AWAY = """
import builtins, ctypes, io, os, sys

def hides(function):
    def opened(path, *arguments, **options):
        if str(path).startswith(("/proc", "/sys")):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return function(path, *arguments, **options)
    return opened

for owner, name in ((builtins, "open"), (io, "open"), (os, "stat"), (os, "open"), (os, "scandir"), (os, "listdir")):
    setattr(owner, name, hides(getattr(owner, name)))
for name in ("sysconf", "sysconf_names", "sched_setaffinity", "sched_getaffinity"):
    delattr(os, name)
sys.modules["resource"] = None
load = ctypes.CDLL.__init__
def init(self, name, *arguments, **options):
    if name is None and sys._getframe(1).f_globals["__name__"] != "threadpoolctl":  # has other ways elsewhere
        raise TypeError("bad argument type for built-in operation")
    load(self, name, *arguments, **options)
ctypes.CDLL.__init__ = init
"""


def run(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", TAKEN_AWAY + code], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_bench_where_the_system_tells_little(tmp_path: Path) -> None:
    """A whole benchmark of a kind each, and its record; what cannot be measured is absent, with the reason."""
    code = (
        "from alexnet_np.cli import main\n"
        "common = ['bench', '--variants', 'mini', '--batches', '2', '--rounds', '1', '--no-peers', '--out', 'r.json']\n"
        "assert main([*common, '--only', 'ops', '--ops', 'relu']) == 0\n"
        "from alexnet_np.benchmarks import memory, record\n"
        "about = record.read(__import__('pathlib').Path('r.json')).about\n"
        "assert about['memory'] is None and about['cores'] and about['cpu'], about\n"
        "memory.give_back()\n"
    )
    assert "wrote r.json" in run(code, tmp_path)


def test_tests_are_collected_there(tmp_path: Path) -> None:
    code = f"import pytest; sys.exit(pytest.main([{str(TESTS)!r}, '--collect-only', '-q', '-p', 'no:cacheprovider']))"
    assert " tests collected" in run(code, TESTS.parent)


def test_kernels_compile_for_other_processors(tmp_path: Path) -> None:
    """For 64-bit ARM of two systems, and x86-64 of others, from 16-byte vectors. ARM's 32 registers are used: a product
    holds 6 × 4 sums in as many registers there, each of which is the target of a multiply-add."""
    environment = {**os.environ, "ALEXNET_VECTOR_BYTES": "16", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(TESTS / "cross_compile.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["width"] == 4
    for triple, (modules, registers) in found["registers"].items():
        assert modules > 50 and registers == (24 if triple.startswith(("aarch64", "arm64")) else 0), triple
