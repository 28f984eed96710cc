"""The paper's pipeline: windows, mirror images, PCA colour, ten crops, and what is measured on the training set."""

import json

import numpy as np
import pytest

from alexnet_np.data import InMemory, Pixels, measure
from alexnet_np.data.pixels import draw
from alexnet_np.ops.philox import stream_key, words

RANDOM = np.random.default_rng(0)
STORED, SEEN = 14, 10
SPARE = STORED - SEEN + 1


def images(count: int, side: int = STORED, channels: int = 3) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, channels, side, side), np.uint8)


def mean_image(side: int = STORED, channels: int = 3) -> np.ndarray:
    return RANDOM.uniform(90, 160, (channels, side, side)).astype(np.float32)


def numbers(count: int) -> np.ndarray:
    return np.arange(count)


def test_training_windows() -> None:
    """Each result is some window of (image − mean), mirrored or not; over many images every window turns up, evenly."""
    pixels = Pixels(mean_image(), crop=(SEEN, SEEN), mirror=True)
    data = images(2000)
    x = pixels.train(data, numbers(2000), seed=3, epoch=5)
    assert x.shape == (2000, 3, SEEN, SEEN) and x.dtype == np.float32 and x.flags.c_contiguous
    seen = np.zeros((SPARE, SPARE, 2), int)
    centred = data.astype(np.float32) - pixels.mean
    for top in range(SPARE):
        for left in range(SPARE):
            window = centred[:, :, top : top + SEEN, left : left + SEEN]
            for mirrored, candidate in enumerate((window, window[..., ::-1])):
                seen[top, left, mirrored] = (x == candidate).all(axis=(1, 2, 3)).sum()
    assert seen.sum() == 2000
    expected = 2000 / seen.size
    assert ((seen - expected) ** 2 / expected).sum() < 86  # χ² with 49 degrees of freedom: 0.1 %


def test_windows_that_are_not_square() -> None:
    pixels = Pixels(RANDOM.uniform(0, 255, (1, 9, 20)).astype(np.float32), crop=(9, 7))
    data = RANDOM.integers(0, 256, (40, 1, 9, 20), np.uint8)
    x = pixels.train(data, numbers(40), seed=0, epoch=0)
    _, left, _, _ = draw(numbers(40), (1, 14), 0, 0)
    assert set(left) - {0}
    for i in range(40):
        np.testing.assert_array_equal(
            x[i], data[i, :, :, left[i] : left[i] + 7] - pixels.mean[:, :, left[i] : left[i] + 7]
        )


def test_an_image_depends_on_seed_epoch_and_index_only() -> None:
    """Not on its batch or the order; another seed, epoch or index changes it."""
    pixels = Pixels(mean_image(), 0.5, (SEEN, SEEN), True, RANDOM.standard_normal((3, 3)) * 40)
    data, order = images(200), RANDOM.permutation(200)
    whole = pixels.train(data, numbers(200), seed=1, epoch=2)
    np.testing.assert_array_equal(pixels.train(data[order], order, seed=1, epoch=2), whole[order])
    for part in np.array_split(order, 7):
        np.testing.assert_array_equal(pixels.train(data[part], part, seed=1, epoch=2), whole[part])
    for changed in ({"seed": 2, "epoch": 2}, {"seed": 1, "epoch": 3}):
        assert (pixels.train(data, numbers(200), **changed) != whole).any(axis=(1, 2, 3)).all()
    assert (pixels.train(data, numbers(200) + 200, seed=1, epoch=2) != whole).any(axis=(1, 2, 3)).all()


def test_drawn_numbers() -> None:
    """α is normal, its three parts and the windows know nothing of each other, and the masks of dropout are others."""
    top, left, mirrored, alpha = draw(numbers(40_000), (33, 33), 7, 1)
    assert alpha.shape == (40_000, 3) and np.isfinite(alpha).all()
    np.testing.assert_allclose(alpha.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(alpha.std(axis=0), 1, atol=0.015)
    np.testing.assert_allclose((alpha**4).mean(axis=0), 3, atol=0.2)
    together = np.corrcoef(np.stack([top, left, mirrored, *alpha.T, *(alpha**2).T]))
    assert abs(together - np.eye(9)).max() < 0.025
    assert (top.min(), top.max(), left.min(), left.max()) == (0, 32, 0, 32) and 0.49 < mirrored.mean() < 0.51
    dropout = words(0, 4 * 1000, stream_key(7, 0, 1), np).reshape(1000, 4)
    assert (dropout[:, 0].astype(np.uint64) * np.uint64(33) >> np.uint64(32) == top[:1000]).mean() < 0.1


def coloured(count: int) -> InMemory:
    """Images whose three channels go together as in a photograph."""
    mixing = np.array([[30.0, 8, 3], [28, -2, -6], [25, -9, 4]])
    pixels = 120 + np.einsum("cd,ndhw->nchw", mixing, RANDOM.standard_normal((count, 3, 8, 8)))
    return InMemory(np.clip(pixels, 0, 255).astype(np.uint8), numbers(count) % 2, ["a", "b"])


def test_colour_shifts_follow_the_data() -> None:
    """What is added has the covariance of the data's RGB values times 0.1², is one vector for a whole image, and is
    drawn anew in each epoch: Σ pᵢ αᵢ √λᵢ."""
    data = coloured(300)
    plain, pixels = measure(data, scale=False), measure(data, scale=False, colour=0.1)
    chosen = RANDOM.integers(0, 300, 20_000)
    added = []
    for epoch in range(2):
        stored = data.pixels[chosen]
        shift = pixels.train(stored, numbers(20_000), seed=0, epoch=epoch) - plain(stored)
        np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :, :1, :1], shift.shape), atol=1e-4)
        added.append(shift[:, :, 0, 0])
    flat = data.pixels.transpose(1, 0, 2, 3).reshape(3, -1).astype(float)
    expected = 0.01 * np.cov(flat)
    np.testing.assert_allclose(np.cov(added[0].T), expected, rtol=0.05, atol=0.02 * expected.max())
    np.testing.assert_allclose(added[0].mean(axis=0), 0, atol=0.1)
    assert abs(np.corrcoef(added[0][:, 0], added[1][:, 0])[0, 1]) < 0.03
    assert 1 < np.sqrt(expected[0, 0]) < 10  # some levels of 256: visible, not destroying
    components = pixels.colour
    assert components is not None
    np.testing.assert_allclose(components.T @ components, np.diag(np.diag(components.T @ components)), atol=1e-6)


def test_colour_is_only_added_in_training() -> None:
    data = coloured(20)
    pixels = measure(data, scale=True, crop=(6, 6), colour=0.1)
    plain = measure(data, scale=True, crop=(6, 6))
    np.testing.assert_array_equal(pixels(data.pixels), plain(data.pixels))
    np.testing.assert_array_equal(pixels.ten_crops(data.pixels), plain.ten_crops(data.pixels))


def test_scale_comes_last() -> None:
    data = coloured(20)
    one, other = (measure(data, scale=s, crop=(6, 6), mirror=True, colour=0.1) for s in (False, True))
    x = one.train(data.pixels, numbers(20), seed=0, epoch=0)
    np.testing.assert_allclose(
        other.train(data.pixels, numbers(20), seed=0, epoch=0), x * other.scale, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(("stored", "seen"), [((14, 14), (10, 10)), ((15, 12), (8, 12)), ((256, 256), (227, 227))])
def test_ten_crops(stored: tuple[int, int], seen: tuple[int, int]) -> None:
    """Four corners, the centre, and all five mirrored; the mean image is subtracted before, not after the cut."""
    data = RANDOM.integers(0, 256, (3, 2, *stored), np.uint8)
    mean = RANDOM.uniform(0, 255, (2, *stored)).astype(np.float32)
    pixels = Pixels(mean, 0.25, seen)
    centred = (data - mean) * np.float32(0.25)
    (h, w), (rows, columns) = seen, (stored[0] - seen[0], stored[1] - seen[1])
    crops = pixels.ten_crops(data)
    assert crops.shape == (10, 3, 2, h, w) and crops.dtype == np.float32
    np.testing.assert_array_equal(crops[0], centred[..., :h, :w])
    np.testing.assert_array_equal(crops[1], centred[..., :h, columns:])
    np.testing.assert_array_equal(crops[2], centred[..., rows:, :w])
    np.testing.assert_array_equal(crops[3], centred[..., rows:, columns:])
    centre = centred[..., rows // 2 : rows // 2 + h, columns // 2 : columns // 2 + w]
    np.testing.assert_array_equal(crops[4], centre)
    np.testing.assert_array_equal(pixels(data), centre)
    np.testing.assert_array_equal(crops[5:], crops[:5, ..., ::-1])


def test_measured_values() -> None:
    """Mean image, deviation and components against NumPy on the whole array, and the same for any number of threads."""
    data = coloured(50)
    wide = data.pixels.astype(float)
    pixels = measure(data, scale=True, colour=0.1, seed=4)
    np.testing.assert_allclose(pixels.mean, wide.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(pixels.scale, 1 / (wide - wide.mean(axis=0)).std(), rtol=1e-9)
    components = pixels.colour
    assert components is not None
    flat = wide.transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(components @ components.T, np.cov(flat, bias=True), rtol=1e-9)
    threaded = measure(data, scale=True, colour=0.1, seed=4, threads=3)
    np.testing.assert_array_equal(threaded.mean, pixels.mean)
    np.testing.assert_array_equal(threaded.colour, components)
    assert threaded.scale == pixels.scale


def test_kept_with_a_checkpoint() -> None:
    """Through tensors and JSON, what comes back computes the same bits."""
    data = coloured(30)
    for pixels in (
        measure(data, scale=True, crop=(5, 6), mirror=True, colour=0.2),
        measure(data, scale=False),
    ):
        about = json.loads(json.dumps(pixels.about()))
        back = Pixels.restore({name: array.copy() for name, array in pixels.tensors().items()}, about)
        assert (back.scale, back.crop, back.mirror, back.colour_std) == (
            pixels.scale,
            pixels.crop,
            pixels.mirror,
            pixels.colour_std,
        )
        for epoch in range(3):
            one, other = (p.train(data.pixels, numbers(30), seed=9, epoch=epoch) for p in (pixels, back))
            np.testing.assert_array_equal(one, other)
        assert all(name.startswith("pixels.") for name in pixels.tensors())


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="a crop of 16×10 does not fit into images of 14×14"):
        Pixels(mean_image(), crop=(16, 10))
    with pytest.raises(ValueError, match="PCA colour needs images with 3 channels, these have 1"):
        measure(InMemory(images(4, channels=1), np.array([0, 1, 0, 1]), ["a", "b"]), scale=False, colour=0.1)
    with pytest.raises(ValueError, match="PCA colour needs images with 3 channels, these have 1"):
        Pixels(mean_image(channels=1), colour=np.eye(3))
    with pytest.raises(ValueError, match="ten crops need images stored larger than the network's 14×14"):
        Pixels(mean_image()).ten_crops(images(2))
    with pytest.raises(ValueError, match="there are no images to train on"):
        measure(InMemory(images(0), numbers(0), ["a"]), scale=False)
