"""Made-up image files in the layouts that the sources read."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(0)


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 30), value: int | None = None) -> Image.Image:
    """Noise, or one flat colour that tells which image it is."""
    width, height = size
    if mode == "I;16":
        return Image.fromarray(RANDOM.integers(0, 65536, (height, width), np.uint16))
    pixels = RANDOM.integers(0, 256, (height, width, 3), np.uint8)
    if value is not None:
        pixels[...] = value
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def write(path: Path, content: bytes | None = None, value: int | None = None) -> Path:
    """A file; a picture in JPEG unless its content is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture(value=value)) if content is None else content)
    return path


def class_tree(root: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 4) -> Path:
    """A folder for each class, with `count` pictures each."""
    for name in classes:
        for i in range(count):
            write(root / name / f"{i}.jpg")
    return root


def tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


# The devkit's numbers are not in the order of the synsets' names: 1 is the last of these, 3 the first.
IDS = {1: "n03", 2: "n02", 3: "n01"}


def ilsvrc(root: Path, truth: tuple[int, ...] = (1, 2, 3, 1), per_class: int = 3) -> Path:
    """train/<synset>/, flat val/ and a devkit with the ground truth and the table of IDs; pictures of flat grey,
    whose value is 40 × the last digit of their synset."""
    for synset in IDS.values():
        for i in range(per_class):
            write(root / "train" / synset / f"{synset}_{i}.JPEG", value=40 * int(synset[-1]))
    for i, number in enumerate(truth, 1):
        value = 40 * int(IDS.get(number, "n00")[-1])
        write(root / "val" / f"ILSVRC2012_val_{i:08}.JPEG", value=value)
    devkit = root / "devkit"
    write(devkit / "ILSVRC2012_validation_ground_truth.txt", "\n".join(map(str, truth)).encode() + b"\n")
    write(devkit / "ILSVRC2012_ids.txt", "".join(f"{n} {s}\n" for n, s in IDS.items()).encode())
    return root
