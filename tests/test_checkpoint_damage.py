"""Checkpoints that are not what was written: each byte counts, and forged values end in a sentence."""

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alexnet_np.data import generated
from alexnet_np.train import Recipe, Run, load, save, start
from alexnet_np.train import checkpoint as checkpoints
from alexnet_np.train.checked_file import Damaged, read_tensors, write_tensors
from alexnet_np.train.checkpoint import init_weights

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def run() -> Run:
    images = generated.load(train=24, test=12, side=32, seed=1)
    return start(Recipe(batch=8, colour=0.1, schedule="plateau"), images)


def test_every_byte_of_a_file_counts(tmp_path: Path) -> None:
    """Names, shapes, dtypes, texts, padding, the checksums themselves: with any byte changed it is damaged."""
    path, arrays = tmp_path / "a.safetensors", {"a.b": np.ones((2, 3), np.float32), "c": np.arange(5)}
    write_tensors(path, arrays, {"format": "alexnet_np 3", "run": '{"header":"01234567", "x": 1}'})
    tensors, texts = read_tensors(path)
    assert texts == {"format": "alexnet_np 3", "run": '{"header":"01234567", "x": 1}'}
    assert {n: a.tolist() for n, a in tensors.items()} == {n: a.tolist() for n, a in arrays.items()}
    whole = path.read_bytes()
    for at, byte in enumerate(whole):
        others = {byte ^ 1 << bit for bit in range(8)} | {*map(int, RANDOM.integers(0, 256, 2)), *b' \n"0'}
        for other in others - {byte}:
            path.write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])
            with pytest.raises(Damaged, match=r"a.safetensors is damaged"):
                read_tensors(path)
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(Damaged, match=r"a.safetensors is damaged"):
            read_tensors(path)


def test_a_damaged_header_offers_the_checkpoint_before(run: Run, tmp_path: Path) -> None:
    """Wherever it is damaged: also where the format, or the name of a checksum, is no longer what it was."""
    last, before = tmp_path / "last.safetensors", tmp_path / "step-00000001.safetensors"
    save(before, run)
    whole = before.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    named = [whole.index(word) for word in (b"alexnet_np 3", b'"header"', b'"crc32"', b'"run"', b'"F32"', b"__meta")]
    for at in [*range(8), *(place + i for place in named for i in (1, 4)), *RANDOM.integers(8, length, 60)]:
        last.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << int(RANDOM.integers(8))]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=f"is whole: give {before}$") as caught:
            load(last)
        assert "\n" not in str(caught.value)
    before.write_bytes(whole[:-1])
    with pytest.raises(Damaged):
        load(last)


def forged(path: Path, run: Run, change: Any) -> None:
    """Write a run whose metadata and arrays were changed, with checksums that are right."""
    save(path, run)
    tensors, texts = read_tensors(path)
    about = json.loads(texts["run"])
    change(about, tensors)
    write_tensors(path, tensors, {**texts, "run": json.dumps(about)})


def values() -> Iterator[tuple[str, Any]]:
    """Each field with values that no run has."""
    bad: dict[str, list[Any]] = {
        "recipe": [None, [], {"lr": 10**400}, {"variant": ["mini"]}, {"epochs": 10**400}, {"nesterov": True}],
        "classes": [None, "ab", [1, 2], [], ["one"]],
        "images": [-1, 1.5, "24", True, 2**63],
        "input_shape": [None, [], [3, 32], [3, 32, 0], [3, 10**9, 10**9], [3, 4, 4], [3, 32, 2**63], 5],
        "pixels": [None, {}, {"scale": "a"}, {"crop": [1]}, {"crop": [64, 64]}, {"scale": float("nan")}, {"mirror": 1}],
        "iteration": [None, -1, "1", 10**30],
        "loss": ["a", float("inf"), [1]],
        "scored": [None, -1, {}],
        "best": ["a", float("nan")],
        "schedule": [None, {}, {"waited": -1}, {"best": "a", "waited": 0, "dropped": 0}, {"dropped": 10**400}, []],
        "data": [[], "a", {"train": 1}],
    }
    return ((field, value) for field, options in bad.items() for value in options)


@pytest.mark.parametrize(("field", "value"), list(values()), ids=lambda part: str(part)[:30])
def test_forged_metadata(field: str, value: Any, run: Run, tmp_path: Path) -> None:
    def change(about: dict[str, Any], _: Any) -> None:
        about[field] = {**about[field], **value} if isinstance(value, dict) and value else value

    forged(tmp_path / "a.safetensors", run, change)
    with pytest.raises(ValueError, match=r"a\.safetensors") as caught:
        load(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


ARRAYS: dict[str, Any] = {
    "no mean": lambda t: t.pop("pixels.mean"),
    "a flat mean": lambda t: t.update({"pixels.mean": t["pixels.mean"].ravel()}),
    "a mean of texts": lambda t: t.update({"pixels.mean": t["pixels.mean"].astype(np.int8)}),
    "a scalar mean": lambda t: t.update({"pixels.mean": np.array(1.0)}),
    "small colours": lambda t: t.update({"pixels.colour": np.ones(3)}),
    "a short velocity": lambda t: t.update({"velocity.conv1.weight": np.ones((1, 1), np.float32)}),
    "no velocity": lambda t: t.pop("velocity.conv1.weight"),
    "complex weights": lambda t: t.update({"fc8.bias": t["fc8.bias"].astype(np.complex64)}),
    "truths for a velocity": lambda t: t.update({"velocity.fc8.bias": t["fc8.bias"] > 0}),
    "no elements": lambda t: t.update({"fc8.bias": np.ones(0, np.float32)}),
    "one more": lambda t: t.update({"fc9.bias": np.ones(3, np.float32)}),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_forged_arrays(name: str, run: Run, tmp_path: Path) -> None:
    forged(tmp_path / "a.safetensors", run, lambda _, tensors: ARRAYS[name](tensors))
    with pytest.raises(ValueError, match=r"a\.safetensors") as caught:
        load(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value)


def test_missing_and_unknown_metadata(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for field in ("recipe", "classes", "images", "input_shape", "pixels", "iteration", "best", "schedule"):
        forged(path, run, lambda about, _, field=field: about.pop(field))
        with pytest.raises(ValueError, match=f"holds no run of ours: it lacks {field}"):
            load(path)
    forged(path, run, lambda about, _: about.update(colour=1))
    with pytest.raises(ValueError, match="unknown key 'colour'"):
        load(path)
    tensors, texts = read_tensors(path)
    for text in ("", "[]", "7", "{", "null", "9" * 5000):
        write_tensors(path, tensors, {**texts, "run": text})
        with pytest.raises(ValueError, match="holds no run of ours"):
            load(path)


def test_the_format_before(run: Run, tmp_path: Path) -> None:
    """Files without a checksum of the header and without the data's fingerprint are read, resumed and started from."""
    from safetensors.numpy import save_file

    from alexnet_np.train import checked_file

    path = tmp_path / "old.safetensors"
    save(path, run)
    tensors, texts = read_tensors(path)
    about = json.loads(texts["run"])
    assert about.pop("data") == run.data is not None
    texts = {"format": "alexnet_np 2", "run": json.dumps(about)}
    sums = checked_file._checksums(tensors, texts)
    save_file(tensors, path, {**texts, "crc32": json.dumps(sums)})
    old = load(path)
    assert asdict(old.recipe) == asdict(run.recipe) and old.data is None and old.classes == run.classes
    for name, array in run.model.state_dict().items():
        np.testing.assert_array_equal(old.model.state_dict()[name], array)
    assert init_weights(path, old.model, "mini", old.classes) == []
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'\\"batch\\": 8', b'\\"batch\\": 9'))
    with pytest.raises(Damaged, match="run changed since"):
        load(path)
    assert checkpoints.FORMAT == "alexnet_np 3"
