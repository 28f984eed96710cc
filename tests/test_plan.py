"""Planned training steps are the same as eager ones: every variant, every rule, any batch, any number of threads."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from planned import CLASSES, LIMIT, SIDE, Twins, off, state, variant

import alexnet_np as anp
from alexnet_np.kernels.stages import convolution
from alexnet_np.train import SGD
from alexnet_np.train.recipe import Recipe

CAFFE = Recipe(lr=0.02, bias_lr=2.0, bias_decay=0.0, weight_decay=0.05)


@pytest.fixture(autouse=True)
def number() -> Iterator[None]:
    before = anp.threads()
    yield
    anp.set_threads(before)


@pytest.mark.parametrize("name", anp.VARIANTS)
def test_variants(name: str) -> None:
    """Dropout's masks, which the batch does not show, change from step to step."""
    Twins(lambda: variant(name), batch=3, recipe=CAFFE).steps(3)


def test_a_whole_network_of_real_width() -> None:
    Twins(lambda: variant("torchvision", width=4096), batch=2).steps(2)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batches(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that the batch does not fill, and chunks of the gradients' sums that it does not fill."""
    twins = Twins(lambda: variant("cifar", side=32), batch)
    twins.steps(2)
    memory = twins.plan.memory
    monkeypatch.setattr(convolution, "CHUNK_BYTES", 1)
    chunks = Twins(lambda: variant("cifar", side=32), batch)
    assert chunks.plan.memory < memory or batch < 5
    chunks.steps(2)


@pytest.mark.parametrize(
    "rule",
    [
        Recipe(momentum=0.0, weight_decay=0.0),
        Recipe(bias_lr=3.0, bias_decay=0.5, weight_decay=0.1),
        Recipe(freeze=("conv1",)),
        Recipe(freeze=("conv1..conv3",)),
        Recipe(freeze=("conv2", "fc7"), weight_decay=0.1),
        Recipe(freeze=("conv1..fc7",)),
        Recipe(freeze=("fc6..fc8",)),
    ],
    ids=lambda rule: f"{rule.freeze or rule.bias_lr}",
)
def test_rules(rule: Recipe) -> None:
    twins = Twins(lambda: variant("mini", side=21), batch=4, recipe=rule)
    before = {name: array.copy() for name, array in twins.model.state_dict().items()}
    twins.steps(3)
    for name, array in twins.model.state_dict().items():
        frozen = name not in twins.plan.sgd.velocity
        assert np.array_equal(array, before[name]) == frozen, name


def test_a_given_optimizer_and_learning_rate() -> None:
    """Its rules count, its velocity goes on; the rate of a step is the one that is given."""
    twins = Twins(lambda: variant("fashion"), batch=2)
    plan = anp.Plan(twins.model, twins.plan.shape, replace(CAFFE, momentum=0.1), sgd=SGD(twins.model, 0.5, 0.3))
    reference, (x, labels) = SGD(twins.eager, 0.5, 0.3), twins.batch()
    for velocity in (plan.sgd.velocity, reference.velocity):
        random = np.random.default_rng(1)
        for array in velocity.values():
            array += random.standard_normal(array.shape)
    plan.step(x, labels, 0.125)
    anp.train.train_step(twins.eager, reference, x, labels, 0.125)
    for name, expected in state(twins.eager, reference).items():
        assert off(state(twins.model, plan.sgd)[name], expected) <= LIMIT[np.float64], name


def test_the_seed_is_that_of_the_masks() -> None:
    def loss(**options: Any) -> float:
        twins = Twins(lambda: variant("mini"), batch=6)
        return float(anp.Plan(twins.model, twins.plan.shape, **options).step(*twins.batch()))

    assert loss() == loss(seed=5) != loss(seed=6)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", SIDE)
def test_predictions(name: str, batch: int) -> None:
    """With what each variant's dropout does to them, and the ReLU behind a linear layer in one with it."""
    twins = Twins(lambda: variant(name), batch)
    x, _ = twins.batch()
    assert off(twins.plan.predict(x), twins.eager.forward(x)) <= LIMIT[np.float64]
    assert off(twins.plan.predict(x, logits=True), twins.eager.forward(x, logits=True)) <= LIMIT[np.float64]


def test_single_precision() -> None:
    """The loss and the output, which are continuous: one flipped winner or sign changes a whole gradient by 1e-3."""
    for name in ("mini", "cifar", "fashion"):
        twins = Twins(lambda name=name: variant(name, np.float32), batch=5)  # type: ignore[misc]
        x, _ = twins.batch()
        assert off(twins.plan.predict(x), twins.eager.forward(x)) <= LIMIT[np.float32]
        assert twins.step()["loss"] <= LIMIT[np.float32]


@pytest.mark.parametrize("name", ["mini", "fashion", "caffenet"])
def test_other_kernels_than_the_fused_ones(name: str) -> None:
    """The same kernels as layer by layer, so the same bits; chosen when the plan is made, not when it is used."""
    with anp.use("cpu_numpy"):
        twins = Twins(lambda: variant(name), batch=3, recipe=CAFFE)
    for _ in range(3):
        x, labels = twins.batch()
        loss, predicted = twins.plan.step(x, labels), twins.plan.predict(x)
        with anp.use("cpu_numpy"):
            assert loss == anp.train.train_step(twins.eager, twins.sgd, x, labels, CAFFE.lr)
            np.testing.assert_array_equal(predicted, twins.eager.forward(x))
        for of, array in state(twins.eager, twins.sgd).items():
            np.testing.assert_array_equal(state(twins.model, twins.plan.sgd)[of], array, of)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["mini", "cifar"])
def test_the_same_bits_for_any_number_of_threads(name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is chosen before or after the plan was made; with sums over images in one chunk or in several."""

    def results(before: int, after: int) -> list[Any]:
        anp.set_threads(before)
        twins = Twins(lambda: variant(name, dtype, side=32), batch=19)
        twins.plan.step(*twins.batch())
        anp.set_threads(after)
        losses = [twins.plan.step(*twins.batch()) for _ in range(2)]
        return [losses, twins.plan.predict(twins.batch()[0]), *state(twins.model, twins.plan.sgd).values()]

    expected = results(1, 1)
    for before, after in ((2, 2), (3, 3), (1, 3), (3, 1), (3, 2)):
        for got, one in zip(results(before, after), expected, strict=True):
            np.testing.assert_array_equal(got, one, f"{before}, then {after} threads")
    monkeypatch.setattr(convolution, "CHUNK_BYTES", 1)
    expected = results(1, 1)
    for threads in (2, 3):
        for got, one in zip(results(threads, threads), expected, strict=True):
            np.testing.assert_array_equal(got, one, f"{threads} threads, chunks")


def test_predictions_and_steps_leave_each_other_alone() -> None:
    twins = Twins(lambda: variant("mini"), batch=5)
    x, labels = twins.batch()
    steps = [twins.batch() for _ in range(3)]

    def train(predicting: bool) -> list[Any]:
        model = variant("mini")
        model.load_state_dict(twins.eager.state_dict())
        plan, seen = anp.Plan(model, twins.plan.shape, CAFFE), []
        for batch in steps:
            if predicting:
                seen.append(plan.predict(x))
                assert off(seen[-1], model.forward(x)) <= LIMIT[np.float64]
            plan.step(*batch)
        kept = [a.copy() for a in seen]
        if predicting:
            model["conv1"].params["weight"][0] *= -1
            model["fc8"].params["bias"][...] += 1
            changed = plan.predict(x)
            assert off(changed, model.forward(x)) <= LIMIT[np.float64] and off(changed, seen[-1]) > 1e-6
            np.testing.assert_array_equal(plan.predict(x), changed)
            model["conv1"].params["weight"][0] *= -1
            model["fc8"].params["bias"][...] -= 1
        for before, now in zip(kept, seen, strict=True):
            np.testing.assert_array_equal(before, now, "what was returned changes no more")
        assert not seen or off(seen[1], seen[0]) > 1e-6
        return list(state(model, plan.sgd).values())

    for one, other in zip(train(True), train(False), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-14)
    assert twins.plan.predict(x).shape == (5, CLASSES) and labels.max() < CLASSES


def test_threads_that_share_a_plan_take_turns() -> None:
    """As in a web server: each gets what belongs to its own images."""
    model, random = variant("mini"), np.random.default_rng(5)
    assert model.input_shape
    xs = random.standard_normal((4, 3, *model.input_shape))
    plan = anp.Plan(model, xs[0].shape)
    expected, found = [plan.predict(x) for x in xs], [[] for _ in xs]

    def ask(number: int) -> None:
        found[number] += [plan.predict(xs[number]) for _ in range(50)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, many in zip(expected, found, strict=True):
        assert len(many) == 50 and all(np.array_equal(one, each) for each in many)
