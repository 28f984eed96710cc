"""Predictions of fewer images than threads: all threads go through the stages together, with the same bits."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from planned import SIDE, variant

import alexnet_np as anp
from alexnet_np.conformance import poisoned
from alexnet_np.kernels.stages.few import Few
from alexnet_np.layers import Flatten, Linear, ReLU
from alexnet_np.network import Sequential


@pytest.fixture(params=[2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = anp.threads()
    anp.set_threads(request.param)
    yield request.param
    anp.set_threads(before)


def one_by_one(plan: anp.Plan, x: Any) -> Any:
    """The same stages, each by itself."""
    schedule = plan._schedule(False)
    schedule.few = None
    return plan.predict(x)


def poison(plan: anp.Plan) -> None:
    """Memory that held something else before."""
    arena = plan._schedule(False).arena
    arena.allocate()
    for buffer in arena.buffers:
        buffer.array[...] = poisoned(buffer.shape, buffer.dtype)


@pytest.mark.parametrize("name", list(SIDE))
def test_together_is_one_by_one(name: str, threads: int) -> None:
    for images in range(1, threads):
        model = variant(name, np.float32)
        assert model.input_shape
        x = np.random.default_rng(images).standard_normal((images, *model.input_shape)).astype(np.float32)
        plan, other = (anp.Plan(model, x.shape) for _ in range(2))
        poison(plan)
        for change in range(3):  # U is made, kept, and made anew of other filters
            np.testing.assert_array_equal(plan.predict(x), one_by_one(other, x))
            np.testing.assert_allclose(plan.predict(x), model.forward(x), rtol=1e-4, atol=1e-6)
            if change:
                model[f"conv{1 + change}"].params["weight"][-1] *= 1.5


def test_linear_layers_of_a_few_images(threads: int) -> None:
    """Rows that are worth a thread each, and a kernel without steps between them."""
    layers = {"flatten": Flatten(), "fc1": Linear(3000, 900), "relu1": ReLU(), "fc2": Linear(900, 1100)}
    model = Sequential(layers, input_shape=(3, 10, 100))
    for images in range(1, threads):
        x = np.random.default_rng(images).standard_normal((images, 3, 10, 100)).astype(np.float32)
        plan, other = (anp.Plan(model, x.shape) for _ in range(2))
        poison(plan)
        np.testing.assert_array_equal(plan.predict(x), one_by_one(other, x))
        np.testing.assert_allclose(plan.predict(x), model.forward(x), rtol=1e-4, atol=1e-5)


def test_a_step_that_fails_lets_the_others_go(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = variant("mini", np.float32)
    assert model.input_shape
    x = np.ones((1, *model.input_shape), np.float32)
    plan = anp.Plan(model, x.shape)
    right = plan.predict(x)
    stage = plan._schedule(False).stages[1]

    def failing(part: int, parts: int) -> None:
        if part == 1:
            raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "steps", lambda state, compare: [failing])
        with pytest.raises(MemoryError, match="no room"):
            plan.predict(x)
    np.testing.assert_array_equal(plan.predict(x), right)


def test_stages_without_steps_run_by_themselves(threads: int) -> None:
    ran: list[Any] = []

    class Stage:
        def __init__(self, name: str, in_steps: bool) -> None:
            self.name, self.in_steps = name, in_steps

        def forward(self, train: bool) -> None:
            ran.append(self.name)

        def steps(self, state: Any, compare: bool) -> list[Any]:
            return [lambda part, parts: ran.append((self.name, part))]

    Few()([Stage("a", False), Stage("b", True), Stage("c", True), Stage("d", False)])  # type: ignore[list-item]
    assert ran[0] == "a" and ran[-1] == "d"
    assert sorted(ran[1 : 1 + threads]) == [("b", part) for part in range(threads)]
    assert sorted(ran[1 + threads : -1]) == [("c", part) for part in range(threads)]
