"""The ILSVRC-2012 layout and tar shards: which image gets which class."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from image_files import class_tree, encoded, ilsvrc, picture, tar, write

from alexnet_np import data
from alexnet_np.data import Dataset
from alexnet_np.data.ilsvrc import read_ids

REAL = Path(os.environ.get("ALEXNET_DATA", ""))
real = pytest.mark.skipif("ALEXNET_DATA" not in os.environ, reason="ALEXNET_DATA is not set: no real images here")


def greys(part: Dataset) -> np.ndarray:
    """The brightness of each image; a flat one's value."""
    return part.images(np.arange(len(part.labels))).mean(axis=(1, 2, 3)).round().astype(int)


def test_ilsvrc(tmp_path: Path) -> None:
    """Validation images get the class of their synset, not their ILSVRC2012_ID: the picture's value says which."""
    split = data.load(str(ilsvrc(tmp_path)), (3, 24, 24))
    assert list(split.train.classes) == list(split.test.classes) == ["n01", "n02", "n03"]
    np.testing.assert_array_equal(split.test.labels, [2, 1, 0, 2])
    for part in split:
        np.testing.assert_allclose(greys(part), 40 * (part.labels + 1), atol=2)
    assert len(split.train.labels) == 9 and split.train.labels.dtype == split.test.labels.dtype == np.int64


@pytest.mark.parametrize("place", ["", "data", "ILSVRC2012_devkit_t12/data"])
def test_where_the_devkit_may_be(tmp_path: Path, place: str) -> None:
    root = ilsvrc(tmp_path)
    (root / place).mkdir(parents=True, exist_ok=True)
    for path in (root / "devkit").iterdir():
        path.rename(root / place / path.name)
    (root / "devkit").rmdir()
    if place == "data":
        (root / "data").rename(root / "x")
        (root / "devkit").mkdir()
        (root / "x").rename(root / "devkit" / "data")
    np.testing.assert_array_equal(data.load(str(root), (3, 24, 24)).test.labels, [2, 1, 0, 2])


def test_ids_from_meta_mat(tmp_path: Path) -> None:
    """The devkit's own file: an array of structures, classes and the nodes above them."""
    io = pytest.importorskip("scipy.io")
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    rows = [(1, "n03", "a, b", 0), (2, "n02", "c", 0), (3, "n01", "d", 0), (4, "n00", "entity", 3)]
    root = ilsvrc(tmp_path)
    io.savemat(root / "devkit" / "meta.mat", {"synsets": np.array(rows, kind)[:, None]})
    assert read_ids(root / "devkit" / "meta.mat") == {1: "n03", 2: "n02", 3: "n01", 4: "n00"}
    (root / "devkit" / "ILSVRC2012_ids.txt").unlink()
    np.testing.assert_array_equal(data.load(str(root), (3, 24, 24)).test.labels, [2, 1, 0, 2])
    (root / "devkit" / "meta.mat").write_bytes(b"MATLAB 5.0 MAT-file" + b"?" * 300)
    with pytest.raises(ValueError, match=r"meta.mat is not the devkit's meta.mat: "):
        data.load(str(root), (3, 24, 24))


def test_meta_mat_without_scipy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install, and what else would do."""
    write(tmp_path / "without" / "scipy" / "__init__.py", b"raise ImportError('there is none here')")
    monkeypatch.syspath_prepend(str(tmp_path / "without"))
    write(tmp_path / "meta.mat", b"?")
    with pytest.raises(ValueError, match=r"needs SciPy: pip install alexnet-np\[ilsvrc\]; or put ILSVRC2012_ids.txt"):
        read_ids(tmp_path / "meta.mat")


@pytest.mark.parametrize("ends", ["os.kill(os.getpid(), signal.SIGSEGV)", "os._exit(9)", "raise SystemExit('?')"])
def test_meta_mat_on_which_scipy_ends(ends: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes nothing along."""
    write(tmp_path / "stub" / "scipy" / "__init__.py", b"")
    code = f"import os, signal\ndef loadmat(path, squeeze_me): {ends}\n"
    write(tmp_path / "stub" / "scipy" / "io.py", code.encode())
    monkeypatch.syspath_prepend(str(tmp_path / "stub"))
    write(tmp_path / "meta.mat", b"?")
    with pytest.raises(ValueError, match=r"meta.mat is not the devkit's meta.mat: .+"):
        read_ids(tmp_path / "meta.mat")


def test_links_and_sparse_members_of_a_shard(tmp_path: Path) -> None:
    """Have no bytes of their own in it: counted by name."""
    path = tar(tmp_path / "train-0.tar", {f"{c}/{i}.jpg": grey(90) for c in "ab" for i in range(4)})
    with tarfile.open(path, "a") as archive:
        for name, kind in (("a/soft.jpg", tarfile.SYMTYPE), ("b/hard.jpg", tarfile.LNKTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "a/1.jpg"
            archive.addfile(link)
    split = data.load(str(tmp_path), (3, 24, 24))
    assert sum(len(part.labels) for part in split) == 8
    assert split.train.skipped == {f"{path}: {name}": "it is no plain file" for name in ("a/soft.jpg", "b/hard.jpg")}


def grey(value: int) -> bytes:
    return encoded(picture(value=value))


def test_shards_of_samples(tmp_path: Path) -> None:
    """key.jpg beside key.cls, over several shards; members that belong to no image are counted, metadata is not."""
    for part, shards in (("train", 3), ("val", 1)):
        for s in range(shards):
            members: dict[str, bytes] = {}
            for i in range(4):
                label = (i + s) % 3
                members[f"{s}_{i}.cls"] = f"{label}\n".encode()
                members[f"{s}_{i}.jpg"] = grey(40 * label + 40)
                members[f"{s}_{i}.json"] = b"{}"
            tar(tmp_path / f"set-{part}-{s:06}.tar", {**members, "README": b"hello", "lost.cls": b"1"})
    split = data.load(str(tmp_path), (3, 24, 24))
    assert list(split.train.classes) == ["0", "1", "2"]
    assert (len(split.train.labels), len(split.test.labels)) == (12, 4)
    for part in split:
        np.testing.assert_allclose(greys(part), 40 * part.labels + 40, atol=2)
    for part, shards in zip(split, (3, 1), strict=True):
        assert sorted(name.rpartition(" ")[2] for name in part.skipped) == ["README"] * shards + ["lost.cls"] * shards
    (tmp_path / "classes.txt").write_text("cat\ndog\nemu\n")
    assert list(data.load(str(tmp_path), (3, 24, 24)).test.classes) == ["cat", "dog", "emu"]


def test_shards_of_class_folders(tmp_path: Path) -> None:
    """class/name.jpg; without held-out shards every tenth image of a class is held out, none is in both parts."""
    for s in range(2):
        members = {f"./{c}/{s}.{i}.JPEG": grey(100 * k + 40 + i) for k, c in enumerate("ab") for i in range(10)}
        tar(tmp_path / f"train-{s}.tar", members)
    split = data.load(str(tmp_path), (3, 24, 24))
    assert list(split.train.classes) == ["a", "b"]
    assert list(np.bincount(split.train.labels)) == [18, 18] and list(np.bincount(split.test.labels)) == [2, 2]
    for part in split:
        np.testing.assert_array_equal(greys(part) > 100, part.labels)
    names = [part.name(i) for part in split for i in range(len(part.labels))]
    assert len(set(names)) == 40


def test_bad_image_in_a_shard(tmp_path: Path) -> None:
    """Named with its shard; skipped where that was asked for."""
    members = {f"{c}/{i}.jpg": grey(90) for c in "ab" for i in range(4)} | {"a/3.jpg": b"no image"}
    tar(tmp_path / "train-0.tar", members)
    tar(tmp_path / "val-0.tar", {"a/1.jpg": grey(1), "b/1.jpg": grey(1)})
    split = data.load(str(tmp_path), (3, 24, 24))
    with pytest.raises(ValueError, match=r"train-0.tar: a/3.jpg cannot be read as an image"):
        split.train.images(np.arange(8))
    skipping = data.load(str(tmp_path), (3, 24, 24), on_bad_image="skip").train
    images, kept = skipping.read(np.arange(8)[::-1])
    np.testing.assert_array_equal(kept, [7, 6, 5, 4, 2, 1, 0])
    assert len(images) == 7 and [*skipping.skipped] == [f"{tmp_path}/train-0.tar: a/3.jpg"]


def test_classes_of_a_folder_follow_the_names(tmp_path: Path) -> None:
    """Sorted, in both parts; test/ serves as well as val/."""
    for part in ("train", "test"):
        for name, value in (("zebra", 200), ("ant", 30)):
            write(tmp_path / part / name / "x.png", encoded(picture(value=value), "PNG"))
    class_tree(tmp_path / "train" / ".cache")
    split = data.load(str(tmp_path), (1, 24, 24))
    assert list(split.train.classes) == ["ant", "zebra"]
    for part in split:
        np.testing.assert_array_equal(greys(part), [30, 200])


@real
def test_three_layouts_of_the_same_photographs(tmp_path: Path) -> None:
    """Class folders, ILSVRC's layout with a devkit, and shards give the same images with the same classes."""
    source = REAL / "imagenette224"
    synsets = sorted(p.name for p in (source / "train").iterdir())
    numbers = {synset: 100 + i for i, synset in enumerate(reversed(synsets))}
    val = sorted((p.name, p.parent.name) for p in (source / "val").rglob("*.JPEG") if p.name[-6] in "05")
    layout, shards, truth = tmp_path / "ilsvrc", tmp_path / "shards", []
    for synset in synsets:
        for path in sorted((source / "train" / synset).iterdir())[:3]:
            write(layout / "train" / synset / path.name, path.read_bytes())
    for i, (name, synset) in enumerate(val, 1):
        content = (source / "val" / synset / name).read_bytes()
        write(layout / "val" / f"ILSVRC2012_val_{i:08}.JPEG", content)
        truth.append(numbers[synset])
    write(layout / "devkit" / "ILSVRC2012_validation_ground_truth.txt", "\n".join(map(str, truth)).encode())
    write(layout / "devkit" / "ILSVRC2012_ids.txt", "".join(f"{n} {s}\n" for s, n in numbers.items()).encode())
    train = {f"{p.parent.name}/{p.name}": p.read_bytes() for p in sorted((layout / "train").rglob("*.JPEG"))}
    tar(shards / "train-0.tar", train)
    tar(shards / "val-0.tar", {f"{s}/{n}": (source / "val" / s / n).read_bytes() for n, s in val})
    one, other, whole = (data.load(str(root), (3, 64, 64)) for root in (layout, shards, source))
    assert list(one.train.classes) == list(other.train.classes) == list(whole.train.classes) == synsets
    np.testing.assert_array_equal(one.train.labels, other.train.labels)
    np.testing.assert_array_equal(one.train.images(np.arange(30)), other.train.images(np.arange(30)))
    names = {Path(path).name: i for i, path in enumerate(whole.test.paths)}
    same = np.array([names[name] for name, _ in val])
    np.testing.assert_array_equal(one.test.labels, whole.test.labels[same])
    np.testing.assert_array_equal(one.test.images(np.arange(len(val))), whole.test.images(same))
    assert len(val) > 20 and len(set(one.test.labels)) == 10
