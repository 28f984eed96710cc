"""The devkit's meta.mat: which synset an ILSVRC2012_ID is.

SciPy reads it, and a damaged file can end SciPy's process, or keep it busy for ever: so it is read in one of its own,
which runs this file as a script, with the .mat file as its argument and JSON as its output.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

NO_SCIPY = 3  # the script's exit code
MEMORY, SECONDS = 2 << 30, 5  # what the script may take: the devkit's own file takes a twentieth


def read_meta(path: Path) -> dict[int, str]:
    """WNID of each ILSVRC2012_ID. Raises ImportError without SciPy, ValueError for another or damaged file."""
    # -P: modules beside this file are not meant by their names. One thread: BLAS's buffers count as memory.
    command = [sys.executable, "-P", __file__, str(path)]
    same = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, env={**os.environ, **same}, check=False)
    if done.returncode == NO_SCIPY:
        raise ImportError("scipy.io")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(f"{path} is not the devkit's meta.mat: {said[-1] if said else 'SciPy ends on it'}")
    return {int(number): wnid for number, wnid in json.loads(done.stdout).items()}


def main() -> None:
    """The script."""
    try:
        from scipy.io import loadmat
    except ImportError:
        sys.exit(NO_SCIPY)
    with suppress(ImportError, ValueError, OSError):  # systems without such limits, or with some only
        import resource

        for kind, most in ((resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, MEMORY)):
            hard = resource.getrlimit(kind)[1]
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        synsets = loadmat(sys.argv[1], squeeze_me=True)["synsets"]
        found = {int(n): str(wnid) for n, wnid in zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)}
    except Exception as error:  # what SciPy raises on a damaged file is anything
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
