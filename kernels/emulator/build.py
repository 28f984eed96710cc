"""From a .cu file to a library for the CPU: g++ in two steps, with CUDA's own two words replaced in between.

First the preprocessor, which leaves `__shared__` and `__global__`; then `extern __shared__` becomes a pointer, and
`__shared__` a thread_local (memory.h says why). The compiler sees lines as they were.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
FLAGS = ("-std=c++17", "-fPIC", "-march=native", "-ffp-contract=fast", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE",
         # No library may see another's fibers: statics of inline functions would be one for the whole process.
         "-fno-gnu-unique", "-fvisibility=hidden")  # fmt: skip
PLAIN = ("-O2",)
# Every access checked, with the line of the source; for a process of its own under libasan.
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize=vptr", "-fno-sanitize-recover=all")
QUIET = ("-Wall", "-Wno-unknown-pragmas", "-Wno-unused", "-Wno-attributes")

EXTERN = re.compile(
    r"\bextern\s+__shared__\s+(?:__attribute__\s*\(\([^;]*?\)\)\s*)?((?:\w+\s+)*?\w+)\s+(\w+)\s*\[\s*\]\s*;"
)
KERNEL = re.compile(r"(?:template\s*<([^<>]*)>\s*)?(?:extern\s+\"C\"\s+)?__global__\s+void\s+(\w+)\s*\(([^)]*)\)")


class BuildError(ValueError):
    """A .cu file that g++ does not take; the message is the compiler's."""


def kernels(file: Path) -> dict[str, tuple[str, str]]:
    """The kernels that stand in a .cu file: name → (template parameters or '', parameters)."""
    text = _preprocessed(file)
    return {name: (template.strip(), " ".join(rest.split())) for template, name, rest in KERNEL.findall(text)}


def build(file: Path, names: Sequence[str], sanitized: bool = False) -> Path:
    """The library of the kernels `names` (each a name expression, such as 'relu<float>') of a .cu file.

    Raises BuildError for what does not compile, FileNotFoundError where g++ or the file is missing.
    """
    text = _preprocessed(file)
    exports = "".join(_export(i, name) for i, name in enumerate(names))
    flags = (*FLAGS, *(SANITIZED if sanitized else PLAIN))
    key = sha256("\0".join([text, exports, *flags, _compiler()]).encode()).hexdigest()[:20]
    library = cache_folder() / f"{file.stem}-{key}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=library.parent) as folder:
            source, made = Path(folder) / "source.ii", Path(folder) / "library.so"
            source.write_text(_translated(text) + exports)
            _run([*flags, *QUIET, "-shared", "-x", "c++-cpp-output", str(source), "-o", str(made)], file)
            made.replace(library)  # whole, whoever else builds it at the same time
    return library


def cache_folder() -> Path:
    """Where libraries are kept: ALEXNET_CACHE, or the user's cache folder."""
    given = os.environ.get("ALEXNET_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alexnet_np"


def _export(number: int, name: str) -> str:
    """The entries of a kernel."""
    return f"""
EMU_EXPORT const char* emu_launch_{number}(const emu::Launch* launch) {{
  return emu::run([](void** a) {{ emu::call(&{name}, a); }}, *launch) ? emu::fault : nullptr;
}}
EMU_EXPORT const int* emu_signature_{number}() {{ return emu::signature(&{name}); }}
""".replace("EMU_EXPORT", 'extern "C" __attribute__((visibility("default")))')


def _translated(text: str) -> str:
    def pointer(match: re.Match[str]) -> str:
        kind, name = match.groups()
        return f"{kind}* const {name} = static_cast<{kind}*>(emu::dynamic_shared());"

    return EXTERN.sub(pointer, text).replace("__shared__", "static thread_local").replace("__global__", "")


def _preprocessed(file: Path) -> str:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is no file")
    include = ["-include", str(HERE / "warp.h")]
    return _run(["-E", "-std=c++17", "-march=native", "-x", "c++", *include, str(file)], file)


def _run(arguments: Sequence[str], file: Path) -> str:
    try:
        done = subprocess.run(["g++", *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        raise FileNotFoundError("g++ is not installed: the emulator compiles kernels with it") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        raise BuildError(f"{file.name} does not compile: {'; '.join(errors[:5])}")
    return done.stdout


@cache
def _compiler() -> str:
    """Which compiler, for which processor: a library of another would not run."""
    return _run(["-march=native", "-Q", "--help=target"], Path("g++")) + _run(["--version"], Path("g++"))
