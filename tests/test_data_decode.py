"""Decoding: every mode, depth and orientation, damaged bytes, and the two decoders against each other."""

import io
import os
import struct
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded, picture
from PIL import Image

from alexnet_np.data import decode as decoding
from alexnet_np.data.decode import ORIENTATION, decode, fit

RANDOM = np.random.default_rng(1)
REAL = Path(os.environ.get("ALEXNET_DATA", ""))
real = pytest.mark.skipif("ALEXNET_DATA" not in os.environ, reason="ALEXNET_DATA is not set: no real images here")


def shown(content: bytes, side: int, channels: int = 3) -> np.ndarray:
    return decode(content, "it", (channels, side, side)).astype(float)


MODES = [("JPEG", m) for m in ("L", "RGB", "CMYK")] + [("PNG", m) for m in ("1", "L", "LA", "P", "RGB", "RGBA")]


@pytest.mark.parametrize(("form", "mode"), MODES)
def test_modes_show_the_same_picture(form: str, mode: str) -> None:
    """A smooth picture keeps its look through every mode that the format has, and as grey."""
    rows, columns = np.mgrid[0:64, 0:64]
    smooth = Image.fromarray(np.stack([2 * rows + 60, 2 * columns + 60, rows + columns + 60], -1).astype(np.uint8))
    content = encoded(smooth.convert(mode), form)
    grey = np.asarray(smooth.convert("L"), float)[None]
    expected = np.repeat(grey, 3, 0) if mode in ("L", "LA", "1") else np.asarray(smooth, float).transpose(2, 0, 1)
    few_colours = mode in ("1", "P")
    for channels, picture_ in ((3, expected), (1, grey)):
        error = abs(blurred(shown(content, 64, channels)) - blurred(picture_))[:, 8:56, 8:56]
        assert error.mean() < (14 if few_colours else 2)


def blurred(x: np.ndarray) -> np.ndarray:
    """The mean of 7 × 7 pixels, in which dithering vanishes."""
    return np.mean([np.roll(x, (i, j), (1, 2)) for i in range(-3, 4) for j in range(-3, 4)], axis=0)


def test_sixteen_bits_keep_their_range() -> None:
    """A 16-bit image is scaled to 8 bits, not cut off at 255."""
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    assert abs(shown(encoded(Image.fromarray(ramp), "PNG"), 64, 1) - ramp / 257).max() <= 1
    assert abs(shown(encoded(Image.fromarray(ramp), "TIFF"), 64, 3) - ramp / 257).max() <= 1


@pytest.mark.parametrize("top", [1, 255, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize("dtype", ["int32", "uint32", "float32"])
def test_values_tell_the_range_of_tiff_files(dtype: str, top: int) -> None:
    """Of 32-bit integers and floats: the smallest usual range that holds them, which a warning says."""
    grey = RANDOM.integers(0, 256, (20, 20))
    grey[0, 0] = 255 if top == 1 else 200  # not the whole range is used
    values = (grey / 255 * top).round(9 if dtype == "float32" else 0)
    with pytest.warns(UserWarning, match=rf"^it: pixels are [-\w ]+; 0 … {top} became black … white$"):
        x = shown(tiff(values.astype(dtype)), 20, 1)[0]
    if top > 1 or dtype[0] == "f":
        np.testing.assert_array_equal(x, grey)
    else:
        np.testing.assert_array_equal(x, np.where(values == 1, 255, 0))


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("int32", -7, 93), ("float32", -2.5, 2.5), ("uint32", 5, 2**32 - 1)]
)
def test_an_unusual_range_goes_from_the_lowest_to_the_highest_value(dtype: str, low: float, high: float) -> None:
    values = np.linspace(low, high, 400).reshape(20, 20).astype(dtype)
    with pytest.warns(UserWarning, match="the lowest … highest of each image became black … white"):
        x = shown(tiff(values), 20)
    exact = (values.astype(float) - low) / (high - low) * 255
    assert abs(x - exact).max() <= 0.5 + 1e-4
    with pytest.raises(ValueError, match="it cannot be read as an image: its pixels are not all finite numbers"):
        shown(tiff(np.array([[0, np.nan]], np.float32)), 20)


def tiff(values: np.ndarray) -> bytes:
    """A grey TIFF file of these numbers, of a type that Pillow reads and may not write."""
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    rows, columns = values.shape
    tags = {256: columns, 257: rows, 258: 8 * values.itemsize, 259: 1, 262: 1, 273: 138, 277: 1, 278: rows, 339: kind}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in {**tags, 279: values.nbytes}.items()]
    directory = struct.pack("<H", len(entries)) + b"".join(sorted(entries)) + bytes(4)
    return (b"II*\0" + struct.pack("<I", 8) + directory).ljust(138, b"\0") + values.tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_transparent_pixels_are_white(mode: str) -> None:
    """Whatever colour hides below them; every way in which a PNG says it."""
    pixels = np.full((16, 16, 4), (10, 10, 10, 255), np.uint8)
    pixels[:8] = 90, 90, 90, 0
    image = Image.fromarray(pixels)
    if mode in ("RGBA", "LA"):
        content = encoded(image.convert(mode), "PNG")
    elif mode == "P":
        content = encoded(
            image.convert("L").convert("P"), "PNG", transparency=bytes(0 if i == 90 else 255 for i in range(256))
        )
    else:
        content = encoded(image.convert(mode), "PNG", transparency=90 if mode == "L" else (90, 90, 90))
    for channels in (1, 3):
        x = shown(content, 16, channels)
        assert (x[:, :8] == 255).all() and (x[:, 8:] == 10).all()


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, form: str) -> None:
    """What a camera says about all eight ways to hold it is undone."""
    upright = np.zeros((48, 48, 3), np.uint8)
    upright[:16], upright[:, :16, 0], upright[40:, 40:, 1] = 200, 120, 250  # no turn or mirror image is like another
    undone = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if form == "JPEG" else {}
    content = encoded(Image.fromarray(np.ascontiguousarray(undone(upright))), form, exif=exif, **options)
    assert abs(shown(content, 48) - upright.transpose(2, 0, 1)).mean() < 2


def test_format_is_told_from_the_content() -> None:
    """ILSVRC has PNG files named .JPEG."""
    image = picture(size=(20, 20))
    np.testing.assert_array_equal(shown(encoded(image, "PNG"), 20), np.asarray(image).transpose(2, 0, 1))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_damaged_bytes_are_an_image_or_a_named_error(form: str) -> None:
    """Cut off anywhere, or with bytes changed: pixels of the right shape, or a ValueError with the name."""
    whole = encoded(picture(size=(50, 37)), form)
    refused = 0
    for trial in range(60):
        if trial % 2:
            damaged = whole[: int(RANDOM.integers(0, len(whole) * 3 // 4))]
        else:
            content = np.frombuffer(whole, np.uint8).copy()
            content[RANDOM.integers(0, len(content), 20)] = RANDOM.integers(0, 256, 20)
            damaged = content.tobytes()
        try:
            assert decode(damaged, "holiday.jpg", (3, 24, 24)).shape == (3, 24, 24)
        except ValueError as error:
            refused += 1
            assert str(error).startswith("holiday.jpg cannot be read as an image: ") and "\n" not in str(error)
    assert refused >= 10


def test_what_pillow_warns_of_has_the_name_of_the_file() -> None:
    """In several threads at once, each with its own file; outside of a decoding nothing is added."""
    twice = struct.pack("<HHIHH", ORIENTATION, 3, 2, 1, 1)  # two orientations, where one is expected
    header = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + twice + bytes(4)
    jpeg = encoded(picture())
    odd = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(header) + 2) + header + jpeg[2:]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=decode, args=(odd, f"{i}.jpg", (3, 8, 8))) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        Image.open(io.BytesIO(odd)).getexif().get(ORIENTATION)
    said = [str(warning.message) for warning in caught]
    plain = said.pop()
    assert plain.startswith("Metadata Warning, tag 274")
    assert sorted(set(said)) == [f"{i}.jpg: {plain}" for i in range(8)]


def test_an_image_that_says_it_is_far_larger_than_its_bytes(tmp_path: Path) -> None:
    """Is refused before memory is taken for it; a large black one is none of these."""
    bitmap = bytearray(encoded(picture(size=(40, 30)), "BMP"))
    struct.pack_into("<ii", bitmap, 18, 13_000, 13_000)
    with pytest.raises(ValueError, match=r"it says that it has 13000×13000 pixels in 3654 bytes"):
        shown(bytes(bitmap), 20)
    with pytest.raises(ValueError, match="it cannot be read as an image: "):
        shown(b"P6 0 7 255\n", 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not shown(encoded(Image.new("1", (10_000, 9_000)), "PNG"), 20).any()


def test_fit_is_resizing_and_then_the_centre() -> None:
    """Computing only the window gives the pixels of the whole resized image, for any shape."""
    for width, height, rows, columns in ((300, 200, 64, 64), (101, 333, 48, 48), (33, 20, 64, 64), (90, 70, 40, 24)):
        image = picture(size=(width, height))
        scale = max(rows / height, columns / width)
        size = max(columns, round(width * scale)), max(rows, round(height * scale))
        left, top = (size[0] - columns) // 2, (size[1] - rows) // 2
        whole = image.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + columns, top + rows))
        difference = np.abs(np.asarray(fit(image, rows, columns), int) - np.asarray(whole, int))
        assert difference.max() <= 1
    exact = picture(size=(91, 64))
    np.testing.assert_array_equal(np.asarray(fit(exact, 64, 64)), np.asarray(exact)[:, 13:77])


def test_resizing_is_antialiased() -> None:
    """A fine checkerboard becomes even grey."""
    board = np.indices((512, 512)).sum(axis=0) % 2 * 255
    assert np.ptp(shown(encoded(Image.fromarray(board.astype(np.uint8)), "PNG"), 64)) <= 2


def test_large_jpegs_are_reduced_while_decoded() -> None:
    """With a result close to that of decoding them whole."""
    rows, columns = np.mgrid[0:800, 0:900]
    wave = 128 + 60 * np.sin(rows / 40) + 60 * np.cos(columns / 55)
    image = Image.fromarray(wave.astype(np.uint8)).convert("RGB")
    small = shown(encoded(image, "JPEG", quality=95), 64)
    assert abs(small - np.asarray(fit(image, 64, 64), float).transpose(2, 0, 1)).mean() < 1.5


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
def test_both_decoders_give_the_same_pixels(
    mode: str, subsampling: int, progressive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of images larger, smaller, of the wanted size or a pixel beside it, turned or not, as RGB and as grey."""
    pytest.importorskip("simplejpeg")
    exif = Image.Exif()
    options = {"subsampling": subsampling, "progressive": progressive, "quality": 80, "exif": exif}
    files = []
    for size in ((75, 101), (64, 64), (80, 64), (64, 81), (65, 90), (90, 65), (63, 90), (30, 40), (150, 140)):
        for exif[0x0112] in (1, 6):
            files.append(encoded(picture(mode, size), "JPEG", **options))
    assert decoding.decoder().startswith("simplejpeg")
    fast = [shown(content, 64, channels) for content in files for channels in (1, 3)]
    monkeypatch.setattr(decoding, "_simplejpeg", lambda: None)
    assert decoding.decoder().startswith("Pillow")
    slow = [shown(content, 64, channels) for content in files for channels in (1, 3)]
    np.testing.assert_array_equal(np.concatenate(fast), np.concatenate(slow))


@real
def test_both_decoders_on_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("simplejpeg")
    paths = sorted((REAL / "imagenette224" / "val").rglob("*.JPEG"))[::10]
    assert len(paths) == 50
    fast = [shown(path.read_bytes(), 224) for path in paths]
    monkeypatch.setattr(decoding, "_simplejpeg", lambda: None)
    for path, one in zip(paths, fast, strict=True):
        np.testing.assert_array_equal(one, shown(path.read_bytes(), 224), err_msg=str(path))
