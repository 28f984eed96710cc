"""Scores against plain counts, ten crops against a plain loop, the record and its curves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import alexnet_np as anp
from alexnet_np import pictures
from alexnet_np.data import Pixels
from alexnet_np.data.dataset import InMemory
from alexnet_np.results import per_class
from alexnet_np.train import Report, Scores, evaluate, metrics

RANDOM = np.random.default_rng(0)
K, N = 7, 45


@pytest.fixture(scope="module")
def model() -> anp.Sequential:
    """`mini` with large weights and centred outputs: the classes differ from image to image and from crop to crop."""
    model = anp.alexnet("mini", K, seed=1, input_shape=(3, 24, 24))
    for name in ("conv1.weight", "fc8.weight"):
        model.state_dict()[name][...] *= 50
    x = RANDOM.standard_normal((100, 3, 24, 24)).astype(np.float32)
    model["fc8"].params["bias"][...] = -model.forward(x, logits=True).mean(axis=0)
    return model


@pytest.fixture(scope="module")
def images() -> InMemory:
    """Images of all classes but the last."""
    pixels = RANDOM.integers(0, 256, (N, 3, 28, 30), np.uint8)
    return InMemory(pixels, RANDOM.integers(0, K - 1, N), [f"class {i}" for i in range(K)])


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return Pixels(RANDOM.uniform(100, 150, (3, 28, 30)).astype(np.float32), 1 / 70, crop=(24, 24))


def plain(probabilities: list[np.ndarray], labels: np.ndarray) -> Scores:
    """The same by a loop over the images and a sorted list of each one's classes."""
    loss, top1, top5, confusion = 0.0, 0, 0, np.zeros((K, K), np.int64)
    for p, label in zip(probabilities, labels, strict=True):
        order = sorted(range(K), key=lambda k: -p[k])
        loss -= float(np.log(p[label]))
        top1 += order[0] == label
        top5 += label in order[:5]
        confusion[label, order[0]] += 1
    n = len(labels)
    return Scores(loss / n, top1 / n, top5 / n, n, confusion)


def assert_same(scores: Scores, expected: Scores) -> None:
    np.testing.assert_array_equal(scores.confusion, expected.confusion)
    assert (scores.top1, scores.top5, scores.images) == (expected.top1, expected.top5, expected.images)
    np.testing.assert_allclose(scores.loss, expected.loss, rtol=1e-5)


def windows(image: np.ndarray) -> list[np.ndarray]:
    """The paper's ten: corners and centre, and each of them mirrored."""
    five = [image[:, top : top + 24, left : left + 24] for top, left in ((0, 0), (0, 6), (4, 0), (4, 6), (2, 3))]
    return [*five, *(window[:, :, ::-1] for window in five)]


def test_centre_crop_against_a_plain_count(model: anp.Sequential, images: InMemory, pixels: Pixels) -> None:
    centres = [(image.astype(np.float32) - pixels.mean)[:, 2:26, 3:27] / 70 for image in images.pixels]
    expected = plain([model.forward(x[None].copy())[0] for x in centres], images.labels)
    assert 0 < expected.top1 < expected.top5 < 1, "this network cannot tell right from wrong counting"
    for batch, threads in ((1, 1), (8, 3), (100, 1)):
        assert_same(evaluate(model, images, pixels, batch, threads=threads), expected)


def test_ten_crops_against_a_plain_loop(model: anp.Sequential, images: InMemory, pixels: Pixels) -> None:
    """The mean of the ten softmax outputs, one window at a time."""
    averages = []
    for image in images.pixels:
        ten = windows((image.astype(np.float32) - pixels.mean) / 70)
        averages.append(np.mean([model.forward(x[None].copy())[0].astype(float) for x in ten], axis=0))
    expected = plain(averages, images.labels)
    centre = evaluate(model, images, pixels)
    assert not np.array_equal(expected.confusion, centre.confusion), "ten crops give what one gives"
    for batch in (3, 40, 1000):
        scores = evaluate(model, images, pixels, batch, crops=10, threads=2)
        assert_same(scores, expected)
        assert scores.crops == 10


def test_per_class(model: anp.Sequential, images: InMemory, pixels: Pixels) -> None:
    """Rows of the confusion matrix sum to the images of a class; a class without images has no accuracy, not zero."""
    scores = evaluate(model, images, pixels)
    counts = np.bincount(images.labels, minlength=K)
    np.testing.assert_array_equal(scores.confusion.sum(axis=1), counts)
    assert scores.confusion.dtype == np.int64 and np.trace(scores.confusion) == scores.top1 * N
    assert np.isnan(scores.per_class[-1])
    np.testing.assert_allclose(np.sum(scores.per_class[:-1] * counts[:-1]), scores.top1 * N)
    content = json.loads(json.dumps(scores.json(images.classes)))
    assert content["per_class"][-1] == {"class": "class 6", "images": 0, "accuracy": None}
    for k, entry in enumerate(content["per_class"][:-1]):
        assert entry["images"] == counts[k] and entry["accuracy"] == scores.confusion[k, k] / counts[k]
    assert content["confusion"] == scores.confusion.tolist() and content["top5"] == scores.top5


def test_a_tie_is_no_success(images: InMemory, pixels: Pixels) -> None:
    """Outputs that are all equal: nothing is in the first five, and every image is taken for another class."""
    model = anp.alexnet("mini", K, input_shape=(3, 24, 24))
    for array in model.state_dict().values():
        array[...] = 0
    scores = evaluate(model, images, pixels)
    assert scores.top1 == scores.top5 == 0 and np.trace(scores.confusion) == 0
    np.testing.assert_array_equal(scores.confusion.sum(axis=1), np.bincount(images.labels, minlength=K))
    np.testing.assert_allclose(scores.loss, np.log(K), rtol=1e-6)


def test_extreme_outputs_keep_the_loss_finite(model: anp.Sequential, images: InMemory, pixels: Pixels) -> None:
    """Where every softmax output of the right class is 0 in floating point, its logarithm still is not −∞."""
    bias = model["fc8"].params["bias"]
    bias[0] = 1e5
    try:
        for crops in (1, 10):
            scores = evaluate(model, images, pixels, crops=crops)  # type: ignore[arg-type]
            wrong = np.mean(images.labels != 0)
            np.testing.assert_allclose(scores.loss, 1e5 * wrong, rtol=0.02)
    finally:
        bias[0] = 0


def test_what_cannot_be_evaluated(model: anp.Sequential, images: InMemory, pixels: Pixels) -> None:
    with pytest.raises(ValueError, match="no images to evaluate on"):
        evaluate(model, InMemory(images.pixels[:0], images.labels[:0], images.classes), pixels)
    with pytest.raises(ValueError, match="tells 7 classes apart, the images have 9"):
        evaluate(model, InMemory(images.pixels, images.labels, list("abcdefghi")), pixels)
    with pytest.raises(ValueError, match="crops must be 1 or 10"):
        evaluate(model, images, pixels, crops=5)  # type: ignore[arg-type]
    small = InMemory(np.ascontiguousarray(images.pixels[:, :, :24, :24]), images.labels, images.classes)
    with pytest.raises(ValueError, match="ten crops need images stored larger"):
        evaluate(model, small, Pixels(pixels.mean[:, :24, :24].copy()), crops=10)
    broken = anp.alexnet("mini", K, input_shape=(3, 24, 24))
    broken["fc8"].params["weight"][2, 3] = np.nan
    with pytest.raises(ValueError, match="outputs are not finite"):
        evaluate(broken, images, pixels)


class Gaps(InMemory):
    """A set of which every third image cannot be read."""

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kept = np.array([i for i in indices if i % 3], np.int64)
        return self.pixels[kept], kept


def test_images_that_cannot_be_read_are_not_counted(model: anp.Sequential, images: InMemory, pixels: Pixels) -> None:
    kept = np.arange(N)[np.arange(N) % 3 > 0]
    expected = evaluate(model, InMemory(images.pixels[kept], images.labels[kept], images.classes), pixels)
    gaps = Gaps(images.pixels, images.labels, images.classes)
    for batch in (1, 4, 128):  # with a batch of 1, some hold no image at all
        assert_same(evaluate(model, gaps, pixels, batch), expected)
    assert expected.images == 30


def test_table_of_classes() -> None:
    confusion = np.array([[3, 2, 0], [0, 4, 0], [0, 0, 0]])
    lines = per_class(Scores(0.1, 0.7, 1.0, 9, confusion), ["cat", "dog", "unseen"]).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["cat", "5", "60.0%", "dog", "(2)"],
        ["dog", "4", "100.0%"],
        ["unseen", "0", "–"],
    ]
    many = np.diag(np.arange(40)) + np.eye(40, k=1, dtype=int)
    lines = per_class(Scores(0.1, 0.7, 1.0, 9, many), [f"c{i}" for i in range(40)]).splitlines()
    assert lines[1].split()[0] == "c0" and len(lines) == 12 and "the worst 10 of 40 classes" in lines[-1]


# Pictures.
@pytest.mark.parametrize("classes", [2, 20, 60, 1000])
def test_confusion_picture(tmp_path: Path, classes: int) -> None:
    """A matrix of any size makes a readable picture: the diagonal is dark, a cell beside it is not."""
    confusion = np.eye(classes, dtype=np.int64) * 50
    confusion[0, -1] = 50
    pictures.draw_confusion(
        tmp_path / "c.png", confusion, [f"a rather long name {i}" for i in range(classes)], "two\nl"
    )
    with Image.open(tmp_path / "c.png") as image:
        grey = np.asarray(image.convert("L"))
    assert min(grey.shape) > 500 and max(grey.shape) < 1800 and 60 < grey.mean() < 254
    assert [path.name for path in tmp_path.iterdir()] == ["c.png"]


def test_a_picture_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "c.png").write_bytes(b"before")
    (tmp_path / ".c.png.partial").write_text("a file in the way of the folder that is written to")
    with pytest.raises(OSError):
        pictures.draw_confusion(tmp_path / "c.png", np.eye(2, dtype=int), ["a", "b"], "t")
    assert (tmp_path / "c.png").read_bytes() == b"before"
    with pytest.raises(ValueError, match=r"c.docx: a picture cannot be a .docx; it can be .*pdf, .*png"):
        pictures.draw_confusion(tmp_path / "c.docx", np.eye(2, dtype=int), ["a", "b"], "t")


# The record.
def record(step: int, loss: float | None = None) -> dict[str, Any]:
    """A line as the loop writes it: 10 steps an epoch, the learning rate divided by 10 after the second."""
    epoch, scores = (step - 1) // 10, None
    if step % 10 == 0:
        scores = {"loss": 3 / step**0.5, "top1": 1 - 5 / step, "top5": 1 - 1 / step, "images": 100}
    lr = 0.01 if epoch < 2 else 0.001
    return {"step": step, "epoch": epoch, "loss": loss or 3 / step**0.5, "lr": lr, "scores": scores}


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(r) + "\n" for r in records)


def test_record_of_a_resumed_run(tmp_path: Path) -> None:
    """Killed at step 14 with half a line written, resumed from step 10: the later lines stand."""
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines(*(record(s, loss=9.0) for s in range(1, 15))) + '{"step": 15, "lo')
    assert [r["step"] for r in metrics.read(path)] == list(range(1, 15))
    path.write_text(lines(*(record(s, loss=9.0) for s in range(1, 15)), *(record(s) for s in range(11, 31))))
    records = metrics.read(path)
    assert [r["step"] for r in records] == list(range(1, 31))
    assert records[:10] == [record(s, loss=9.0) for s in range(1, 11)] and records[10:] == [
        record(s) for s in range(11, 31)
    ]


def test_curves_of_a_resumed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn: loss of each step over epochs, held-out errors in %, a line where the learning rate drops."""
    drawn = {}
    monkeypatch.setattr(pictures, "save", lambda figure, path: drawn.update(figure=figure, path=path))
    (tmp_path / "metrics.jsonl").write_text(
        lines(*(record(s, loss=9.0) for s in range(1, 15)), *(record(s) for s in range(11, 31)))
    )
    assert metrics.draw(tmp_path, "a title") == drawn["path"] == tmp_path / "curves.png"
    above, below = drawn["figure"].axes
    shown = {line.get_label(): line.get_xydata() for axis in (above, below) for line in axis.get_lines()}
    np.testing.assert_allclose(shown["training, one step"][:, 0], np.arange(1, 31) / 10)
    np.testing.assert_allclose(shown["training, one step"][10:, 1], 3 / np.arange(11, 31) ** 0.5)
    np.testing.assert_allclose(shown["held out"], [[1, 3 / 10**0.5], [2, 3 / 20**0.5], [3, 3 / 30**0.5]])
    np.testing.assert_allclose(shown["held out, top-1: 16.67 % at the end"], [[1, 50], [2, 25], [3, 100 / 6]])
    assert [text.get_text() for text in above.texts] == ["ε 0.001"] and above.texts[0].xy[0] == 2
    assert above.get_title() == "a title" and below.get_xlabel() == "epoch, of 10 steps"


def test_curves_are_written(tmp_path: Path) -> None:
    """A picture, whatever there is: one step, a loss that is not finite, an epoch's end."""
    for steps in ([record(1)], [record(1), record(2, loss=float("inf")), record(3, loss=float("nan"))]):
        (tmp_path / "metrics.jsonl").write_text(lines(*steps))
        with Image.open(metrics.draw(tmp_path, "t")) as image:
            assert np.asarray(image.convert("L")).std() > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "metrics.jsonl"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no record"), ("", "holds no step yet"), ('{"step": 1', "holds no step yet"),
     ('{"step": 1}\nnonsense\n', "line 2 is no line of a record"), ("{}\n", "line 1 is no line of a record")],
)  # fmt: skip
def test_what_is_no_record(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    with pytest.raises(ValueError, match=message):
        metrics.read(tmp_path / "metrics.jsonl")


def test_tensorboard_events(tmp_path: Path) -> None:
    """What a reader finds in the file, by name and step."""
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    scores = Scores(0.5, 0.75, 1.0, 4, np.eye(2, dtype=int))
    with metrics.tensorboard(tmp_path) as tell:
        assert not list(tmp_path.iterdir()), "a folder before there is anything to write"
        for step in (1, 2):
            tell(Report(step, 4, 0, 1.0 / step, 0.01, 100.0, 0.25, scores if step == 2 else None))
    (file,) = (tmp_path / "tensorboard").iterdir()
    content, found = file.read_bytes(), {}
    while content:  # length (8 bytes), its checksum (4), the event, its checksum (4)
        length = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
    expected = {
        ("train/loss", 1): 1.0, ("train/loss", 2): 0.5, ("train/lr", 2): 0.01, ("train/waiting", 1): 0.25,
        ("held_out/top1", 2): 0.75, ("held_out/loss", 2): 0.5,
    }  # fmt: skip
    np.testing.assert_allclose([found[key] for key in expected], list(expected.values()), rtol=1e-6)
    assert ("held_out/top1", 1) not in found


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'alexnet-np\[tensorboard\]'"), metrics.tensorboard(tmp_path):
        pass
