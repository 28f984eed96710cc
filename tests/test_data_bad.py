"""What bad input gets: one line that says what is wrong, with the name of the file or folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_files import class_tree, encoded, ilsvrc, picture, tar, write

from alexnet_np import data

JPEG = encoded(picture())
TRUTH, IDS = "devkit/ILSVRC2012_validation_ground_truth.txt", "devkit/ILSVRC2012_ids.txt"


def nothing(root: Path) -> None:
    pass


def missing(root: Path) -> None:
    root.rmdir()


def a_file(root: Path) -> None:
    root.rmdir()
    write(root)


def empty_class(root: Path) -> None:
    (class_tree(root) / "emu").mkdir()


def one_class(root: Path) -> None:
    class_tree(root, ("cat",))


def one_class_in_val(root: Path) -> None:
    class_tree(root / "train")
    class_tree(root / "val", ("cat",))


def other_classes(root: Path) -> None:
    class_tree(root / "train", ("cat", "dog"))
    class_tree(root / "val", ("cat", "emu"))


def one_image(root: Path) -> None:
    class_tree(root)
    write(root / "emu" / "only.jpg")


def no_ground_truth(root: Path) -> None:
    (ilsvrc(root) / TRUTH).unlink()


def no_ids(root: Path) -> None:
    (ilsvrc(root) / IDS).unlink()


def short_ground_truth(root: Path) -> None:
    write(ilsvrc(root) / TRUTH, b"1\n2\n3\n")


def words_for_ground_truth(root: Path) -> None:
    write(ilsvrc(root) / TRUTH, b"1\n2\nthree\n1\n")


def unknown_id(root: Path) -> None:
    ilsvrc(root, truth=(1, 2, 77))


def unknown_synset(root: Path) -> None:
    shutil.rmtree(ilsvrc(root) / "train" / "n02")


def damaged_ids(root: Path) -> None:
    write(ilsvrc(root) / IDS, b"1 n03\nn02\n")


def shard_without_images(root: Path) -> None:
    tar(root / "train-0.tar", {"a.txt": b"hello"})


def shard_cut_off(root: Path) -> None:
    path = tar(root / "train-0.tar", {f"{c}/{i}.jpg": JPEG for c in "ab" for i in range(9)})
    path.write_bytes(path.read_bytes()[:5000])


def shard_cut_between_members(root: Path) -> None:
    path = tar(root / "train-0.tar", {f"{c}/{i}.bmp": b"?" * 512 for c in "ab" for i in range(30)})
    path.write_bytes(path.read_bytes()[: 1024 * 20])


def shard_that_is_none(root: Path) -> None:
    write(root / "train-0.tar", b"PK\3\4" * 400)


def shard_image_without_class(root: Path) -> None:
    tar(root / "train-0.tar", {"a.jpg": JPEG, "a.cls": b"0", "b.jpg": JPEG})


def shard_class_in_words(root: Path) -> None:
    tar(root / "train-0.tar", {"a.jpg": JPEG, "a.cls": b"cat"})


def shard_label_beyond_the_names(root: Path) -> None:
    tar(
        root / "train-0.tar",
        {f"{i}.{end}": JPEG if end == "jpg" else b"%d" % i for i in range(4) for end in ("jpg", "cls")},
    )
    tar(root / "val-0.tar", {"1.jpg": JPEG, "1.cls": b"1"})
    (root / "classes.txt").write_text("cat\ndog\n")


def shards_with_other_classes(root: Path) -> None:
    for name, classes in (("train", "ab"), ("val", "ac")):
        tar(root / f"{name}-0.tar", {f"{c}/{i}.jpg": JPEG for c in classes for i in range(3)})


def shards_of_two_kinds(root: Path) -> None:
    tar(
        root / "train-0.tar",
        {"a/1.jpg": JPEG, "2.jpg": JPEG, "2.cls": b"0", "a/3.jpg": JPEG, "4.jpg": JPEG, "4.cls": b"0"},
    )


def shards_of_one_class(root: Path) -> None:
    tar(root / "train-0.tar", {f"a/{i}.jpg": JPEG for i in range(3)})


def shards_to_hold_out_only(root: Path) -> None:
    tar(root / "val-0.tar", {f"{c}/{i}.jpg": JPEG for c in "ab" for i in range(3)})


def shard_class_is_an_identifier(root: Path) -> None:
    tar(root / "train-0.tar", {"a.jpg": JPEG, "a.cls": b"1700000000"})


def shard_class_of_twenty_digits(root: Path) -> None:
    tar(root / "train-0.tar", {"a.jpg": JPEG, "a.cls": b"1" + b"0" * 20})


def shard_class_without_end(root: Path) -> None:
    tar(root / "train-0.tar", {"a.jpg": JPEG, "a.cls": b"9" * 5000})


def with_a_size(root: Path, field: bytes, kind: bytes = b"0") -> None:
    """A shard whose second member has a damaged size, under a right checksum."""
    path = tar(root / "train-0.tar", {f"{c}/{i}.bmp": b"?" * 512 for c in "ab" for i in range(3)})
    content = bytearray(path.read_bytes())
    header = content[1024:1536]
    header[124:136], header[156:157], header[148:156] = field, kind, b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content[1024:1536] = header
    path.write_bytes(content)


def shard_that_leads_back(root: Path) -> None:
    with_a_size(root, (-1536).to_bytes(12, "big", signed=True))


def shard_that_leads_back_from_a_sparse_member(root: Path) -> None:
    with_a_size(root, (-1536).to_bytes(12, "big", signed=True), b"S")


def shard_beyond_its_end(root: Path) -> None:
    with_a_size(root, b"77777777777\0")


def shard_names_twice(root: Path) -> None:
    samples = {f"{i}.{end}": JPEG if end == "jpg" else b"%d" % i for i in (0, 1) for end in ("jpg", "cls")}
    for part in ("train", "val"):
        tar(root / f"{part}-0.tar", samples)
    (root / "classes.txt").write_text("cat\ncat\n")


def shard_names_in_latin_1(root: Path) -> None:
    shard_names_twice(root)
    (root / "classes.txt").write_bytes("chat\nbrebis égarée\n".encode("latin-1"))


def ids_in_latin_1(root: Path) -> None:
    write(ilsvrc(root) / IDS, "1 é\n".encode("latin-1"))


def id_of_other_digits(root: Path) -> None:
    write(ilsvrc(root) / IDS, "² n01\n".encode())


def cifar_label(root: Path) -> None:
    write(root / "data_batch_1.bin", bytes([10]) + bytes(3072))


def cifar_batch_missing(root: Path) -> None:
    write(root / "data_batch_1.bin", bytes([3]) + bytes(3072))


def cifar_pickle_of_something_else(root: Path) -> None:
    write(root / "data_batch_1", b"\x80\x02]q\x00.")


def idx_lengths(root: Path) -> None:
    for part in ("train", "t10k"):
        header = b"\0\0\x08\x03" + np.array([2, 4, 4], ">u4").tobytes()
        write(root / f"{part}-images-idx3-ubyte", header + bytes(32))
        write(root / f"{part}-labels-idx1-ubyte", b"\0\0\x08\x01" + np.array([3], ">u4").tobytes() + bytes(3))


CASES: list[tuple[Callable[[Path], None], str]] = [
    (missing, "there is no folder '{root}'; give one, or 'generated'"),
    (a_file, "there is no folder '{root}'; give one, or 'generated'"),
    (nothing, "{root} holds no images in a known form: IDX files"),
    (empty_class, "{root}/emu holds no images (.bmp, .gif, .jfif, .jpe, .jpeg, .jpg"),
    (one_class, "{root} has 1 class folder(s); at least two are needed"),
    (one_class_in_val, "{root}/val has 1 class folder(s); at least two are needed"),
    (other_classes, "{root}/train and {root}/val have different classes: dog, emu in one of them only"),
    (one_image, "{root}/emu has one image; two are needed, one to train on and one to hold out"),
    (no_ground_truth, f"the devkit's {Path(TRUTH).name} is needed in {{root}}/devkit"),
    (no_ids, "the devkit's meta.mat (or ILSVRC2012_ids.txt) is needed in {root}/devkit"),
    (short_ground_truth, f"{{root}}/{TRUTH} has 3 lines, but {{root}}/val has 4 images"),
    (words_for_ground_truth, f"{{root}}/{TRUTH} is not a list of numbers: "),
    (unknown_id, f"{{root}}/{TRUTH} names the ILSVRC2012_ID 77, which {{root}}/{IDS} does not have"),
    (unknown_synset, f"{{root}}/{TRUTH} has images of the synset n02, for which there is no {{root}}/train folder"),
    (damaged_ids, f"{{root}}/{IDS}, line 2: 'n02' is not `ILSVRC2012_ID WNID`"),
    (shard_without_images, "{root}/train-0.tar holds no images"),
    (shard_cut_off, "{root}/train-0.tar is truncated, or no uncompressed tar file: "),
    (
        shard_cut_between_members,
        "{root}/train-0.tar is truncated, or no uncompressed tar file: the zeros at the end are",
    ),
    (shard_that_is_none, "{root}/train-0.tar is truncated, or no uncompressed tar file: "),
    (shard_image_without_class, "{root}/train-0.tar: b.jpg has neither a .cls beside it nor a class folder around it"),
    (shard_class_in_words, "{root}/train-0.tar: a.cls holds b'cat', not a class number"),
    (shard_label_beyond_the_names, "a .cls in {root} says 3, but {root}/classes.txt names 2 classes, from 0"),
    (shard_class_is_an_identifier, "{root}/train-0.tar: a.cls holds b'1700000000', not a class number (0 … 99,999)"),
    (shard_class_of_twenty_digits, "{root}/train-0.tar: a.cls holds b'10000000000000000000', not a class number"),
    (shard_class_without_end, "{root}/train-0.tar: a.cls holds b'99999999999999999999', not a class number"),
    (shard_that_leads_back, "{root}/train-0.tar is truncated, or no uncompressed tar file: "),
    (shard_that_leads_back_from_a_sparse_member, "{root}/train-0.tar is truncated, or no uncompressed tar file: "),
    (shard_beyond_its_end, "{root}/train-0.tar is truncated, or no uncompressed tar file: "),
    (shard_names_twice, "{root}/classes.txt names 'cat' twice"),
    (shard_names_in_latin_1, "{root}/classes.txt is no text in UTF-8: "),
    (ids_in_latin_1, f"{{root}}/{IDS} is no text in UTF-8: "),
    (id_of_other_digits, f"{{root}}/{IDS}, line 1: '² n01' is not `ILSVRC2012_ID WNID`"),
    (shards_with_other_classes, "have different classes: b, c in one of them only"),
    (shards_of_two_kinds, "{root}: some images have a .cls beside them, others a class folder around them"),
    (shards_of_one_class, "the shards in {root} have one class; at least two are needed"),
    (shards_to_hold_out_only, "all shards in {root} are named as held-out ones; name those to train on train-….tar"),
    (cifar_label, "{root}/data_batch_1.bin has labels from 10 to 10; CIFAR-10 has 0 … 9"),
    (cifar_batch_missing, "{root} lacks data_batch_2.bin"),
    (cifar_pickle_of_something_else, "{root}/data_batch_1 is not a CIFAR-10 batch: "),
    (idx_lengths, "has images (2, 4, 4), {root}/train-labels-idx1-ubyte has labels (3,)"),
]


@pytest.mark.parametrize(("make", "message"), CASES, ids=[make.__name__ for make, _ in CASES])
def test_one_line_says_what_is_wrong(make: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    make(root)
    with pytest.raises(ValueError) as caught:
        data.load(str(root), (3, 24, 24))
    assert message.replace("{root}", str(root)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no image", JPEG[: len(JPEG) // 3]], ids=["empty", "text", "truncated"])
def test_an_unreadable_image_is_named(content: bytes, tmp_path: Path) -> None:
    root = class_tree(tmp_path / "photos", count=3)
    write(root / "dog" / "1.jpg", content)
    split = data.load(str(root), (3, 24, 24))
    with pytest.raises(ValueError, match=rf"^{root}/dog/1.jpg cannot be read as an image: [^\n]+$"):
        split.train.images(np.arange(len(split.train.labels)))


def test_many_different_classes_are_not_all_listed(tmp_path: Path) -> None:
    class_tree(tmp_path / "train", tuple(f"c{i:02}" for i in range(12)), count=1)
    class_tree(tmp_path / "val", ("c00", "c01"), count=1)
    with pytest.raises(ValueError, match="c02, c03, c04, c05, c06 and 5 more in one of them only"):
        data.load(str(tmp_path), (3, 24, 24))
