"""CIFAR-10 in both official forms and as JPEGs: what is read, and that neither a pickle nor an archive does harm."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded, picture

from alexnet_np import data
from alexnet_np.data import cifar10, unpack_cifar10

RANDOM = np.random.default_rng(0)
REAL = Path(os.environ.get("ALEXNET_DATA", ""))
real = pytest.mark.skipif("ALEXNET_DATA" not in os.environ, reason="ALEXNET_DATA is not set: no real images here")


def official_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """A Python batch as the publisher's: protocol 2, keys and names in bytes, arrays under NumPy's old module name."""
    batch = {
        b"batch_label": b"training batch",
        b"labels": labels,
        b"data": pixels,
        b"filenames": [b"a.png"] * len(labels),
    }
    return pickle.dumps(batch, protocol=2).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


@pytest.mark.parametrize("form", ["bin", "py"])
@pytest.mark.parametrize("inside", [False, True])
def test_cifar10(tmp_path: Path, form: str, inside: bool) -> None:
    """Both official forms give the same images, from the archive's folder or the one around it."""
    expected = RANDOM.integers(0, 256, (6, 4, 3, 32, 32), np.uint8)
    place = tmp_path / f"cifar-10-batches-{form}"
    place.mkdir()
    for batch, pixels in zip([*cifar10.BATCHES[0], *cifar10.BATCHES[1]], expected, strict=True):
        labels, flat = np.array([9, 0, 3, 3], np.uint8), pixels.reshape(4, -1)
        if form == "bin":
            (place / f"{batch}.bin").write_bytes(np.concatenate([labels[:, None], flat], axis=1).tobytes())
        else:
            (place / batch).write_bytes(official_pickle(flat, labels.tolist()))
    (place / ("batches.meta.txt" if form == "bin" else "batches.meta")).write_bytes(b"airplane\n")
    split = data.load(str(place if inside else tmp_path), (3, 32, 32))
    np.testing.assert_array_equal(split.train.images(np.arange(20)), expected[:5].reshape(20, 3, 32, 32))
    images, kept = split.test.read(np.array([2, 0]))
    np.testing.assert_array_equal(images, expected[5][[2, 0]])
    np.testing.assert_array_equal(kept, [2, 0])
    np.testing.assert_array_equal(split.test.labels, [9, 0, 3, 3])
    assert split.test.labels.dtype == np.int64 and split.train.classes[9] == "truck" and not split.train.skipped


def test_a_pickle_cannot_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return os.system, ("touch " + str(tmp_path / "sprung"),)

    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"data_batch_1 is not a CIFAR-10 batch: it names \w+.system"):
        cifar10.load(tmp_path)
    assert not (tmp_path / "sprung").exists()


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def put(value: object) -> bytes:
    """The opcodes that put a value on the stack."""
    return pickle.dumps(value, 2)[2:-1]


RECONSTRUCT = named("numpy.core.multiarray", "_reconstruct") + b"(" + named("numpy", "ndarray") + put((0,)) + b"C\1btR"


def array(dtype: bytes, data: bytes, shape: tuple[int, ...] = (4,)) -> bytes:
    """The opcodes of an array, as NumPy writes one."""
    order = b"(K\3" + put("|") + b"NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\0tb"
    made = named("numpy", "dtype") + b"(" + dtype + b"K\0K\1tR" + order
    size = len(data).to_bytes(4, "little")
    return RECONSTRUCT + b"(K\1" + put(shape) + made + b"\x89B" + size + data + b"tb"


def batch(labels: bytes = put([0, 1, 2, 3]), images: bytes = array(put("u1"), bytes(4 * 3072), (4, 3072))) -> bytes:
    return b"\x80\x03}(" + pickle.dumps(b"data", 3)[2:-1] + images + pickle.dumps(b"labels", 3)[2:-1] + labels + b"u."


NDARRAY = named("numpy", "ndarray") + b"(" + put((4,)) + named("numpy", "dtype") + b"(" + put("O") + b"tR"
NOT_DOCUMENTED = {
    "an object array over a foreign buffer": batch(NDARRAY + b"C\x20" + b"A" * 32 + b"tR"),
    "an object array": batch(images=array(put("O8"), b"A" * 32)),
    "an object array behind its dtype's back": batch(images=array(put("u1"), b"A" * 32).replace(put("|"), put("O"))),
    "an array that nobody made": batch(images=named("numpy", "ndarray")),
    "an array without data": batch(images=RECONSTRUCT),
    "an array larger than its bytes": batch(images=array(put("u1"), bytes(99), (4, 3072))),
    "an array of a negative shape": batch(images=array(put("u1"), bytes(12288), (-4, -3072))),
    "labels that are an array": batch(labels=array(put("u1"), bytes(4))),
    "labels that are no ints": batch(labels=put([0, 1, 2, True])),
    "a number of 20 digits": batch(labels=put([0, 1, 2, 10**20])),
    "a class": batch(labels=named("builtins", "list")),
    "an attribute of what is ours": batch(labels=named("numpy", "dtype") + b"N}" + put("_made") + b"Ns\x86b"),
    "a list": b"\x80\x02]q\x00.",
    "an object's number beyond all memory": batch(labels=put([0, 1, 2, 3]) + b"r\xff\xff\xff\x7f"),
    "a string beyond all memory": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b".",
    "tuples in tuples as a key": b"\x80\x02}(K\1" + b"\x85" * 100_000 + b"K\1u.",
    "an encoding without end": batch(named("_codecs", "encode") + b"(" + put("a" * 1000) + put("punycode") + b"tR"),
}


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("protocol", range(5))
def test_a_pickle_of_the_documented_structure(protocol: int, old: bool, columns: bool, tmp_path: Path) -> None:
    """In every protocol, under the old names and the new ones; columns first too."""
    pixels = RANDOM.integers(0, 256, (4, 3072), np.uint8)
    one = {b"data": np.asfortranarray(pixels) if columns else pixels, b"labels": [3, 1, 4, 1], b"filenames": [b"x"] * 4}
    content = pickle.dumps(one, protocol)
    if old:
        content = content.replace(b"cnumpy._core.", b"cnumpy.core.")
    (tmp_path / "test_batch").write_bytes(content)
    images, labels = cifar10.read_batch(tmp_path, "test_batch")
    np.testing.assert_array_equal(images.reshape(4, -1), pixels)
    np.testing.assert_array_equal(labels, [3, 1, 4, 1])


@pytest.mark.parametrize("content", NOT_DOCUMENTED.values(), ids=NOT_DOCUMENTED)
def test_a_pickle_of_another_structure_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "test_batch").write_bytes(batch())
    assert cifar10.read_batch(tmp_path, "test_batch")[0].shape == (4, 3, 32, 32)
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(ValueError, match=r"^\S+/test_batch is not a CIFAR-10 batch: [^\n]+$"):
        cifar10.read_batch(tmp_path, "test_batch")


def test_cifar10_of_a_wrong_length(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(b"\0" * 3000)
    with pytest.raises(ValueError, match="has 3000 bytes, not a multiple of a record's 3073"):
        cifar10.load(tmp_path)


def packed(path: Path, per_class: int = 10) -> np.ndarray:
    """CIFAR-10 as JPEGs in an .npz: flat images, whose value is 20 times their label; returns the training labels."""
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("train", 10 * per_class), ("test", per_class)):
        labels = np.arange(count) * 7 % 10
        files = [encoded(picture(size=(32, 32), value=20 * label)) for label in labels]
        arrays[f"{part}_blob"] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"{part}_offsets"] = np.cumsum([0, *map(len, files)])
        arrays[f"{part}_labels"] = labels.astype(np.uint8)
    np.savez(path, **arrays)
    return arrays["train_labels"]


def test_unpacked_cifar10_has_the_official_form(tmp_path: Path) -> None:
    labels = packed(tmp_path / "jpegs.npz")
    unpack_cifar10.unpack(tmp_path / "jpegs.npz", tmp_path / "out")
    split = data.load(str(tmp_path / "out"), (3, 32, 32))
    np.testing.assert_array_equal(split.train.labels, labels)
    for part in split:
        values = part.images(np.arange(len(part.labels))).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(values, 20 * part.labels, atol=1)
    assert (tmp_path / "out" / "cifar-10-batches-bin" / "data_batch_3.bin").stat().st_size == 20 * 3073


def test_unpacking_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.arange(3))
    with pytest.raises(ValueError, match=r"other.npz is not CIFAR-10 as JPEGs in an .npz: .*'train_blob"):
        unpack_cifar10.unpack(tmp_path / "other.npz", tmp_path / "out")
    (tmp_path / "none.npz").write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match=r"none.npz is not CIFAR-10 as JPEGs in an .npz"):
        unpack_cifar10.unpack(tmp_path / "none.npz", tmp_path / "out")


WRONG = {
    "train_blob": [lambda a: a.astype(float), lambda a: a.astype(object), lambda a: a[:100], lambda a: a[:0]],
    "test_offsets": [
        lambda a: a[::-1],
        lambda a: a - 1,
        lambda a: a * 10**6,
        lambda a: a[:3],
        lambda a: a.astype("U5"),
    ],
    "test_labels": [lambda a: a + 9, lambda a: a.reshape(1, -1), lambda a: np.array(3), lambda a: a.astype("U5")],
}
MISTAKES = [(name, i) for name, wrong in WRONG.items() for i in range(len(wrong))]


@pytest.mark.parametrize(("name", "which"), MISTAKES)
def test_unpacking_wrong_arrays(name: str, which: int, tmp_path: Path) -> None:
    """One line, and nothing is written."""
    packed(tmp_path / "right.npz")
    with np.load(tmp_path / "right.npz") as arrays:
        np.savez(tmp_path / "wrong.npz", **{**arrays, name: WRONG[name][which](arrays[name])})
    with pytest.raises(ValueError, match=r"^\S+/wrong.npz is not CIFAR-10 as JPEGs in an .npz: [^\n]+$"):
        unpack_cifar10.unpack(tmp_path / "wrong.npz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unpacking_more_than_there_is(tmp_path: Path) -> None:
    """An array that becomes a thousand times the file, and one whose header asks for far more than follows it."""
    packed(tmp_path / "right.npz")
    with np.load(tmp_path / "right.npz") as arrays:
        np.savez_compressed(tmp_path / "zeros.npz", **{**arrays, "test_blob": np.zeros(1 << 26, np.uint8)})
    with pytest.raises(ValueError, match=r"test_blob becomes more than [\d,]+ bytes"):
        unpack_cifar10.unpack(tmp_path / "zeros.npz", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "right.npz") as right, zipfile.ZipFile(tmp_path / "huge.npz", "w") as huge:
        for name in right.namelist():
            huge.writestr(name, right.read(name).replace(b"(10,), }        ", b"(1000000000,), }"))
    with pytest.raises(ValueError, match=r"test_labels says that it is uint8 \(1000000000,\), and has 10 bytes"):
        unpack_cifar10.unpack(tmp_path / "huge.npz", tmp_path / "out")


@real
def test_real_cifar10(tmp_path: Path) -> None:
    unpack_cifar10.unpack(REAL / "cifar10" / "cifar10_jpeg.npz", tmp_path)
    split = data.load(str(tmp_path), (3, 32, 32))
    np.testing.assert_array_equal(np.bincount(split.train.labels), [5000] * 10)
    np.testing.assert_array_equal(np.bincount(split.test.labels), [1000] * 10)
    assert 110 < split.train.images(np.arange(0, 50_000, 49)).mean() < 130
