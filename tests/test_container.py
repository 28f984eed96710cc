"""docs/container/container.sh: built by one user, run by another who can write nothing but results."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLAGS = ["--variant", "mini", "--batch", "16"]
NOBODY = 65534
# Reads everything, as the files of an image can be; an interpreter may lie in root's own home here.
AS_NOBODY = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --inh-caps=+dac_read_search" + (
    " --ambient-caps=+dac_read_search --no-new-privs"
)


def missing() -> str | None:
    """Why no other user and no read-only mount can be had here."""
    for tool in ("setpriv", "unshare"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    tried = subprocess.run(["unshare", "--mount", *AS_NOBODY.split(), "true"], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"not allowed: {tried.stderr.strip()}"


def installed(site: Path) -> None:
    """The package as it lies where it is installed, with what this checkout has compiled already."""
    shutil.copytree(ROOT / "alexnet_np", site / "alexnet_np")
    for name in ("kernels", "benchmarks"):
        shutil.copytree(ROOT / name, site / "alexnet_np" / name)


def test_kernels_of_the_image_are_used_by_whoever_runs_it(tmp_path: Path) -> None:
    if why := missing():
        pytest.skip(why)
    site, out, script = tmp_path / "site", tmp_path / "out", ROOT / "docs/container/container.sh"
    installed(site)
    out.mkdir()
    os.chown(out, NOBODY, NOBODY)
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(site)}
    environment |= {name: os.environ[name] for name in ("ALEXNET_THREADS",) if name in os.environ}

    def run(command: list[str], **more: str) -> str:
        done = subprocess.run(
            command, env=environment | more, cwd=out, capture_output=True, text=True, timeout=500, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    run(["sh", str(script), "build", *FLAGS])
    read_only = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    unprivileged = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        read_only,
        str(site),
        *AS_NOBODY.split(),
        "sh",
        str(script),
        "run",
    ]
    trained = run([*unprivileged, "train", "--steps", "2", "--out", str(out / "run"), *FLAGS], HOME="/nonexistent")
    (picture := out / "grey.png").write_bytes((ROOT / "docs/conv1.png").read_bytes())
    checkpoint = str(out / "run" / "last.safetensors")
    predicted = run([*unprivileged, "predict", str(picture), "--checkpoint", checkpoint], HOME="/nonexistent")
    assert "done; " in trained and "%" in predicted
    for said in (trained, predicted):
        assert "compil" not in said and "Matplotlib" not in said
    assert os.stat(checkpoint).st_uid == NOBODY
