"""Batches: their order, the threads ahead of the step, and what errors and interruptions leave behind."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from image_files import class_tree, write

from alexnet_np import data
from alexnet_np.data import Batch, Pixels, Split, batches, generated, measure, per_epoch, prefetch
from alexnet_np.data import loader as loading


@pytest.fixture
def photos(tmp_path: Path) -> Split:
    return data.load(str(class_tree(tmp_path / "photos", count=20)), (3, 16, 16), store=20)


def loading_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("loader")]


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other) > 0
    for mine, its in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine.x, its.x)
        np.testing.assert_array_equal(mine.labels, its.labels)


def test_batches_follow_seed_and_epoch() -> None:
    split = generated.load(train=50, test=12)
    pixels = measure(split.train, scale=True)
    whole = list(batches(split.train, pixels, 8, seed=1, epoch=3))
    assert len(whole) == per_epoch(split.train, 8) == 6
    assert_same(whole[4:], list(batches(split.train, pixels, 8, seed=1, epoch=3, start=4)))
    assert list(batches(split.train, pixels, 8, seed=1, epoch=3, start=6)) == []
    for other in ({"seed": 1, "epoch": 4}, {"seed": 2, "epoch": 3}):
        assert not np.array_equal(whole[0].labels, next(batches(split.train, pixels, 8, **other)).labels)


def test_an_epoch_has_every_image_once() -> None:
    """Images that carry their number come out once each, with their own label."""
    count = 60
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 4), np.uint8)
    images = data.InMemory(pixels, np.arange(count) % 7, list("abcdefg"))
    epoch = list(batches(images, Pixels(np.zeros((3, 4, 4), np.float32)), 12, seed=0, epoch=0, threads=2))
    numbers = np.concatenate([batch.x[:, 0, 0, 0] for batch in epoch]).astype(int)
    np.testing.assert_array_equal(np.sort(numbers), np.arange(count))
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in epoch]), numbers % 7)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_change_nothing(photos: Split, threads: int) -> None:
    """Decoding, windows, mirror images and colours: the same bits as from one thread, also from the middle on."""
    pixels = measure(photos.train, scale=True, crop=(16, 16), mirror=True, colour=0.1)
    one = list(batches(photos.train, pixels, 5, seed=1, epoch=2))
    assert_same(one, list(batches(photos.train, pixels, 5, seed=1, epoch=2, threads=threads)))
    assert_same(one[3:], list(batches(photos.train, pixels, 5, seed=1, epoch=2, start=3, threads=threads)))
    assert len({batch.x.tobytes() for batch in one}) == len(one)


@pytest.mark.parametrize("threads", [1, 3])
def test_memory_is_bounded(threads: int) -> None:
    """However slow the step, no more than threads + 1 results wait; what was taken came in order."""
    begun: list[int] = []

    def job(item: int) -> int:
        begun.append(item)
        return item * item

    for taken, (result, waited) in enumerate(prefetch(job, iter(range(40)), threads), 1):
        assert result == (taken - 1) ** 2 and waited >= 0
        assert len(begun) <= taken + threads + 1
    assert sorted(begun) == list(range(40)) and not loading_threads()


def test_threads_work_at_once() -> None:
    """Three jobs that each wait for the other two."""
    together = threading.Barrier(3, timeout=30)
    assert len([result for result, _ in prefetch(lambda _: together.wait(), range(6), 3)]) == 6


def test_an_error_comes_in_its_turn(photos: Split) -> None:
    """With the file's name, after the batches before it, and the threads end."""
    pixels = measure(photos.train, scale=False)
    good = list(batches(photos.train, pixels, 5, seed=0, epoch=0))
    order = np.random.default_rng((0, 0)).permutation(len(photos.train.labels))
    bad = Path(photos.train.paths[order[12]])  # in the third batch
    bad.write_bytes(b"no image")
    taken = []
    with pytest.raises(ValueError, match=rf"{bad} cannot be read as an image: unknown format"):
        for batch in batches(photos.train, pixels, 5, seed=0, epoch=0, threads=2):
            taken.append(batch)
    assert_same(good[:2], taken)
    assert not loading_threads()


def test_a_file_that_is_gone_is_an_error_even_when_bad_images_are_skipped(tmp_path: Path) -> None:
    """A disk that fails is no bad image."""
    root = class_tree(tmp_path / "photos", count=4)
    split = data.load(str(root), (3, 16, 16), on_bad_image="skip")
    Path(split.train.paths[2]).unlink()
    with pytest.raises(FileNotFoundError, match=split.train.paths[2]):
        split.train.read(np.arange(4))


def test_bad_images_are_skipped_and_counted(tmp_path: Path) -> None:
    root = class_tree(tmp_path / "photos", count=10)
    split = data.load(str(root), (3, 16, 16), on_bad_image="skip")
    assert len(split.train.labels) == 18 and not split.train.skipped
    for i in (3, 4):
        write(root / "cat" / f"{i}.jpg", b"no image")
    pixels = measure(split.train, scale=False)
    assert set(split.train.skipped) == {str(root / "cat" / f"{i}.jpg") for i in (3, 4)}
    epoch = list(batches(split.train, pixels, 6, seed=0, epoch=0, threads=2))
    labels = np.concatenate([batch.labels for batch in epoch])
    assert sum(len(batch.x) for batch in epoch) == len(labels) == 16
    assert list(np.bincount(labels)) == [7, 9]
    with pytest.raises(ValueError, match=r"(3|4).jpg cannot be read as an image"):
        split.train.images(np.arange(18))
    for path in split.train.paths:
        write(Path(path), b"no image")
    with pytest.raises(ValueError, match=r"none of a batch's 5 images can be read; the first that could not: .*\.jpg"):
        next(batches(split.train, pixels, 5, seed=0, epoch=0))
    assert not loading_threads()


def test_closing_ends_the_threads() -> None:
    """A loop that is left early drops what has not begun."""
    begun: list[int] = []
    ahead = prefetch(begun.append, range(1000), 2)
    for _ in range(3):
        next(ahead)
    assert loading_threads()
    ahead.close()
    assert not loading_threads() and len(begun) <= 6


def test_ctrl_c_while_waiting() -> None:
    """The interrupt ends the wait, and the threads end with it."""
    never = threading.Event()

    def job(item: int) -> int:
        if item == 4:
            os.kill(os.getpid(), signal.SIGINT)
            never.wait(0.5)
        return item

    taken = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            for result, _ in prefetch(job, range(1000), 1):
                taken.append(result)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(taken) <= 4 and taken == list(range(len(taken))) and not loading_threads()


def test_waiting_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds between asking for a result and getting it, by the clock."""
    clock = iter(range(0, 1000, 1))
    monkeypatch.setattr(loading.time, "perf_counter", lambda: float(next(clock)) ** 2)
    assert [waited for _, waited in prefetch(lambda x: x, range(3), 1)] == [1, 5, 9]


def test_what_does_not_fit() -> None:
    split = generated.load(train=12, test=12)
    pixels = measure(split.train, scale=True)
    with pytest.raises(ValueError, match="12 training images do not fill a batch of 13; choose a smaller batch"):
        next(batches(split.train, pixels, 13, seed=0, epoch=0))
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        next(batches(split.train, pixels, 4, seed=0, epoch=0, threads=0))
    assert list(prefetch(str, [], 2)) == []
