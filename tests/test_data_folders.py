"""Folders as people have them: hidden files, links that lead nowhere or in a circle, parts under several names."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import class_tree, encoded, picture, tar, write
from PIL import Image

from alexnet_np import data
from alexnet_np.data.decode import decode
from alexnet_np.data.resize import resize
from alexnet_np.train.prediction import image_files

SHAPE = (3, 24, 24)


def everything(part: data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    return part.read(np.arange(len(part.labels)))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes of four pictures, with what systems and notebooks leave behind."""
    root = class_tree(tmp_path / "photos")
    for name in (".DS_Store", "cat/._0.jpg", "cat/.ipynb_checkpoints/0.jpg", ".git/x.jpg", "__MACOSX/cat/._1.jpg"):
        write(root / name, b"no image")
    return root


def test_hidden_files_are_passed_over(tree: Path, tmp_path: Path) -> None:
    """By every reader of a folder, and in shards."""
    visible = [f"{tree}/{c}/{i}.jpg" for c in ("cat", "dog") for i in range(4)]
    assert image_files([str(tree)]) == visible
    counts = resize(tree, tmp_path / "small")
    assert (counts.resized, counts.skipped) == (8, {})
    split = data.load(str(tree), SHAPE)
    assert list(split.train.classes) == ["cat", "dog"] and not split.train.skipped
    assert sorted([*split.train.paths, *split.test.paths]) == visible
    members = {str(path.relative_to(tree)): path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()}
    tar(tmp_path / "shards" / "train-0.tar", {f"./{name}": content for name, content in members.items()})
    shards = data.load(str(tmp_path / "shards"), SHAPE)
    assert sum(len(part.labels) for part in shards) == 8 and not shards.train.skipped


@pytest.mark.parametrize("name", [".hidden.jpg", "a.JFIF", "a.jpe"])
def test_a_file_that_is_named_is_read(name: str, tmp_path: Path) -> None:
    assert image_files([str(write(tmp_path / name))]) == [f"{tmp_path}/{name}"]


@pytest.mark.parametrize("suffix", ["jfif", "JFIF", "jpe"])
def test_other_names_of_jpeg(suffix: str, tmp_path: Path) -> None:
    """Are images in every reader, and stay as they are in a copy where the size is right."""
    for name in ("cat", "dog"):
        for i in range(3):
            write(tmp_path / "photos" / name / f"{i}.{suffix}")
    split = data.load(str(tmp_path / "photos"), SHAPE)
    assert (len(split.train.labels), len(split.test.labels)) == (4, 2)
    assert len(image_files([str(tmp_path / "photos")])) == 6
    counts = resize(tmp_path / "photos", tmp_path / "small", side=30)
    assert counts.kept == 6 and (tmp_path / "small" / "cat" / f"0.{suffix}").is_file()


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
def test_names_of_the_held_out_part(name: str, tmp_path: Path) -> None:
    class_tree(tmp_path / "train", count=5)
    class_tree(tmp_path / name, count=2)
    split = data.load(str(tmp_path), SHAPE)
    assert (len(split.train.labels), len(split.test.labels)) == (10, 4)
    for part, count in (("train", 5), (name, 2)):
        tar(
            tmp_path / "s" / f"x-{part}-0.tar", {f"{c}/{i}.jpg": encoded(picture()) for c in "ab" for i in range(count)}
        )
    assert [len(part.labels) for part in data.load(str(tmp_path / "s"), SHAPE)] == [10, 4]


def linked(tree: Path) -> tuple[Path, dict[str, str]]:
    """Links to files and folders that are there, and one of each kind that is not, with the reason."""
    (tree / "dog" / "right.jpg").symlink_to("../cat/0.jpg")
    broken = {
        "cat/nowhere.jpg": ("/no/where.jpg", "No such file or directory"),
        "cat/through.jpg": ("0.jpg/x.jpg", "Not a directory"),
        "dog/itself.jpg": ("itself.jpg", "Too many levels of symbolic links"),
    }
    for name, (target, _) in broken.items():
        (tree / name).symlink_to(target)
    return tree, {
        f"{tree}/{name}": f"{tree}/{name} cannot be read as an image: it is a link to {target!r}: {why}"
        for name, (target, why) in broken.items()
    }


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege there")
def test_links_that_lead_nowhere_are_bad_images(tree: Path, tmp_path: Path) -> None:
    """Named and counted, or the end, as any image that cannot be read."""
    root, broken = linked(tree)
    split = data.load(str(root), SHAPE, on_bad_image="skip")
    assert sum(len(everything(part)[1]) for part in split) == 9
    assert {**split.train.skipped, **split.test.skipped} == broken
    with pytest.raises(ValueError, match="cannot be read as an image: it is a link to"):
        for part in data.load(str(root), SHAPE):
            everything(part)
    counts = resize(root, tmp_path / "small", on_bad_image="skip")
    assert counts.resized == 9 and counts.skipped == broken
    with pytest.raises(ValueError, match="cannot be read as an image: it is a link to"):
        resize(root, tmp_path / "other")
    assert len(image_files([str(root)])) == 12 and {*broken} < {*image_files([str(root)])}


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege there")
def test_links_to_folders(tree: Path, tmp_path: Path) -> None:
    """Are followed; one to a folder around it is a bad image, once; a folder among a class's images is counted."""
    (tmp_path / "links").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "links" / name).symlink_to(tree / name)
    assert len(image_files([str(tmp_path / "links")])) == 8
    (tree / "cat" / "up").symlink_to("..")
    (tree / "gone").symlink_to("nowhere")
    around = f"{tree}/cat/up"
    counts = resize(tree, tmp_path / "small", on_bad_image="skip")
    assert counts.resized == 8
    assert counts.skipped.pop(around).startswith(f"{around} cannot be read as an image: it is a link to '..': ")
    assert counts.skipped == {f"{tree}/gone": "its name does not end as an image's"}
    assert len(image_files([str(tree)])) == 9 and around in image_files([str(tree)])
    train = data.load(str(tree), SHAPE).train
    assert train.skipped == {around: "it is a folder", f"{tree}/gone": "it is a link that leads nowhere"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_what_is_no_plain_file_is_never_opened(tree: Path, tmp_path: Path) -> None:
    """A named pipe would be waited for without end."""
    os.mkfifo(tree / "cat" / "pipe.jpg")
    (tree / "dog" / "link.jpg").symlink_to("../cat/pipe.jpg")
    pipes = {f"{tree}/cat/pipe.jpg": "it is no plain file", f"{tree}/dog/link.jpg": "it is no plain file"}
    assert data.load(str(tree), SHAPE).train.skipped == pipes
    counts = resize(tree, tmp_path / "small")
    assert counts.resized == 8 and counts.skipped == pipes
    assert len(image_files([str(tree)])) == 8


@pytest.mark.parametrize("size", [(2000, 1), (1, 300), (300, 1), (20_000, 60)])
def test_spacers_are_bad_images_of_a_copy(size: tuple[int, int], tmp_path: Path) -> None:
    """Whose longer side would be more than a JPEG's can be; a network sees their centre."""
    spacer = encoded(Image.new("RGB", size, (10, 200, 30)), "PNG")
    write(tmp_path / "photos" / "a" / "rule.png", spacer)
    write(tmp_path / "photos" / "a" / "long.png", encoded(Image.new("RGB", (200, 1), (10, 200, 30)), "PNG"))
    counts = resize(tmp_path / "photos", tmp_path / "small", on_bad_image="skip")
    told = f"{tmp_path}/photos/a/rule.png cannot be resized: {size[0]}×{size[1]} would become "
    assert [*counts.skipped] == [f"{tmp_path}/photos/a/rule.png"] and counts.resized == 1
    assert counts.skipped[f"{tmp_path}/photos/a/rule.png"].startswith(told)
    with Image.open(tmp_path / "small" / "a" / "long.png.jpg") as image:
        assert image.size == (51_200, 256)
    assert (decode(spacer, "it", (3, 32, 32)) == np.array([10, 200, 30], np.uint8)[:, None, None]).all()
