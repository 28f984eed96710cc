"""What a result was measured on and with."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from alexnet_np.blas_threads import copies

from .harness import last_level_cache

PACKAGES = "numpy", "numba", "scipy", "torch"
VECTORS = "avx512f", "avx2", "avx", "asimd"  # the first that the CPU has, under the name that Linux gives it


def describe() -> dict[str, Any]:
    """CPU, instruction set, cores, caches and memory, versions, NumPy's BLAS, the source's commit and the time."""
    about = _cpuinfo()
    flags = about.get("flags", about.get("Features", "")).split()
    return {
        "cpu": about.get("model name") or platform.processor() or platform.machine(),
        "isa": next((name for name in VECTORS if name in flags), platform.machine()),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "last_level_cache": last_level_cache(),
        "memory": _memory(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "blas": _blas(),
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _memory() -> int | None:
    """Bytes of memory; None on a system that does not tell."""
    names = "SC_PAGE_SIZE", "SC_PHYS_PAGES"
    if not set(names) <= set(getattr(os, "sysconf_names", ())):
        return None
    page, pages = map(os.sysconf, names)
    return page * pages


def _cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; nothing where there is no such file."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").split("\n\n")[0].splitlines() if path.exists() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _blas() -> str:
    """NumPy's BLAS and the kernels that it chose, which the environment may have told it: they make the GEMM roof."""
    names = "internal_api", "version", "architecture"
    found = (copy.library.info() for copy in copies())
    return ", ".join(dict.fromkeys(" ".join(str(info.get(name)) for name in names) for info in found))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of the checkout, with a plus where files differ from it; None for an installed package."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None
    git = ["git", "-C", str(here)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True).stdout
    return head.stdout.strip() + ("+" if changed.strip() else "") or None
