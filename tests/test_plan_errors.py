"""What a plan refuses changes nothing, and what it needs it takes once."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from planned import CLASSES, Twins, state, variant

import alexnet_np as anp
from alexnet_np.train.finite import NotFinite


@pytest.fixture
def twins() -> Twins:
    twins = Twins(lambda: variant("mini", np.float32), batch=5)
    twins.step()
    return twins


BAD = {
    "another batch": (lambda x, t: (x[:4], t), ValueError, r"x must be float32 \(5, 3, 15, 15\), got float32 \(4, 3"),
    "another image": (lambda x, t: (x[:, :, 1:], t), ValueError, r"x must be float32 .* got float32 \(5, 3, 14, 15\)"),
    "another dtype": (lambda x, t: (x.astype(np.float64), t), ValueError, "x must be float32 .* got float64"),
    "reversed": (lambda x, t: (x[..., ::-1], t), ValueError, "x must be C-contiguous, got strides"),
    "Fortran": (lambda x, t: (np.asfortranarray(x), t), ValueError, "x must be C-contiguous, got strides"),
    "a list": (lambda x, t: (x.tolist(), t), TypeError, "x must be an array, got list"),
    "no image": (lambda x, t: (None, t), TypeError, "x must be an array, got NoneType"),
    "too few labels": (lambda x, t: (x, t[1:]), ValueError, r"labels must be 5 integers, got int64 \(4,\)"),
    "labels of two axes": (lambda x, t: (x, t[:, None]), ValueError, r"labels must be 5 integers, got int64 \(5, 1\)"),
    "labels of floats": (lambda x, t: (x, t + 0.5), ValueError, "labels must be 5 integers, got float64"),
    "labels in a list": (lambda x, t: (x, t.tolist()), ValueError, "labels must be 5 integers, got list"),
    "a label too high": (lambda x, t: (x, np.append(t[1:], CLASSES)), ValueError, "labels has 7, expected 0 … 6"),
    "a label too low": (lambda x, t: (x, np.append(t[1:], -1)), ValueError, "labels has -1, expected 0 … 6"),
    "a rate below 0": (lambda x, t: (x, t, -0.1), ValueError, "lr must lie in"),
    "no rate": (lambda x, t: (x, t, np.nan), ValueError, "lr must be a finite number, got nan"),
    "an endless rate": (lambda x, t: (x, t, np.inf), ValueError, "lr must be a finite number, got inf"),
    "NaN": (lambda x, t: (np.full_like(x, np.nan), t), NotFinite, "loss is nan at step 2: the images themselves"),
    "too large": (lambda x, t: (1e37 * x, t), NotFinite, "the loss is nan at step 2: it began in"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_a_step_refuses_changes_nothing(name: str, twins: Twins) -> None:
    spoil, error, message = BAD[name]
    x, labels = twins.batch()
    before = {of: array.copy() for of, array in state(twins.model, twins.plan.sgd).items()}
    with pytest.raises(error, match=message):
        twins.plan.step(*spoil(x, labels))
    for of, array in state(twins.model, twins.plan.sgd).items():
        np.testing.assert_array_equal(array, before[of], of)
    assert twins.model.iteration == 1
    errors = twins.step()
    assert errors["loss"] < 1e-5, "and the next step is what it would have been"


@pytest.mark.parametrize("name", ["another batch", "another dtype", "reversed", "a list"])
def test_what_a_prediction_refuses(name: str, twins: Twins) -> None:
    spoil, error, message = BAD[name]
    with pytest.raises(error, match=message):
        twins.plan.predict(spoil(*twins.batch())[0])


@pytest.mark.parametrize(
    ("shape", "message"),
    [((5, 4, 15, 15), "x has 4 channels"), ((5, 3, 17, 31), "fc6|linear"), ((0, 3, 15, 15), "without elements"),
     ((5, 3, 15), "expected"), ((5, 3, 2, 2), "window")],
)  # fmt: skip
def test_shapes_that_do_not_fit_the_network(shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        anp.Plan(variant("mini"), shape)


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int64, ">i4", "<i4"])
def test_labels_of_any_integers(kind: Any, twins: Twins) -> None:
    """Also such that do not lie one behind the other, or whose bytes lie in another order, as in files."""
    x, labels = twins.batch()
    other = anp.Plan(variant("mini", np.float32), twins.plan.shape)
    other.model.load_state_dict(twins.model.state_dict())
    other.model.iteration = twins.model.iteration
    loss = twins.plan.step(x, labels)
    assert loss == other.step(x, np.repeat(labels.astype(kind), 3)[::3])


def test_kernels_that_cannot_be_had() -> None:
    with anp.use(conv2d="cpu_numba/winograd"), pytest.raises(anp.NoKernel, match="it refuses: a window of 7 x 7"):
        anp.Plan(variant("mini"), (2, 3, 15, 15)).step(*Twins(lambda: variant("mini"), batch=2).batch())


@pytest.mark.parametrize("name", ["mini", "cifar"])
def test_a_step_allocates_next_to_nothing(name: str) -> None:
    """Python's own objects, and what an operation's kernel needs that no plan can lay out: a vector of a batch."""
    twins = Twins(lambda: variant(name, np.float32, side=32), batch=32)
    x, labels = twins.batch()
    twins.plan.step(x, labels)
    for _ in range(2):  # the second is the first that compares the filters, which may have to be compiled
        twins.plan.predict(x)
    tracemalloc.start()
    try:
        for run in (lambda: twins.plan.step(x, labels), lambda: twins.plan.predict(x)):
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            run()
            assert tracemalloc.get_traced_memory()[1] - before < min(150_000, twins.plan.memory / 50)
    finally:
        tracemalloc.stop()


def test_memory_is_told_beforehand() -> None:
    """And taken with the first step: only the optimizer's zeros were there before, which a system gives when used."""
    twins = Twins(lambda: variant("fashion", np.float32), batch=64)
    arrays = sum(array.nbytes for array in state(twins.model, twins.plan.sgd).values())
    told = twins.plan.memory - arrays
    twins.plan.schedule.arena.allocate()
    block = twins.plan.schedule.arena.buffers[0].array
    while block.base is not None:
        block = block.base
    assert block.nbytes == told > 1 << 20
    shown = str(twins.plan).splitlines()[-1]
    assert shown == f"{told / 2**20:,.0f} MiB in one arena, {(told + arrays) / 2**20:,.0f} in all"
