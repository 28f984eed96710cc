"""A copy of a folder of images whose shorter side is 256, made once, as the paper's authors did (section 2).

Folders and names stay as they are. What is there already is not made again, so that an interrupted copy goes on;
a file is written beside its place and then moved there. The source is only read.
"""

import io
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL import Image

from .decode import JPEG, ORIENTATION, SUFFIXES, opened_image, upright
from .files import OnBadImage, below, content_of
from .loader import prefetch

LONGEST = 65_500  # pixels of a JPEG's side, as libjpeg writes them
TABLES = {".txt", ".mat", ".csv", ".json"}  # a devkit's files, which are copied
ABOUT = "resize.json"  # how a copy was made
Outcome = Literal["resized", "kept", "copied", "there"]


@dataclass
class Counts:
    """What became of the files."""

    resized: int = 0
    kept: int = 0
    """JPEG files that had the right size already: the same bytes"""
    copied: int = 0
    """tables"""
    there: int = 0
    """made by an earlier run"""
    skipped: dict[str, str] = field(default_factory=dict)
    """what was left out: name -> reason"""


def resize(
    source: Path,
    target: Path,
    *,
    side: int = 256,
    quality: int = 90,
    threads: int = 1,
    on_bad_image: OnBadImage = "error",
    tell: Callable[[int, int], None] | None = None,
) -> Counts:
    """Copy `source` to `target`, every image with `side` as its shorter side, in JPEG of `quality` 1 … 95.

    An image that is no JPEG by its name gets '.jpg' after it. `tell` hears of (files done, files) after each file.
    Raises ValueError for folders that do not fit, a target that was made in another way, and an image that cannot be
    read (unless it is to be skipped); OSError where a file cannot be written.
    """
    if side < 1 or not 1 <= quality <= 95:
        raise ValueError(f"side must be at least 1 and quality in 1 … 95, got {side} and {quality}")
    counts = Counts()
    files = _plan(source, target, counts.skipped)
    _claim(target, {"side": side, "quality": quality})

    def make(path: Path) -> Outcome | ValueError:
        try:
            return _make(path, files[path], side, quality)
        except ValueError as error:
            if on_bad_image == "error":
                raise
            return error

    for done, (path, (outcome, _)) in enumerate(zip(files, prefetch(make, files, threads), strict=True), 1):
        if isinstance(outcome, ValueError):
            counts.skipped[str(path)] = str(outcome)
        else:
            setattr(counts, outcome, getattr(counts, outcome) + 1)
        if tell:
            tell(done, len(files))
    return counts


def _plan(source: Path, target: Path, others: dict[str, str]) -> dict[Path, Path]:
    """From -> to, for images and tables; what else there is goes to `others`: name -> reason."""
    if not source.is_dir():
        raise ValueError(f"there is no folder {str(source)!r}")
    here, there = source.resolve(), target.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise ValueError(f"{source} and {target} must be folders apart: the source is never written to")
    files: dict[Path, Path] = {}
    for path, why in ((Path(name), why) for name, why in below(str(source))):
        suffix = path.suffix.lower()
        if why is None or suffix in TABLES:
            same = suffix in JPEG | TABLES
            files[path] = target / path.relative_to(source).with_name(path.name if same else f"{path.name}.jpg")
        else:
            others[str(path)] = why
    if not any(path.suffix.lower() in SUFFIXES for path in files):
        raise ValueError(f"{source} holds no images ({', '.join(sorted(SUFFIXES))})")
    if twice := [to for to, count in Counter(files.values()).items() if count > 1]:
        raise ValueError(f"two images of {source} would become {twice[0]}; rename one")
    return files


def _claim(target: Path, how: dict[str, int]) -> None:
    """Note in the target how it is made. Raises ValueError where it was made otherwise, or holds something else."""
    about = target / ABOUT
    if about.is_file():
        try:
            before = json.loads(about.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            raise ValueError(
                f"{about} is damaged, so how {target} was made is unknown; choose another folder"
            ) from None
        if before != how:
            raise ValueError(f"{target} was made with {str(before)[:80]}, not {how}; choose another folder")
        return
    cut_off = _partial(about)  # of a copy that was stopped at its very beginning
    if target.exists() and (not target.is_dir() or any(path != cut_off for path in target.iterdir())):
        raise ValueError(f"{target} exists and was not made by `data resize`; choose another folder")
    _write(about, json.dumps(how).encode())


def _make(path: Path, to: Path, side: int, quality: int) -> Outcome:
    if to.is_file():
        return "there"
    content = content_of(str(path))
    if path.suffix.lower() in TABLES:
        _write(to, content)
        return "copied"
    image = upright(content, str(path), None, side)
    if path.suffix.lower() in JPEG and _is_right(content, side, str(path)):
        _write(to, content)
        return "kept"
    scale = side / min(image.size)
    size = max(side, round(image.width * scale)), max(side, round(image.height * scale))
    if max(size) > LONGEST:
        told = f"{image.width}×{image.height} would become {size[0]}×{size[1]}"
        raise ValueError(f"{path} cannot be resized: {told}, and a JPEG's longest side is {LONGEST:,}")
    encoded = io.BytesIO()
    image.resize(size, Image.Resampling.BILINEAR).save(encoded, "JPEG", quality=quality)
    _write(to, encoded.getvalue())
    return "resized"


def _is_right(content: bytes, side: int, name: str = "it") -> bool:
    """Whether an image is an upright 8-bit JPEG of the wanted size, which another compression could only harm."""
    with opened_image(content, name, side) as image:
        plain = image.format == "JPEG" and image.mode in ("RGB", "L")
        return plain and min(image.size) == side and image.getexif().get(ORIENTATION, 1) == 1


def _write(path: Path, content: bytes) -> None:
    """The whole file or none; unlike a checkpoint's, not waited for until it is on the disk: there may be a million."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")
