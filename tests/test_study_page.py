"""The report in a real browser: every kind of layer is clicked, its terms are the recorded numbers, no error."""

import json
import re
import subprocess
from html import unescape
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np.cli import main
from alexnet_np.layers import LRN, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from alexnet_np.study.provenance import provenance
from alexnet_np.study.report import page

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
BITS = 2.0**-9  # of the sum of the terms' sizes: numbers in the page have 11 bits, and a term has five of them at most
LEAST = 2.0**-18  # of an array's largest value: those far below it have fewer bits, to 2⁻²⁴ of it
PROBE = Path(__file__).with_name("probe_page.js").read_text(encoding="utf-8")
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def step_of(model: anp.Sequential, x: Any, label: int = 0) -> Any:
    with np.errstate(all="ignore"), model.record() as recording:
        recording.step(x, np.array([label]))
    return recording


def visited(text: str, folder: Path) -> list[dict[str, Any]]:
    """What the probe found in the page; fails where there was an error."""
    assert CHROMIUM
    file = folder / "report.html"
    file.write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command = [CHROMIUM, *options, "--virtual-time-budget=60000", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    result = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert result, done.stderr[-2000:]
    told = json.loads(unescape(result[1]))
    assert told["errors"] == []
    return list(told["found"])


def size_of(model: anp.Sequential, each: dict[str, Any]) -> float:
    """The largest finite number of an array that the probe looked at."""
    assert model.recording
    name, what = each["name"], each["what"]
    last = next(name for name in reversed(list(model)) if (name, "dy") in model.recording)
    array = model.recording[(last, "dy") if name == "loss" else (name, what)]
    return float(np.abs(array[np.isfinite(array)]).max(initial=0))


def small(channels: int = 6, size: int = 12, classes: int = 4, weight: float = 1.0) -> anp.Sequential:
    layers: dict[str, Layer] = {
        "conv1": Conv2d(3, channels, 3, 2, ((1, 0), (0, 2)), dtype=np.float64, seed=1),
        "relu1": ReLU(),
        "norm1": LRN(alpha=0.5, groups=2),
        "pool1": MaxPool2d(3, 2, 1),
        "conv2": Conv2d(channels, 8, 3, padding=1, groups=2, dtype=np.float64, seed=2),
        "pool2": MaxPool2d(2, 1),
        "flatten": Flatten(),
        "drop": Dropout(0.4, scale_at_train=False),
    }
    at = anp.operation.Spec((1, 3, size, size), np.dtype(np.float64))
    for layer in layers.values():
        at = layer.infer(at)[0]
    layers["fc"] = Linear(at.shape[1], classes, dtype=np.float64, seed=3)
    model = anp.Sequential(layers, input_shape=(3, size, size))
    for array in model.state_dict().values():
        array *= weight
    return model


@in_a_browser
@pytest.mark.parametrize("name", ["mini", "small"])
def test_the_page_makes_the_terms_that_python_makes(name: str, tmp_path: Path) -> None:
    model = small() if name == "small" else anp.alexnet("mini", 10, seed=1, dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((1, *(model.input_shape or ())))
    recording = step_of(model, x, 2)
    text = page(recording, "a step", "an image", [("a class", 0.25)], {"conv1": {"‖w‖": [1e-3, 2e-3]}})
    assert '{"‖w‖": [0.001, 0.002]}' in text and '["a class", 0.25]' in text
    *found, end = visited(text, tmp_path)
    assert {each["name"] for each in found} == {*(name for name in model if name != "prob"), "loss"}
    for each in found:
        value, total, size = (float(each[key]) for key in ("value", "sum", "size"))
        largest = size_of(model, each)
        assert abs(total - value) <= BITS * size + LEAST * largest, each
        ours = provenance(model, each["name"], each["what"], tuple(each["at"]))
        assert each["count"] == len(ours.terms), each
        assert abs(ours.value - value) <= BITS * abs(ours.value) + LEAST * largest, each
    assert end["end"] == "loss" and end["followed"] >= 5 and all("0 everywhere" in note for note in end["notes"])


@in_a_browser
@pytest.mark.parametrize("strange", ["NaN", "dead", "no gradient", "one class", "one pixel"])
def test_strange_networks(strange: str, tmp_path: Path) -> None:
    """The page says what is strange, and still shows everything."""
    model = small(size=8 if strange == "one pixel" else 12, classes=1 if strange == "one class" else 4)
    x = np.random.default_rng(1).standard_normal((1, *(model.input_shape or ())))
    if strange == "NaN":
        x[0, 1, 3, 4] = np.nan
    elif strange == "dead":
        model["conv1"].params["weight"][2:4] = 0
        model["conv1"].params["bias"][2:4] = -1
    elif strange == "no gradient":
        model["fc"].params["weight"][...] = 0
    *found, end = visited(page(step_of(model, x), "a step", "an image"), tmp_path)
    notes = end["notes"]
    said = {
        "NaN": "numbers of y are NaN or infinite", "dead": "relu1: 2 of 6 channels of y are 0 everywhere",
        "no gradient": "fc: every number of dx is 0; nothing is learned from here on",
        "one class": "fc: every number of dx is 0", "one pixel": "",
    }[strange]  # fmt: skip
    assert any(said in note for note in notes) or not said
    for each in found:
        value, total, size = (float(each[key]) for key in ("value", "sum", "size"))
        if np.isfinite(size) and np.isfinite(value):
            assert abs(total - value) <= BITS * size + LEAST * size_of(model, each), each
        else:
            assert strange == "NaN"


def test_a_report_of_a_large_network_stays_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The one with the most weights in its convolutions, at 224 pixels."""
    file = tmp_path / "torch.html"
    assert main(["study", "--variant", "torch", "--out", str(file)]) == 0
    assert file.stat().st_size < 20 * 10**6
    text = file.read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!data:)', text) and "://" not in text, "it needs nothing from outside"
    assert "open it in a browser" in capsys.readouterr().out


def test_what_a_report_is_not_made_of(capsys: pytest.CaptureFixture[str]) -> None:
    model = anp.alexnet("mini", 10)
    with model.record() as recording:
        model.forward(np.ones((1, 3, 32, 32), np.float32))
    with pytest.raises(ValueError, match="a report is of a recording's"):
        page(recording, "a step", "")
    assert main(["study", "a.png", "b.png", "--out", "x.html"]) == 2
    assert "a page shows one image, got 2" in capsys.readouterr().err
