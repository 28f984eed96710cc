"""Predictions for files, folders and lists, on the command line and from Python; what bad files get."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import alexnet_np as anp
from alexnet_np.cli import main
from alexnet_np.data import Pixels
from alexnet_np.data.decode import decode
from alexnet_np.train import SGD, Recipe, Run, metrics, save
from alexnet_np.train.prediction import image_files, predict

RANDOM = np.random.default_rng(0)
CLASSES = [f"class {i}" for i in range(7)]


@pytest.fixture(scope="module")
def run() -> Run:
    """`mini` on images stored at 36 × 36, with large weights, so that each image has another best class."""
    model = anp.alexnet("mini", len(CLASSES), seed=1)
    for name in ("conv1.weight", "fc8.weight"):
        model.state_dict()[name][...] *= 50
    x = RANDOM.standard_normal((100, 3, 32, 32)).astype(np.float32)
    model["fc8"].params["bias"][...] = -model.forward(x, logits=True).mean(axis=0)
    pixels = Pixels(RANDOM.uniform(100, 150, (3, 36, 36)).astype(np.float32), 1 / 70, crop=(32, 32))
    return Run(Recipe(store=36), model, SGD(model), pixels, CLASSES, images=100)


@pytest.fixture(scope="module")
def checkpoint(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "last.safetensors"
    save(path, run)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of several modes and sizes in two folders, and a file that is none."""
    root = tmp_path_factory.mktemp("photos")
    (root / "inner").mkdir()
    for i, mode in enumerate(("RGB", "L", "CMYK", "P", "RGBA", "RGB", "RGB")):
        pixels = RANDOM.integers(0, 256, (40 + i, 60 - 4 * i, 3), np.uint8)
        suffix = "jpg" if mode in ("RGB", "CMYK") else "png"
        Image.fromarray(pixels).convert(mode).save(root / ("inner" if i > 4 else ".") / f"{i} {mode}.{suffix}")
    (root / "notes.txt").write_text("no picture")
    return root


def expected(run: Run, path: Path, crops: int = 1) -> list[tuple[str, float]]:
    """The five best classes of one picture, by a plain forward pass for each crop."""
    image = (decode(path.read_bytes(), path.name, (3, 36, 36)).astype(np.float32) - run.pixels.mean) / 70
    five = [image[:, t : t + 32, s : s + 32] for t, s in ((2, 2), (0, 0), (0, 4), (4, 0), (4, 4))]
    seen = five[:1] if crops == 1 else [*five, *(x[:, :, ::-1] for x in five)]
    p = np.mean([run.model.forward(x[None].copy())[0] for x in seen], axis=0)
    return [(CLASSES[k], float(p[k])) for k in sorted(range(7), key=lambda k: -p[k])[:5]]


def assert_close(top: list[tuple[str, float]], other: list[tuple[str, float]]) -> None:
    assert [name for name, _ in top] == [name for name, _ in other]
    np.testing.assert_allclose([p for _, p in top], [p for _, p in other], rtol=1e-4)


@pytest.mark.parametrize("crops", [1, 10])
def test_against_a_plain_forward_pass(run: Run, photos: Path, crops: Any) -> None:
    names = image_files([str(photos)])
    assert len(names) == 7
    for batch, threads in ((1, 1), (30, 2)):
        predictions = list(predict(run.model, run.pixels, CLASSES, names, crops=crops, batch=batch, threads=threads))
        assert [prediction.image for prediction in predictions] == names
        for prediction in predictions:
            assert_close(prediction.top, expected(run, Path(prediction.image), crops))
    assert len({prediction.top[0][0] for prediction in predictions}) > 1, "every picture is taken for the same class"


def test_a_bad_file_takes_nothing_from_the_others(run: Run, photos: Path, tmp_path: Path) -> None:
    """Truncated, empty, no image, missing, a folder: each is named, and the good ones are as without them."""
    good = sorted(photos.glob("*.jpg"))
    whole = good[0].read_bytes()
    bad = {"cut.jpg": whole[: len(whole) // 3], "empty.png": b"", "text.jpg": b"no image"}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    names = [str(good[0]), *(str(tmp_path / name) for name in (*bad, "missing.jpg", ".")), str(good[1])]
    for batch in (1, 2, 100):
        predictions = list(predict(run.model, run.pixels, CLASSES, names, batch=batch))
        assert [p.image for p in predictions] == names
        for prediction in predictions[1:-1]:
            assert prediction.top == [] and prediction.error and prediction.error.startswith(prediction.image)
            assert "cannot be read" in prediction.error and "\n" not in prediction.error
        for prediction, path in zip((predictions[0], predictions[-1]), good, strict=False):
            assert_close(prediction.top, expected(run, path))


def test_numbers_below_one_are_refused_at_once(run: Run) -> None:
    for wrong in ({"top": -1}, {"top": 0}, {"batch": -5}):
        with pytest.raises(ValueError, match="top and batch must be at least 1"):
            predict(run.model, run.pixels, CLASSES, [], **wrong)  # type: ignore[arg-type]


def test_fewer_classes_than_five(photos: Path) -> None:
    model = anp.alexnet("mini", 2, seed=1)
    pixels = Pixels(np.full((3, 32, 32), 128, np.float32), 1 / 70)
    (prediction,) = predict(model, pixels, ["a", "b"], image_files([str(photos / "1 L.png")]))
    assert {name for name, _ in prediction.top} == {"a", "b"}
    np.testing.assert_allclose(sum(p for _, p in prediction.top), 1, rtol=1e-6)


def test_what_arguments_name(photos: Path, tmp_path: Path) -> None:
    """A folder's images, those in its folders too, in order; files as they are; a list line by line."""
    inside = image_files([str(photos)])
    assert [Path(name).name for name in inside] == [
        "0 RGB.jpg", "1 L.png", "2 CMYK.jpg", "3 P.png", "4 RGBA.png", "5 RGB.jpg", "6 RGB.jpg"
    ]  # fmt: skip
    notes = str(photos / "notes.txt")
    lines = [f"{inside[1]}\n", "\n", "  odd name .jpg \r\n", f"{photos}/inner"]
    expected = [notes, inside[1], "  odd name .jpg ", *inside[5:], inside[0]]
    assert image_files([notes, "-", inside[0]], lines) == expected
    with pytest.raises(ValueError, match=r"holds no images \(.*\.jpg"):
        image_files([str(tmp_path)])
    for nothing in ([], ["-"]):
        with pytest.raises(ValueError, match="there is no image to predict"):
            image_files(nothing)


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


# The command line.
def test_predict_prints_and_writes(
    run: Run, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", "--checkpoint", str(checkpoint), "--threads", "1"]
    picture = photos / "0 RGB.jpg"
    assert main([*arguments, "--json", str(tmp_path / "p.json"), str(picture), str(photos / "inner")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 * 6 and lines[0] == str(picture)
    assert [line.split(maxsplit=1) for line in lines[1:6]] == [[f"{p:.2%}", name] for name, p in expected(run, picture)]
    content = json.loads((tmp_path / "p.json").read_text())
    assert content["crops"] == 1 and content["variant"] == "mini" and content["checkpoint"] == str(checkpoint)
    assert [Path(p["image"]).name for p in content["predictions"]] == ["0 RGB.jpg", "5 RGB.jpg", "6 RGB.jpg"]
    top = [(entry["class"], entry["probability"]) for entry in content["predictions"][0]["top"]]
    assert_close(top, expected(run, picture))


def test_predict_a_list_to_json(
    run: Run, checkpoint: Path, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json -` prints JSON and nothing else; a bad file is named, counted and ends in exit code 2."""
    good = photos / "3 P.png"
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{good}\n{photos / 'notes.txt'}\n"))
    assert main(["predict", "--checkpoint", str(checkpoint), "--crops", "10", "--top", "2", "--json", "-", "-"]) == 2
    printed = capsys.readouterr()
    first, second = json.loads(printed.out)["predictions"]
    assert_close([(e["class"], e["probability"]) for e in first["top"]], expected(run, good, crops=10)[:2])
    assert "top" not in second and "notes.txt cannot be read as an image" in second["error"]
    lines = printed.err.splitlines()
    assert len(lines) == 2 and lines[1] == "alexnet-np: 1 of 2 images could not be read"
    assert lines[0].startswith(f"alexnet-np: {photos / 'notes.txt'} cannot be read as an image")


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each class, with a training image and two to hold out."""
    root = tmp_path_factory.mktemp("classes")
    for part, count in (("train", 1), ("val", 2)):
        for name in CLASSES:
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = RANDOM.integers(0, 256, (40, 50, 3), np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{i}.png")
    return root


def test_evaluate_agrees_with_predict(
    checkpoint: Path, classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same images through both commands, with ten crops: the same classes, and the files that were asked for."""
    common = ["--checkpoint", str(checkpoint), "--crops", "10"]
    written = ["--json", str(tmp_path / "e.json"), "--confusion", str(tmp_path / "c.png")]
    assert main(["evaluate", *common, "--data", str(classes), *written]) == 0
    printed = capsys.readouterr().out
    assert main(["predict", *common, "--json", "-", str(classes / "val")]) == 0
    predictions = json.loads(capsys.readouterr().out)["predictions"]
    confusion = np.zeros((7, 7), int)
    for prediction in predictions:
        label, best = Path(prediction["image"]).parent.name, prediction["top"][0]["class"]
        confusion[CLASSES.index(label), CLASSES.index(best)] += 1
    content = json.loads((tmp_path / "e.json").read_text())
    np.testing.assert_array_equal(content["confusion"], confusion)
    assert content["images"] == 14 and content["top1"] == np.trace(confusion) / 14 and content["skipped"] == {}
    assert f"mini, 14 images, ten crops: loss {content['loss']:.4f}, top-1 {content['top1']:.2%}" in printed
    assert picture_size(tmp_path / "c.png") > (500, 500)


def test_evaluate_leaves_out_and_names_a_bad_image(
    checkpoint: Path, classes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = classes / "val" / "class 2" / "1.png"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:200])
    try:
        arguments = ["evaluate", "--checkpoint", str(checkpoint), "--data", str(classes), "--json", "-"]
        assert main(arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and f"{bad} cannot be read as an image" in printed.err
        assert main([*arguments, "--on-bad-image", "skip"]) == 0
        printed = capsys.readouterr()
    finally:
        bad.write_bytes(whole)
    content = json.loads(printed.out)
    assert content["images"] == 13 and content["per_class"][2] == {**content["per_class"][2], "images": 1}
    assert [str(bad)] == [
        str(classes / "val" / name) if name not in (str(bad),) else name for name in content["skipped"]
    ]
    assert printed.err.count("\n") == 1 and "left out" in printed.err


def test_other_classes_than_the_checkpoints(
    checkpoint: Path, classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    for part in ("train", "val"):
        for old in CLASSES[1:]:
            place = other / part / old.replace("class 6", "dog")
            place.mkdir(parents=True)
            (place / "0.png").write_bytes((classes / part / old / "0.png").read_bytes())
    assert main(["evaluate", "--checkpoint", str(checkpoint), "--data", str(other)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"alexnet-np: {other} has other classes than the checkpoint: it has dog, it lacks class 0, class 6"
    ]


@pytest.mark.skipif("ALEXNET_DATA" not in os.environ, reason="ALEXNET_DATA is not set: no real images here")
def test_real_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained for some steps on small copies of photographs, profiled, scored with one and ten crops, one predicted."""
    real, out = Path(os.environ["ALEXNET_DATA"]), tmp_path / "run"
    train = ["train", "--variant", "mini", "--data", str(real / "imagenette224"), "--store", "40", "--lr", "0.02"]
    more = ["--epochs", "4", "--batch", "32", "--out", str(out), "--profile", str(tmp_path / "trace.json")]
    assert main([*train, *more]) == 0
    printed = capsys.readouterr().out
    assert "mini, mean of 49 steps after the first, batch 32" in printed and "conv1" in printed
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert picture_size(out / "curves.png") > (500, 500)
    scores = {}
    for crops in ("1", "10"):
        arguments = ["--checkpoint", str(out / "last.safetensors"), "--crops", crops, "--json", "-"]
        assert main(["evaluate", *arguments]) == 0
        scores[crops] = json.loads(capsys.readouterr().out)
        assert scores[crops]["images"] == 500 and scores[crops]["top1"] > 0.15
        assert main(["predict", *arguments, str(real / "images" / "cat.jpg")]) == 0
        top = json.loads(capsys.readouterr().out)["predictions"][0]["top"]
        assert len(top) == 5 and {entry["class"] for entry in top} < {e["class"] for e in scores[crops]["per_class"]}
    last = [r for r in metrics.read(out / "metrics.jsonl") if r["scores"]][-1]
    assert scores["1"]["top1"] == last["scores"]["top1"] and scores["10"]["loss"] != scores["1"]["loss"]
