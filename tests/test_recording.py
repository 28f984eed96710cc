"""A recording keeps what went through the layers, and leaves them as they were."""

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.recording import NAMES


@pytest.fixture
def model() -> anp.Sequential:
    return anp.alexnet("mini", 5, seed=2, dtype=np.float64)


def batch(model: anp.Sequential) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.standard_normal((3, *(model.input_shape or ()))), random.integers(0, 5, 3)


def test_everything_of_a_step(model: anp.Sequential) -> None:
    x, labels = batch(model)
    with model.record() as rec:
        loss = rec.step(x, labels)
    inputs, at = {}, x
    for name, layer in list(model.items())[:-1]:
        inputs[name], at = at, layer.forward(at, train=True)
        np.testing.assert_array_equal(rec[name, "x"], inputs[name])
        np.testing.assert_array_equal(rec[name, "y"], at)
    expected, probs = ops.softmax_cross_entropy(at, labels)
    assert loss == rec.loss == expected
    dy = ops.softmax_cross_entropy_backward(probs, labels)
    for name, layer in reversed(list(model.items())[:-1]):
        np.testing.assert_array_equal(rec[name, "dy"], dy)
        dy = layer.backward(dy)
        np.testing.assert_array_equal(rec[name, "dx"], dy)
        for key, gradient in layer.grads.items():
            np.testing.assert_array_equal(rec[name, f"d{key}"], gradient)
            np.testing.assert_array_equal(rec[name, key], layer.params[key])
    assert ("prob", "y") not in rec and all(t >= 0 for t in rec.seconds.values())
    assert set(rec.seconds) == {(name, way) for name in list(model)[:-1] for way in ("forward", "backward")}


def test_it_is_a_copy_of_what_changes(model: anp.Sequential) -> None:
    """The caller's images, the weights, and the gradients' memory, which the next step uses again."""
    x, labels = batch(model)
    with model.record() as rec:
        rec.step(x, labels)
    before = {key: rec[key].copy() for key in [("conv1", "x"), ("conv1", "weight"), ("conv1", "dweight")]}
    x[...] = 1
    model["conv1"].params["weight"][...] = 2
    model.backward(ops.softmax_cross_entropy(model.forward(x, train=True, logits=True), labels)[1])
    for key, array in before.items():
        np.testing.assert_array_equal(rec[key], array)


def test_layers_are_as_before(model: anp.Sequential) -> None:
    x, labels = batch(model)
    before = {name: dict(vars(layer)) for name, layer in model.items()}
    with pytest.raises(ZeroDivisionError), model.record(["conv1", "fc8"], ["y"]) as rec:
        assert "forward" in vars(model["conv1"]) and "forward" not in vars(model["conv2"])
        rec.step(x, labels)
        raise ZeroDivisionError
    for name, layer in model.items():
        assert vars(layer).keys() == before[name].keys()
    assert ("fc8", "y") in rec and ("conv2", "y") not in rec and ("fc8", "x") not in rec


def test_what_it_refuses(model: anp.Sequential) -> None:
    with pytest.raises(ValueError, match="no layer 'conv9'; it has conv1"):
        model.record(["conv9"])
    with pytest.raises(ValueError, match=f"'z' is nothing that a layer leaves; that is {', '.join(NAMES)}"):
        model.record(names=["z"])
    with model.record() as rec:
        with pytest.raises(RuntimeError, match="conv1 is recorded or timed already"), model.record():
            pass
        rec.step(*batch(model))
    assert "forward" not in vars(model["conv1"])
    with pytest.raises(KeyError, match="index of pool1 was not recorded; of pool1 there is dx, dy, x, y"):
        rec["pool1", "index"]


def test_the_budget(model: anp.Sequential) -> None:
    """Views and arrays that two layers share count once."""
    x, labels = batch(model)
    with model.record() as rec:
        rec.step(x, labels)
    held = {id(a): a for a in (b if b.base is None else b.base for b in rec._arrays.values())}
    assert rec.nbytes == sum(a.nbytes for a in held.values())
    with model.record(budget=rec.nbytes) as again:
        again.step(x, labels)
    with pytest.raises(MemoryError, match="its budget is"), model.record(budget=rec.nbytes - 1) as more:
        more.step(x, labels)
    assert "forward" not in vars(model["conv1"])
