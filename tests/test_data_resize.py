"""Copies at another size, public sets and CIFAR-10 from JPEGs: what is written and left alone, what goes wrong."""

import functools
import hashlib
import http.server
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded, ilsvrc, picture, write
from PIL import Image

from alexnet_np import data
from alexnet_np.cli import main
from alexnet_np.data import fetch as fetching
from alexnet_np.data.fetch import Public, fetch
from alexnet_np.data.resize import resize

REAL = Path(os.environ.get("ALEXNET_DATA", ""))
real = pytest.mark.skipif("ALEXNET_DATA" not in os.environ, reason="ALEXNET_DATA is not set: no real images here")


def content(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes, with pictures of several sizes and modes."""
    root = tmp_path / "photos"
    for i, (mode, size) in enumerate([("RGB", (90, 60)), ("L", (50, 80)), ("CMYK", (64, 64)), ("RGB", (20, 33))]):
        write(root / "train" / "cat" / f"{i}.JPEG", encoded(picture(mode, size)))
        write(root / "train" / "dog" / f"{i}.png", encoded(picture("RGB", size), "PNG"))
        write(root / "val" / "cat" / f"{i}.jpg", encoded(picture(mode, size)))
        write(root / "val" / "dog" / f"{i}.jpg", encoded(picture("RGB", (48, 70 + i))))
    return root


def test_shorter_side_and_names(photos: Path, tmp_path: Path) -> None:
    """Every image has the wanted shorter side and its proportions; folders stay, the source is untouched."""
    before, out = content(photos), tmp_path / "small"
    counts = resize(photos, out, side=48, threads=2)
    assert content(photos) == before
    assert (counts.resized, counts.kept, counts.there, counts.skipped) == (12, 4, 0, {})
    for name in before:
        made = out / (name + ".jpg" if name.endswith("png") else name)
        with Image.open(made) as image, Image.open(photos / name) as source:
            assert image.format == "JPEG" and min(image.size) == 48 and image.mode in ("RGB", "L")
            assert abs(max(image.size) - 48 * max(source.size) / min(source.size)) <= 0.5
            assert (image.width > image.height) == (source.width > source.height)
    assert content(out)["val/dog/2.jpg"] == before["val/dog/2.jpg"], "another compression could only harm"
    assert len(content(out)) == len(before) + 1
    split = data.load(str(out), (3, 48, 48))
    assert split.train.classes == ["cat", "dog"] and len(split.train.labels) == 8 and not split.test.skipped


def test_training_on_a_copy_is_nearly_training_on_the_source(photos: Path, tmp_path: Path) -> None:
    """Decoding from the copy gives the pixels of decoding from the source, but for the second compression."""
    resize(photos, tmp_path / "small", side=32, quality=95)
    one, other = (data.load(str(root), (3, 32, 32)).test for root in (photos, tmp_path / "small"))
    apart = abs(one.images(np.arange(8)).astype(float) - other.images(np.arange(8)))
    assert apart.mean() < 12  # noise is the worst case of a JPEG; 73 between two pictures of it


def test_an_interrupted_copy_goes_on(photos: Path, tmp_path: Path) -> None:
    """Nothing half-written is left, what is there is not made again, and the end is the same."""
    whole, out = tmp_path / "whole", tmp_path / "small"
    resize(photos, whole, side=24)

    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resize(photos, out, side=24, tell=interrupt, threads=2)
    part = content(out)
    assert 5 < len(part) < len(content(whole)) and part.items() <= content(whole).items()
    (out / "train" / "cat" / "0.JPEG.partial").write_bytes(b"a killed run leaves this")
    counts = resize(photos, out, side=24)
    assert counts.there == len(part) - 1 and counts.there + counts.resized == 16
    assert {k: v for k, v in content(out).items() if not k.endswith("partial")} == content(whole)


def test_a_full_disk(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it, and no half file is left that a later run would take for a whole one."""

    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device", str(path))

    resize(photos, tmp_path / "small", side=24)
    victim = tmp_path / "small" / "val" / "dog" / "1.jpg"
    victim.unlink()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device"):
        resize(photos, tmp_path / "small", side=24)
    assert not victim.exists() and not list((tmp_path / "small").rglob("*.partial"))


def test_ilsvrc_layout_is_kept(tmp_path: Path) -> None:
    """With the devkit, so that the copy can be loaded like the source."""
    root = ilsvrc(tmp_path / "full")
    counts = resize(root, tmp_path / "small", side=24)
    assert (counts.resized, counts.copied) == (13, 2)
    one, other = (data.load(str(r), (3, 24, 24)) for r in (root, tmp_path / "small"))
    for before, after in zip(one, other, strict=True):
        np.testing.assert_array_equal(before.labels, after.labels)
        assert [Path(p).name for p in before.paths] == [Path(p).name for p in after.paths]


def test_bad_images(photos: Path, tmp_path: Path) -> None:
    bad = write(photos / "val" / "cat" / "1.jpg", b"no image")
    write(photos / "val" / "cat" / "clip.mp4", b"?")
    with pytest.raises(ValueError, match=f"{bad} cannot be read as an image"):
        resize(photos, tmp_path / "one")
    counts = resize(photos, tmp_path / "other", on_bad_image="skip")
    assert [Path(name).name for name in counts.skipped] == ["clip.mp4", "1.jpg"] and counts.resized == 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "small"], "there is no folder 'nowhere'"),
        (["photos", "photos"], "photos and photos must be folders apart: the source is never written to"),
        (["photos", "photos/small"], "must be folders apart"),
        (["photos/train", "photos"], "must be folders apart"),
        (["photos", "busy"], "busy exists and was not made by `data resize`; choose another folder"),
        (["photos", "busy/file.txt"], "file.txt exists and was not made by `data resize`"),
        (["busy", "small"], "busy holds no images (.bmp"),
        (["photos", "made", "--side", "30"], "made was made with {'side': 24, 'quality': 90}, not {'side': 30, "),
        (["photos", "small", "--side", "0"], "side must be at least 1, got 0"),
        (["photos", "small", "--quality", "99"], "side must be at least 1 and quality in 1 … 95, got 256 and 99"),
        (["photos", "small", "--threads", "0"], "threads must be at least 1, got 0"),
        (["twins", "small"], "two images of twins would become small/a.png.jpg; rename one"),
    ],
)
def test_one_line_for_a_mistake(
    arguments: list[str],
    message: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "busy" / "file.txt", b"mine")
    write(tmp_path / "twins" / "a.png", encoded(picture(), "PNG"))
    write(tmp_path / "twins" / "a.png.jpg")
    resize(photos, tmp_path / "made", side=24)
    before = content(tmp_path)
    assert main(["data", "resize", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("alexnet-np: ") and message in lines[0]
    assert {k: v for k, v in content(tmp_path).items() if not k.startswith("small/")} == before


def test_on_the_command_line(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, what was left out, and which decoder ran."""
    write(photos / "val" / "cat" / "1.jpg", b"no image")
    command = ["data", "resize", str(photos), str(tmp_path / "small"), "--side", "48", "--on-bad-image", "skip"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert f"left out: {photos}/val/cat/1.jpg cannot be read as an image: unknown format" in text
    assert "11 images resized, 4 kept as they were, 0 tables copied, 0 there before, 1 files left out" in text
    assert f"JPEG by {data.decoder()}" in text
    assert main(command) == 0
    assert "0 images resized, 0 kept as they were, 0 tables copied, 15 there before" in capsys.readouterr().out


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served as the publisher of 'fashion-mnist' (one file) and of 'cifar10' (an archive)."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    folder = tmp_path / "server"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    files = {"one.gz": b"content of one", "all.tar.gz": buffer.getvalue()}
    for name, file in files.items():
        write(folder / name, file)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{serving.server_port}/"
        hashes = {name: f"md5:{hashlib.md5(file).hexdigest()}" for name, file in files.items()}
        monkeypatch.setitem(fetching.SETS, "fashion-mnist", Public(url, {"one.gz": hashes["one.gz"]}))
        monkeypatch.setitem(fetching.SETS, "cifar10", Public(url, {"all.tar.gz": hashes["all.tar.gz"]}))
        yield folder
        serving.shutdown()
        thread.join()


def test_fetch(server: Path, tmp_path: Path) -> None:
    """Files arrive and archives are unpacked; what is there is not loaded again; a damaged one is."""
    out = tmp_path / "sets"
    assert fetch("fashion-mnist", out) == [out / "one.gz"]
    assert (out / "one.gz").read_bytes() == b"content of one"
    fetch("cifar10", out)
    assert (out / "cifar-10-batches-bin" / "test_batch.bin").read_bytes() == b"abc"
    (out / "one.gz").write_bytes(b"damaged")
    fetch("fashion-mnist", out)
    assert (out / "one.gz").read_bytes() == b"content of one"
    (server / "one.gz").unlink()
    fetch("fashion-mnist", out)


def test_fetch_checks_the_hash(server: Path, tmp_path: Path) -> None:
    (server / "one.gz").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"hash of downloaded file \(one.gz\) does not match"):
        fetch("fashion-mnist", tmp_path / "sets")
    assert not (tmp_path / "sets" / "one.gz").exists()


def test_fetch_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that says so."""
    monkeypatch.setitem(fetching.SETS, "cifar10", Public("http://127.0.0.1:9/", {"all.tar.gz": "md5:0"}))
    assert main(["data", "fetch", "cifar10", str(tmp_path / "sets")]) == 2
    error = "http://127.0.0.1:9/all.tar.gz cannot be loaded (ConnectionError): is there a network connection?"
    assert capsys.readouterr().err == f"alexnet-np: {error}\n"
    with pytest.raises(ValueError, match="unknown set 'mnist'; the sets are fashion-mnist, cifar10"):
        fetch("mnist", tmp_path)
