"""The profile of training steps: what is timed, that it changes nothing, and that the trace is well-formed."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import alexnet_np as anp
from alexnet_np.cli import main
from alexnet_np.train import SGD, load, train_step
from alexnet_np.train.profile import Timeline, profile, time_steps

RANDOM = np.random.default_rng(0)
BATCHES = [(RANDOM.standard_normal((4, 3, 32, 32)).astype(np.float32), RANDOM.integers(0, 5, 4)) for _ in range(6)]


def train(watch: int = 0) -> tuple[anp.Sequential, Timeline | None]:
    """Six steps of `mini`, the first `watch` of them profiled, with a forward pass for evaluation between them."""
    model = anp.alexnet("mini", 5, seed=2)
    sgd = SGD(model)
    if not watch:
        for x, labels in BATCHES:
            train_step(model, sgd, x, labels, 0.05)
        return model, None
    with profile(model, sgd, watch) as timeline:
        for i, (x, labels) in enumerate(timeline.data(BATCHES)):
            train_step(model, sgd, x, labels, 0.05)
            if i == 1:
                model.forward(x)
    return model, timeline


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    _, timeline = train(watch=4)
    assert timeline is not None
    return timeline


def test_profiling_changes_nothing() -> None:
    """The same weights bit for bit, and layers and optimizer are left as they were found."""
    plain, _ = train()
    watched, _ = train(watch=4)
    for name, array in plain.state_dict().items():
        np.testing.assert_array_equal(array, watched.state_dict()[name], err_msg=name)
    for owner in (watched, *watched.values()):
        assert not {"forward", "backward", "step"} & vars(owner).keys()


def test_every_layer_of_every_step_is_timed(timeline: Timeline) -> None:
    trained = [name for name in timeline.model if name != "prob"]  # the loss takes logits
    for step in (1, 2, 3, 4):
        found = [(event.category, event.name) for event in timeline.events if event.step == step]
        assert found == [
            ("data", "wait for data"),
            *(("forward", name) for name in trained),
            ("forward", "forward"),
            ("loss", "loss"),
            *(("backward", name) for name in reversed(trained)),
            ("backward", "backward"),
            ("update", "update"),
            ("step", f"step {step}"),
        ]
    evaluated = [event.name for event in timeline.events if event.step is None]
    assert evaluated == [*timeline.model, "forward"]
    assert len(timeline.events) == 4 * len(found) + len(evaluated), "steps beyond those asked for were recorded"
    conv = next(event for event in timeline.events if event.name == "conv1")
    assert conv.args["output"] == [4, 24, 16, 16] and conv.args["kernels"][0].startswith("conv2d: cpu_")


def test_trace_is_json_whose_events_nest(timeline: Timeline, tmp_path: Path) -> None:
    """Complete events with microseconds; any two either lie one in the other or apart, and none outside its step."""
    timeline.write(tmp_path / "runs" / "trace.json")
    trace = json.loads((tmp_path / "runs" / "trace.json").read_text())
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(events) == len(timeline.events) and {event["pid"] for event in events} == {1}
    assert [event["name"] for event in trace["traceEvents"] if event["ph"] == "M"] == ["process_name", "thread_name"]
    nanosecond, open_ones = 1e-3, list[dict]()
    parents = {}
    for event in events:
        assert event["ts"] >= 0 and event["dur"] >= 0
        while open_ones and event["ts"] >= open_ones[-1]["ts"] + open_ones[-1]["dur"] - nanosecond / 2:
            open_ones.pop()
        if open_ones:
            end = open_ones[-1]["ts"] + open_ones[-1]["dur"]
            assert event["ts"] + event["dur"] <= end + nanosecond, (event, open_ones[-1])
        parents.setdefault((event["name"], event["cat"]), set()).add(open_ones[-1]["cat"] if open_ones else None)
        open_ones.append(event)
    assert parents["conv1", "forward"] == {"forward"} and parents["conv1", "backward"] == {"backward"}
    assert parents["forward", "forward"] == parents["loss", "loss"] == parents["update", "update"] == {"step"}
    assert parents["conv1", "evaluate"] == {"evaluate"} and parents["forward", "evaluate"] == {None}
    whole = sum(event["dur"] for event in events if event["cat"] == "step") / 1e3
    np.testing.assert_allclose(whole, sum(event.ms for event in timeline.events if event.category == "step"))


def test_table_is_the_mean_of_the_events() -> None:
    """On times that are known: the first step is left out, an evaluation is not counted, shares are of the step."""
    _, timeline = train(watch=3)
    assert timeline is not None
    lengths = {"conv1": 10.0, "forward": 25.0, "backward": 40.0, "loss": 5.0, "update": 6.0, "wait for data": 4.0}
    for i, event in enumerate(timeline.events):
        scale = {1: 1000.0, 2: 1.0, 3: 3.0, None: 1e6}[event.step]
        ms = lengths.get(event.name, 100.0 if event.category == "step" else 1.0) * scale
        timeline.events[i] = event._replace(end=event.start + round(ms * 1e6))
    rows, parts, steps = timeline.averages()
    assert steps == 2
    by_name = {row.name: row for row in rows}
    assert list(by_name) == list(timeline.model)
    np.testing.assert_allclose([by_name["conv1"].forward, by_name["conv1"].backward], [20, 20])
    np.testing.assert_allclose([by_name["pool2"].forward, by_name["prob"].forward], [2, 0])
    expected = {"data": 8, "forward": 50, "loss": 10, "backward": 80, "update": 12, "step": 200}
    assert parts.keys() == expected.keys()
    np.testing.assert_allclose([parts[name] for name in expected], list(expected.values()))
    lines = {line.split("  ")[0].strip(): line.split() for line in timeline.table().splitlines()}
    assert lines["conv1"][1:] == ["Conv2d", "20.00", "20.00", "40.00", "20.0%"]
    assert lines["network"][1:] == ["50.00", "80.00", "130.00", "65.0%"]
    assert lines["between them"][2:] == ["40.00", "20.0%"] and lines["step"][1:] == ["200.00", "100.0%"]
    assert timeline.table().splitlines()[0] == "mini, mean of 2 steps after the first, batch 4, milliseconds"
    assert timeline.table().splitlines()[-1] == "20.0 images/s"


def test_an_error_inside_restores_the_layers() -> None:
    model = anp.alexnet("mini", 5)
    sgd = SGD(model)
    with pytest.raises(ValueError, match="conv1"), profile(model, sgd) as timeline:
        model.forward(BATCHES[0][0][0], train=True)
    assert "forward" not in vars(model["conv1"]) and "step" not in vars(sgd)
    with pytest.raises(ValueError, match="no training step was profiled"):
        timeline.table()


def test_timing_random_images_leaves_the_weights() -> None:
    model = anp.alexnet("fashion", 10, seed=1)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    timeline = time_steps(model, batch=2, steps=3)
    assert timeline.averages()[2] == 2 and timeline.batch == 2 and model.iteration == 0
    np.testing.assert_equal(model.state_dict(), before)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(8):
            pixels = RANDOM.integers(0, 256, (36, 36, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


def test_on_the_command_line(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A profiled run ends with the weights of a plain one; a run that is already done has nothing to profile."""
    common = ["train", "--data", str(photos), "--batch", "6", "--epochs", "2", "--threads", "1"]
    trace = tmp_path / "trace.json"
    assert main([*common, "--out", str(tmp_path / "plain")]) == 0
    assert main([*common, "--out", str(tmp_path / "watched"), "--profile", str(trace)]) == 0
    printed = capsys.readouterr().out
    assert "mini, mean of 3 steps after the first, batch 6, milliseconds" in printed and f"wrote {trace}" in printed
    steps = [event["name"] for event in json.loads(trace.read_text())["traceEvents"] if event.get("cat") == "step"]
    assert steps == ["step 1", "step 2", "step 3", "step 4"]
    stages = [event for event in json.loads(trace.read_text())["traceEvents"] if event["name"] == "conv1 relu1"]
    assert [event["cat"] for event in stages] == 4 * ["forward", "backward"], "a plan's stages, not layers"
    assert stages[0]["args"]["output"] == [6, 16, 16, 24] and "\nconv1 relu1" in printed
    plain, watched = (load(tmp_path / name / "last.safetensors") for name in ("plain", "watched"))
    np.testing.assert_equal(watched.model.state_dict(), plain.model.state_dict())
    assert (tmp_path / "watched" / "curves.png").is_file() and not (tmp_path / "watched" / "tensorboard").exists()
    trace.unlink()
    assert main(["train", "--resume", str(tmp_path / "watched" / "last.safetensors"), "--profile", str(trace)]) == 0
    assert "nothing to profile" in capsys.readouterr().out and not trace.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("epochs", ["2", "26"])  # 4 steps, or 52 of which the first 50 are profiled
def test_a_timeline_that_cannot_be_written(
    epochs: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The training goes on to its end; the exit code tells that a file is missing."""
    command = ["train", "--data", str(photos), "--batch", "6", "--epochs", epochs, "--threads", "1"]
    assert main([*command, "--out", str(tmp_path / "run"), "--profile", "/dev/full"]) == 2
    said, last = capsys.readouterr().err.splitlines()
    assert said == "alexnet-np: the timeline is not written: [Errno 28] No space left on device: '/dev/full'"
    assert last == "alexnet-np: the training is done, but /dev/full is not written"
    assert load(tmp_path / "run" / "last.safetensors").model.iteration == 2 * int(epochs)
    assert (tmp_path / "run" / "curves.png").is_file()
