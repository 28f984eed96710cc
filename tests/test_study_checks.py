"""The gradient check that stands beside a layer: of its own operation, on its own numbers, and it can fail."""

from typing import Any

import numpy as np
import pytest
from planned import variant

from alexnet_np import ops
from alexnet_np.dispatch import use
from alexnet_np.layers import Flatten
from alexnet_np.study.checks import check, cut
from alexnet_np.study.report import with_numbers
from alexnet_np.study.seen import Seen
from alexnet_np.study.training import train
from alexnet_np.train import SGD, train_step


@pytest.fixture(scope="module", params=["paper", "mini"])
def recording(request: pytest.FixtureRequest) -> Any:
    model = variant(request.param)
    x = np.random.default_rng(0).standard_normal((1, *(model.input_shape or ())))
    with model.record() as recording:
        recording.step(x, np.array([1]))
    return recording


def test_every_layer_is_right(recording: Any) -> None:
    for name, layer in list(recording.model.items())[:-1]:
        said = check(Seen(recording, name))
        if isinstance(layer, Flatten):
            assert said == ""
        else:
            assert said.startswith(f"gradient check of {layer.op.name} on ") and said.endswith(
                "these numbers: right"
            ), said


def test_it_is_the_layers_own_numbers(recording: Any) -> None:
    seen = Seen(recording, "conv2")
    given = cut(seen)
    assert given is not None
    (x, w, b), options = given
    assert (
        options == recording.model["conv2"].options and np.isin(x, seen["x"]).all() and np.isin(w, seen["weight"]).all()
    )
    assert len(b) == len(w) == 2 * options["groups"] and x.shape[1] == options["groups"] * w.shape[1]


def test_a_wrong_backward_is_told(recording: Any) -> None:
    @ops.relu_backward.kernel("cpu_numpy/wrong")
    def wrong(dy: Any, y: Any, *, out: Any) -> None:
        np.multiply(dy, 1.01 * (y > 0), out=out)

    try:
        with use(relu_backward="cpu_numpy/wrong"):
            said = check(Seen(recording, "relu1"))
    finally:
        ops.relu_backward.kernels.pop("cpu_numpy/wrong")
        ops.relu_backward.changed()
    assert "these numbers: right" not in said and "factor of 1.01" in said, said


def test_numbers_that_are_none_are_not_checked(recording: Any) -> None:
    x = recording["relu1", "x"]
    kept, x[0, 0, 0, 0] = x[0, 0, 0, 0], np.nan
    try:
        assert check(Seen(recording, "relu1")) == ""
    finally:
        x[0, 0, 0, 0] = kept


def test_a_short_training() -> None:
    """What it tells of each step, by the steps that a trainer takes."""
    model, other = (variant("mini") for _ in range(2))
    x, labels = np.random.default_rng(1).standard_normal((1, *(model.input_shape or ()))), np.array([2])
    told, sgd = train(model, x, labels, steps=3, lr=0.05), SGD(other)
    for step in range(3):
        w = other["conv2"].params["weight"].copy()
        train_step(other, sgd, x, labels, 0.05)
        change = np.linalg.norm(other["conv2"].params["weight"] - w) / np.linalg.norm(w)
        assert told["conv2"]["‖Δw‖ / ‖w‖"][step] == pytest.approx(change, rel=1e-12)
        assert told["conv2"]["‖w‖"][step] == pytest.approx(np.linalg.norm(w), rel=1e-12)
        dw = other["conv2"].grads["weight"]
        assert told["conv2"]["‖dweight‖"][step] == pytest.approx(np.linalg.norm(dw), rel=1e-12)
    assert set(told["pool1"]) == {"‖y‖", "‖dx‖"} and told["prob"] == {}
    model["conv2"].params["weight"][...] = np.nan
    assert train(model, x, labels) == {}


def test_formulas_with_the_layers_numbers(recording: Any) -> None:
    told = with_numbers(Seen(recording, "conv2"), "p·stride + r − top, c mod C/G")
    w, options = recording["conv2", "weight"], recording.model["conv2"].options
    assert told.endswith(f"here: p·{options['stride']} + r − {options['padding']}, c mod {w.shape[1]}")
    assert with_numbers(Seen(recording, "relu1"), "dx = dy · [x > 0]") == "dx = dy · [x > 0]"
    lrn = recording.model["norm1"].options
    assert f"^(−{lrn['beta']:g})" in with_numbers(Seen(recording, "norm1"), "scale[c]^(−β)")
