"""Image sources: what they read, on real files where ALEXNET_DATA names them, and what bad files get."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_np import data
from alexnet_np.data import generated, idx

RANDOM = np.random.default_rng(0)
REAL = Path(os.environ.get("ALEXNET_DATA", ""))
real = pytest.mark.skipif("ALEXNET_DATA" not in os.environ, reason="ALEXNET_DATA is not set: no real images here")


def write_idx(path: Path, array: np.ndarray) -> None:
    header = b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()) if path.suffix == ".gz" else header + array.tobytes())


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    for name, count, suffix in (("train", 30, ".gz"), ("t10k", 12, "")):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte{suffix}", RANDOM.integers(0, 256, (count, 28, 28), np.uint8))
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte{suffix}", np.arange(count, dtype=np.uint8) % 3)
    return tmp_path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of pictures of many kinds: every mode and orientation that a folder of photographs has."""
    for c, name in enumerate(("cat", "dog")):
        place = tmp_path / "photos" / name
        place.mkdir(parents=True)
        for i, mode in enumerate(("RGB", "L", "CMYK", "P", "RGBA", "I;16", "1", "LA", "RGB", "RGB", "RGB")):
            width, height = 40 + 3 * i, 30 + 5 * c
            image = Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), np.uint8)).convert("RGB")
            if mode == "I;16":
                image = Image.fromarray(RANDOM.integers(0, 65536, (height, width), np.uint16))
            else:
                image = image.convert(mode)
            image.save(place / f"{i}.{'jpg' if mode in ('RGB', 'L', 'CMYK') else 'png'}")
    return tmp_path / "photos"


def test_idx(idx_folder: Path) -> None:
    split = data.load(str(idx_folder), (1, 28, 28))
    assert split.train.shape == (1, 28, 28) and len(split.train.labels) == 30 and len(split.test.labels) == 12
    assert split.train.labels.dtype == np.int64 and list(split.train.classes) == ["0", "1", "2"]
    with pytest.raises(ValueError, match=r"images of \(1, 28, 28\), the network takes \(3, 32, 32\)"):
        data.load(str(idx_folder), (3, 32, 32))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file"),
        (b"\0\0\x0d\x01" + b"\0" * 10, "is not an IDX file of unsigned bytes"),
        (b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02" + b"\0" * 7, "says that it holds"),
    ],
)
def test_damaged_idx(idx_folder: Path, content: bytes, message: str) -> None:
    (idx_folder / "t10k-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        idx.load(idx_folder)


def test_truncated_gzip(idx_folder: Path) -> None:
    path = idx_folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="is truncated, damaged or not gzipped"):
        idx.load(idx_folder)
    path.unlink()
    with pytest.raises(ValueError, match="lacks train-images-idx3-ubyte"):
        idx.load(idx_folder)


def test_damaged_gzip(idx_folder: Path) -> None:
    """Each byte of the file changed: an array of the same shape, or a refusal with its name."""
    path = idx_folder / "train-labels-idx1-ubyte.gz"
    whole = path.read_bytes()
    refused = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 6]) + whole[at + 1 :])
        try:
            assert idx.read_idx(path).shape == (30,)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path} ") and "\n" not in str(error)
    assert refused > len(whole) // 2


def test_a_gzip_that_becomes_too_much(idx_folder: Path) -> None:
    """No more is unpacked than the file says, and no more is asked for than it can become."""
    path = idx_folder / "train-labels-idx1-ubyte.gz"
    start = b"\0\0\x08\x01" + np.array([30], ">u4").tobytes()
    path.write_bytes(gzip.compress(start + bytes(1 << 24)))
    with pytest.raises(ValueError, match=r"says that it holds \(30,\), but has more bytes of data"):
        idx.read_idx(path)
    path.write_bytes(gzip.compress(start[:4] + b"\xff" * 4 + bytes(30)))
    with pytest.raises(ValueError, match=r"says that it holds \(4294967295,\), and has \d+ bytes"):
        idx.read_idx(path)


def test_folder_per_class(pictures: Path) -> None:
    split = data.load(str(pictures), (3, 24, 32))
    assert split.train.classes == ["cat", "dog"] and split.train.shape == (3, 24, 32)
    assert len(split.train.labels) == 18 and len(split.test.labels) == 4  # every tenth of 11, from the first
    images = split.train.images(np.arange(18))
    assert images.shape == (18, 3, 24, 32) and images.dtype == np.uint8
    assert all(image.std() > 5 for image in images), "an image came out flat"
    assert data.load(str(pictures), (1, 24, 24)).train.images(np.array([0])).shape == (1, 1, 24, 24)


def test_stored_larger_than_the_network(pictures: Path, idx_folder: Path) -> None:
    """store: images from files are brought to it, others must have it."""
    split = data.load(str(pictures), (3, 24, 24), store=28)
    assert split.train.shape == (3, 28, 28) == split.train.images(np.arange(3)).shape[1:]
    assert data.load("generated", (3, 24, 24), store=32).train.shape == (3, 32, 32)
    assert data.load(str(idx_folder), (1, 24, 24), store=28).train.shape == (1, 28, 28)
    with pytest.raises(
        ValueError, match=r"images of \(1, 28, 28\), the network takes \(1, 24, 24\), stored as \(1, 32, 32\)"
    ):
        data.load(str(idx_folder), (1, 24, 24), store=32)
    with pytest.raises(ValueError, match="images stored at 20×20 are smaller than the network's 24×24"):
        data.load(str(pictures), (3, 24, 24), store=20)


def test_files_that_are_no_images_are_counted(pictures: Path) -> None:
    """By their name; hidden ones, which systems leave behind, are not."""
    for name in ("notes.txt", "photo.heic", ".DS_Store"):
        (pictures / "cat" / name).write_bytes(b"?")
    split = data.load(str(pictures), (3, 24, 24))
    assert {Path(name).name for name in split.train.skipped} == {"notes.txt", "photo.heic"}
    assert not split.test.skipped, "each is counted once"


def test_generated_set() -> None:
    """The same for the same seed, no image twice, and no class told by its mean colour."""
    one, same, other = (generated.load(train=120, test=60, seed=s) for s in (4, 4, 5))
    everything = np.arange(120)
    np.testing.assert_array_equal(one.train.images(everything), same.train.images(everything))
    assert not np.array_equal(one.train.images(everything), other.train.images(everything))
    shown = np.concatenate([one.train.images(everything), one.test.images(np.arange(60))])
    assert len({image.tobytes() for image in shown}) == 180
    large = generated.load(train=1200, test=1200)
    means = [part.images(np.arange(1200)).mean(axis=(2, 3)) for part in large]
    centres = np.stack([means[0][large.train.labels == c].mean(axis=0) for c in range(12)])
    nearest = ((means[1][:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == large.test.labels).mean() < 0.3


@real
def test_real_fashion_mnist() -> None:
    split = data.load(str(REAL / "fashion_mnist"), (1, 28, 28))
    assert len(split.train.labels) == 60_000 and len(split.test.labels) == 10_000
    assert split.train.classes[9] == "Ankle-boot" and split.train.labels[0] == 9
    np.testing.assert_array_equal(np.bincount(split.test.labels), [1000] * 10)


@real
def test_real_photographs() -> None:
    split = data.load(str(REAL / "imagenette224"), (3, 224, 224))
    assert len(split.train.labels) == 1500 and len(split.test.labels) == 500 and len(split.train.classes) == 10
    images = split.train.images(np.array([0, 700, 1499]))
    path = split.train.paths[700]
    np.testing.assert_array_equal(images[1], np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1))
