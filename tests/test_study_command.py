"""`alexnet-np study` in the terminal: a number's terms, the map, a trained network on pictures, and bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import alexnet_np as anp
from alexnet_np.cli import main
from alexnet_np.data import Pixels
from alexnet_np.study.command import parsed
from alexnet_np.train import SGD, Recipe, Run, save


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_an_element(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--element", "conv2.dx[0,5,3,3]", "fc8.dbias[7]", "loss.y[]", "--terms", "4"]) == 0
    shown = lines(capsys)
    assert shown[0].startswith("mini: an image of random numbers; label ")
    model, random = anp.alexnet("mini", dtype=np.float64), np.random.default_rng(0)
    x = random.standard_normal((1, 3, 32, 32))
    with model.record() as recording:
        recording.step(x, model.forward(x, logits=True).argmax(axis=1))
    found = anp.study.provenance(model, "conv2", "dx", (0, 5, 3, 3))
    assert shown[2:11] == found.table(4).splitlines()
    assert len([line for line in shown if line.startswith("sum ")]) == 3
    terms = [line for line in shown[5:9]]
    assert all("w[" in line and "dy[0," in line for line in terms)
    size = [abs(float(line.split(" = ")[0])) for line in terms]
    assert size == sorted(size, reverse=True) and "more terms" in shown[9]


def test_a_trace_and_the_map(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--element", "conv3.dx[0,1,2,2]", "--trace", "--summary"]) == 0
    shown = lines(capsys)
    assert any(line.strip().startswith("loss.dx[0,") for line in shown)
    assert "mini, one image of 3 × 32 × 32" in shown
    times = [line for line in shown if line.startswith("conv2 ") and line.endswith(" ms")]
    assert len(times) == 1 and times[0].count(" ms") == 2


def test_a_checkpoint_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(1)
    model, files = anp.alexnet("mini", 7, seed=1), []
    pixels = Pixels(random.uniform(100, 150, (3, 36, 36)).astype(np.float32), 1 / 70, crop=(32, 32))
    run = Run(Recipe(store=36, seed=1), model, SGD(model), pixels, [f"class {i}" for i in range(7)], images=100)
    save(tmp_path / "last.safetensors", run)
    for i in range(2):
        Image.fromarray(random.integers(0, 256, (36, 36, 3), np.uint8)).save(tmp_path / f"{i}.png")
        files.append(str(tmp_path / f"{i}.png"))
    options = ["--checkpoint", str(tmp_path / "last.safetensors"), "--label", "3", "--element", "fc8.y[1,2]"]
    assert main(["study", *files, *options]) == 0
    shown = "\n".join(lines(capsys))
    images = np.stack([np.asarray(Image.open(file)).transpose(2, 0, 1).astype(np.float32) for file in files])
    logits = model.forward(((images - pixels.mean) / 70)[:, :, 2:34, 2:34].copy(), train=True, logits=True)
    value = float(shown.split("fc8.y[1,2] = ")[1].split()[0])
    assert value == pytest.approx(float(logits[1, 2]), rel=1e-4) and "label 3, 3" in shown
    assert main(["study", *files, "--element", "conv1.y[1,0,2,2]"]) == 0, "without a checkpoint"
    assert "minus the mean" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name an --element, such as conv2.dx[0,5,3,3], ask for the --summary, or for a page: --out"),
        (["--element", "conv2"], "'conv2' names no element; write a layer"),
        (["--element", "conv9.dx[0]"], "the network has no layer 'conv9'; it has conv1, "),
        (["--element", "conv2.dx[0,5,99,3]"], "dx of conv2 has shape (1, 24, 7, 7), it has no element [0, 5, 99, 3]"),
        (["--summary", "--variant", "alex"], "unknown variant 'alex'; the variants are paper, "),
        (["--summary", "--label", "1000"], "label must be from 0 to 999, got 1000"),
        (["--summary", "--terms", "0"], "terms must be at least 1, got 0"),
        (["--summary", "nowhere.png"], "nowhere.png"),
        (["--summary", "--checkpoint", "nowhere"], "nowhere"),
        (["--element", "prob.y[0,1]"], "prob was not recorded"),
    ],
)
def test_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and exit code 2."""
    assert main(["study", *arguments]) == 2
    said = capsys.readouterr().err.splitlines()
    assert message in said[-1] and not any("Traceback" in line for line in said)


def test_elements_are_written_as_the_table_writes_them() -> None:
    assert parsed("conv2.dx[0,5,3,3]") == parsed(" conv2.dx[0, 5, 3, 3]") == ("conv2", "dx", (0, 5, 3, 3))
    assert parsed("loss.y[]") == ("loss", "y", ())


def test_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a network that is broken, too: what can be shown is shown."""
    out = tmp_path / "report.html"
    assert main(["study", "--out", str(out), "--label", "3"]) == 0
    text = out.read_text(encoding="utf-8")
    assert "label 3, loss" in text and "‖Δw‖ / ‖w‖" in text and text.count("<script") == 3
    model = anp.alexnet("mini", 7, seed=1)
    model["conv2"].params["weight"][0, 0] = np.nan
    pixels = Pixels(np.full((3, 32, 32), 100, np.float32), 1 / 70, crop=(32, 32))
    save(tmp_path / "last.safetensors", Run(Recipe(store=32), model, SGD(model), pixels, list("abcdefg"), images=9))
    capsys.readouterr()
    assert main(["study", "--out", str(out), "--checkpoint", str(tmp_path / "last.safetensors")]) == 0
    assert "numbers of y are NaN or infinite" in out.read_text(encoding="utf-8")


def test_the_nearest_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the input of the last layer, which is computed here once more; the image itself is the nearest."""
    random, folder = np.random.default_rng(2), tmp_path / "others"
    folder.mkdir()
    pictures = random.integers(0, 256, (9, 32, 32, 3), np.uint8)
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i}.png")
    out = tmp_path / "report.html"
    assert main(["study", str(folder / "4.png"), "--near", str(folder), "--out", str(out)]) == 0
    about = json.loads(out.read_text(encoding="utf-8").split('type="application/json">')[1].split("</script>")[0])
    x = pictures.transpose(0, 3, 1, 2) - pictures.mean(axis=(1, 2))[:, :, None, None]
    model = anp.alexnet("mini", dtype=np.float64)
    at = x / 64
    for layer in list(model.values())[:-2]:
        at = layer.forward(np.ascontiguousarray(at))
    distances = np.linalg.norm(at - at[4], axis=1)
    order = np.argsort(distances)[:6]
    assert [name for name, *_ in about["alike"]] == [f"{i}.png" for i in order] and order[0] == 4
    np.testing.assert_allclose([d for _, d, _ in about["alike"]], distances[order], atol=1e-12)
    assert all(picture.startswith("data:image/png;base64,") for *_, picture in about["alike"])
    assert main(["study", "--near", str(folder), "--summary"]) == 2
    assert "--near looks for images to show on a page: it needs --out" in capsys.readouterr().err
