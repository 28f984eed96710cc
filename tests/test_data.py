"""Image sources: what they read, on real files where ALEXNET_DATA names them, and what bad files get."""

import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_np import data
from alexnet_np.data import cifar10, decode, generated, idx
from alexnet_np.data.loader import batches, per_epoch

RANDOM = np.random.default_rng(0)
REAL = Path(os.environ.get("ALEXNET_DATA", ""))
real = pytest.mark.skipif("ALEXNET_DATA" not in os.environ, reason="ALEXNET_DATA is not set: no real images here")


def decoded(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    return decode.decode(path.read_bytes(), str(path), shape)


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
    with pytest.raises(ValueError, match="is truncated or not gzipped"):
        idx.load(idx_folder)
    path.unlink()
    with pytest.raises(ValueError, match="lacks train-images-idx3-ubyte"):
        idx.load(idx_folder)


@pytest.mark.parametrize("form", ["bin", "py"])
def test_cifar10(tmp_path: Path, form: str) -> None:
    """Both official forms give the same images; a record is a label and three planes."""
    expected = RANDOM.integers(0, 256, (6, 4, 3, 32, 32), np.uint8)
    place = tmp_path / f"cifar-10-batches-{form}"
    place.mkdir()
    for batch, pixels in zip([*cifar10.BATCHES[0], *cifar10.BATCHES[1]], expected, strict=True):
        labels, flat = np.array([9, 0, 3, 3], np.uint8), pixels.reshape(4, -1)
        if form == "bin":
            (place / f"{batch}.bin").write_bytes(np.concatenate([labels[:, None], flat], axis=1).tobytes())
        else:
            (place / batch).write_bytes(pickle.dumps({b"data": flat, b"labels": labels.tolist()}, protocol=2))
    split = data.load(str(tmp_path), (3, 32, 32))
    np.testing.assert_array_equal(split.train.images(np.arange(20)), expected[:5].reshape(20, 3, 32, 32))
    np.testing.assert_array_equal(split.test.images(np.array([2, 0])), expected[5][[2, 0]])
    np.testing.assert_array_equal(split.test.labels, [9, 0, 3, 3])


def test_a_pickle_cannot_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return os.system, ("touch " + str(tmp_path / "sprung"),)

    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"data_batch_1 is not a CIFAR-10 batch: it names \w+.system"):
        cifar10.load(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_cifar10_of_a_wrong_length(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(b"\0" * 3000)
    with pytest.raises(ValueError, match="has 3000 bytes, not a multiple of a record's 3073"):
        cifar10.load(tmp_path)


def test_folder_per_class(pictures: Path) -> None:
    split = data.load(str(pictures), (3, 24, 32))
    assert split.train.classes == ["cat", "dog"] and split.train.shape == (3, 24, 32)
    assert len(split.train.labels) == 18 and len(split.test.labels) == 4  # every tenth of 11, from the first
    images = split.train.images(np.arange(18))
    assert images.shape == (18, 3, 24, 32) and images.dtype == np.uint8
    assert all(image.std() > 5 for image in images), "an image came out flat"
    assert data.load(str(pictures), (1, 24, 24)).train.images(np.array([0])).shape == (1, 1, 24, 24)


def test_sixteen_bits_keep_their_range(tmp_path: Path) -> None:
    """A 16-bit image is scaled to 8 bits, not cut off at 255."""
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    shown = decoded(tmp_path / "ramp.png", (1, 64, 64)).astype(float)
    assert abs(shown - ramp / 257).max() <= 1


def test_exif_rotation(tmp_path: Path) -> None:
    """A photograph that says which way is up is turned that way."""
    upright = np.zeros((40, 40, 3), np.uint8)
    upright[:20] = 255
    image, exif = Image.fromarray(np.rot90(upright)), Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    image.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(decoded(tmp_path / "turned.png", (3, 40, 40)), upright.transpose(2, 0, 1))


def test_bad_pictures(pictures: Path, tmp_path: Path) -> None:
    bad = pictures / "dog" / "8.jpg"
    whole = bad.read_bytes()
    for content in (whole[: len(whole) // 3], b"", b"no image"):
        bad.write_bytes(content)
        with pytest.raises(ValueError, match=r"8.jpg cannot be read as an image"):
            decoded(bad, (3, 24, 24))
    (tmp_path / "one" / "only").mkdir(parents=True)
    bad.write_bytes(whole)
    with pytest.raises(ValueError, match="holds no images"):
        data.load(str(tmp_path / "one"), (3, 24, 24))
    (tmp_path / "one" / "only" / "a.jpg").write_bytes(whole)
    with pytest.raises(ValueError, match="at least two"):
        data.load(str(tmp_path / "one"), (3, 24, 24))
    with pytest.raises(ValueError, match="there is no folder"):
        data.load(str(tmp_path / "nowhere"), (3, 24, 24))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no images in a known form: IDX"):
        data.load(str(tmp_path / "empty"), (3, 24, 24))


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


def test_batches_follow_seed_and_epoch() -> None:
    split = generated.load(train=50, test=12)
    pixels = data.measure(split.train, scale=True)
    whole = list(batches(split.train, pixels, 8, seed=1, epoch=3))
    assert len(whole) == per_epoch(split.train, 8) == 6
    rest = list(batches(split.train, pixels, 8, seed=1, epoch=3, start=4))
    for (x, labels, _), (x2, labels2, _) in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(labels, labels2)
    other = list(batches(split.train, pixels, 8, seed=1, epoch=4))
    assert not np.array_equal(whole[0][0], other[0][0])


def test_loader_passes_errors_on(pictures: Path) -> None:
    """A picture that cannot be read ends the epoch with its name, not with a hang."""
    split = data.load(str(pictures), (3, 24, 24))
    for path in (pictures / "cat").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="cannot be read as an image"):
        list(batches(split.train, data.Pixels(np.zeros((3, 24, 24), np.float32)), 4, seed=0, epoch=0))


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
