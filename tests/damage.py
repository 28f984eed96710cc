"""Random damage to everything that is parsed: what a reader does with files of which some bytes are others.

    python tests/damage.py SEED [READER COUNT]

tries every reader, or COUNT inputs of one, and prints a line of JSON for each reader: how many inputs were read, and
refused in one line; what else happened, with the input's number; and by how many MiB memory grew at the most. An input
is a function of seed, reader and number alone. The parent of this process sees a crash and a hang.
"""

import gzip
import io
import json
import os
import pickle
import random
import sys
import tarfile
import tempfile
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from image_files import encoded, ilsvrc, picture

import alexnet_np as anp
from alexnet_np.data import cifar10, idx, shards
from alexnet_np.data import ilsvrc as devkit
from alexnet_np.data.decode import decode
from alexnet_np.data.unpack_cifar10 import unpack
from alexnet_np.train import SGD, Recipe, Run, checkpoint, metrics, recipe_file

Files = dict[str, bytes]
Read = Callable[[Path], Any]
EDGES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1]
TOKENS = [b"null", b"NaN", b"[", b"{}", b"-1", b"1e400", b"9" * 30, b"\n", b"\0", b"\xff", b'"', b"R", b"b"]
TOKENS += [b"[" * 3000, b"cos\nsystem\n("]


def damaged(content: bytes, r: random.Random) -> bytes:
    """A few changes: bits, bytes, numbers at the edge of a range, cuts, repetitions, words of some format."""
    b = bytearray(content)
    for _ in range(r.choice([1, 1, 2, 4])):
        at = r.randrange(min(len(b), 300) if r.random() < 0.5 else len(b)) if b else 0  # headers matter more
        match r.randrange(8):
            case 0:
                b[at : at + 1] = bytes([b[at] ^ 1 << r.randrange(8)]) if b else b""
            case 1:
                b[at : at + 1] = r.randbytes(1)
            case 2:
                del b[at : at + r.choice([1, 4, 100])]
            case 3:
                b[at:at] = r.randbytes(r.choice([1, 4, 16]))
            case 4:
                del b[at:]
            case 5:
                size = r.choice([1, 2, 4, 8])
                b[at : at + size] = (r.choice(EDGES) % (1 << 8 * size)).to_bytes(size, r.choice(["little", "big"]))
            case 6:
                b[at:at] = b[at : at + 64]
            case 7:
                b[at : at + r.choice([0, 1, 4])] = r.choice(TOKENS)
    return bytes(b)


def with_checksums(content: bytes) -> bytes:
    """A tar file whose headers have the checksums that their other bytes ask for."""
    b = bytearray(content)
    for at in range(0, len(b) - 511, 512):
        if b[at + 257 : at + 262] == b"ustar":
            b[at + 148 : at + 156] = b" " * 8
            b[at + 148 : at + 156] = b"%06o\0 " % sum(b[at : at + 512])
    return bytes(b)


# The readers: from whole files to what is done with them after one has been damaged.


def idx_files() -> tuple[Files, Read]:
    images = b"\0\0\x08\x03" + np.array([20, 28, 28], ">u4").tobytes() + bytes(range(256)) * 61 + bytes(64)
    labels = b"\0\0\x08\x01" + np.array([20], ">u4").tobytes() + bytes(i % 10 for i in range(20))
    return {
        "train-images-idx3-ubyte.gz": gzip.compress(images, mtime=0),
        "train-labels-idx1-ubyte": labels,
        "t10k-images-idx3-ubyte": images,
        "t10k-labels-idx1-ubyte.gz": gzip.compress(labels, mtime=0),
    }, idx.load


def cifar_files() -> tuple[Files, Read]:
    record = bytes([7]) + bytes(3072)
    batch = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [3, 4]}
    return {
        **{f"data_batch_{i}": pickle.dumps(batch, i - 1) for i in range(1, 6)},
        "test_batch.bin": 3 * record,
    }, cifar10.load


def npz_file() -> tuple[Files, Read]:
    jpeg, arrays = encoded(picture(size=(32, 32))), {}
    for part in ("train", "test"):
        arrays[f"{part}_blob"] = np.frombuffer(10 * jpeg, np.uint8)
        arrays[f"{part}_offsets"], arrays[f"{part}_labels"] = np.arange(11) * len(jpeg), np.arange(10)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive, zipfile.ZipFile(file) as other:
        for name in other.namelist():
            archive.writestr(zipfile.ZipInfo(name), other.read(name))
    return {"c.npz": stored.getvalue()}, lambda folder: unpack(folder / "c.npz", folder / "out")


def shard_files() -> tuple[Files, Read]:
    file, jpeg = io.BytesIO(), encoded(picture())
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for i in range(4):
            for name, content in ((f"{'é' * i}{i}.jpg", jpeg), (f"{'é' * i}{i}.cls", b"%d" % (i % 2))):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))

    def read(folder: Path) -> None:
        path = folder / "train-0.tar"
        path.write_bytes(with_checksums(path.read_bytes()))
        for part in shards.load(folder, (3, 32, 32), "skip"):
            part.read(np.arange(len(part.labels)))

    return {"train-0.tar": file.getvalue(), "classes.txt": b"a\nb\n"}, read


def images() -> tuple[Files, Read]:
    forms = ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA", "SGI", "PCX"]
    files = {form: encoded(picture(), form) for form in forms}
    files |= {mode: encoded(picture(mode), form) for mode, form in (("CMYK", "JPEG"), ("P", "PNG"), ("F", "TIFF"))}
    files["LZW"] = encoded(picture(), "TIFF", compression="tiff_lzw")

    def read(folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            decode(path.read_bytes(), path.name, (3, 32, 32))

    return files, read


def devkit_files() -> tuple[Files, Read]:
    with tempfile.TemporaryDirectory() as made:
        root = ilsvrc(Path(made))
        files = {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.*"))}
    return files, lambda folder: devkit.load(folder, (3, 32, 32))


def recipe() -> tuple[Files, Read]:
    def read(folder: Path) -> None:
        found = recipe_file.find(str(folder / "r.toml"))
        (folder / "again.toml").write_text(recipe_file.text(found), encoding="utf-8")
        assert recipe_file.read(folder / "again.toml") == found

    return {"r.toml": recipe_file.text(Recipe()).encode()}, read


def run_metrics() -> tuple[Files, Read]:
    line = {"step": 1, "epoch": 0, "loss": 0.7, "lr": 0.01, "images_per_second": 9.5, "waiting": 0.1, "scores": None}
    lines = "".join(json.dumps({**line, "step": step}) + "\n" for step in range(1, 9))
    return {"metrics.jsonl": lines.encode()}, lambda folder: metrics.read(folder / "metrics.jsonl")


def benchmark() -> tuple[Files, Read]:
    from alexnet_np.benchmarks import record, table

    path = min(Path(record.__file__).parent.glob("results/*.json"), key=lambda path: path.stat().st_size)
    return {"r.json": path.read_bytes()}, lambda folder: table.text(record.read(folder / "r.json"))


def run_checkpoint() -> tuple[Files, Read]:
    model = anp.alexnet("mini", 2, seed=0)
    run = Run(Recipe(), model, SGD(model), anp.data.Pixels(np.zeros((3, 32, 32), np.float32)), ["a", "b"], images=9)
    with tempfile.TemporaryDirectory() as made:
        checkpoint.save(Path(made) / "c.safetensors", run)
        content = (Path(made) / "c.safetensors").read_bytes()
    return {"c.safetensors": content}, lambda folder: checkpoint.load(folder / "c.safetensors")


READERS: dict[str, tuple[Callable[[], tuple[Files, Read]], int]] = {
    "idx": (idx_files, 400),
    "cifar": (cifar_files, 200),
    "npz": (npz_file, 150),
    "shards": (shard_files, 150),
    "images": (images, 60),
    "devkit": (devkit_files, 60),
    "recipe": (recipe, 200),
    "metrics": (run_metrics, 300),
    "benchmark": (benchmark, 100),
    "checkpoint": (run_checkpoint, 100),
}


def memory() -> int:
    """MiB at the peak; 0 where the system does not tell."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return 0
    return int(getrusage(RUSAGE_SELF).ru_maxrss) >> (20 if sys.platform == "darwin" else 10)


def attempt(read: Read, folder: Path) -> str:
    """'read', 'refused', or what should not be."""
    try:
        read(folder)
    except (ValueError, OSError) as error:
        return f"more than a line: {error}" if "\n" in str(error).strip() else "refused"
    except Exception:
        return traceback.format_exc()
    return "read"


def try_all(name: str, seed: str, count: int) -> dict[str, Any]:
    make, _ = READERS[name]
    files, read = make()
    result: dict[str, Any] = {"reader": name, "read": 0, "refused": 0, "other": {}}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for number in range(-1, count):
            r = random.Random(f"{seed} {name} {number}")
            chosen = r.choice(sorted(files)) if number >= 0 else ""  # number −1 is whole: memory is counted from there
            for file, content in files.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(damaged(content, r) if file == chosen else content)
            told = attempt(read, folder)
            if number < 0:
                before = memory()
                assert told == "read", told
            elif told in result:
                result[told] += 1
            else:
                result["other"][number] = told
    return {**result, "grew": memory() - before}


def main() -> None:
    warnings.simplefilter("ignore")
    seed, *chosen = sys.argv[1:]
    for name, (_, count) in READERS.items():
        if not chosen or chosen[0] == name:
            print(json.dumps({"begins": name}), flush=True)
            print(json.dumps(try_all(name, seed, int(chosen[1]) if chosen else count)), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("ALEXNET_THREADS", "1")
    main()
