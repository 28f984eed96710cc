"""The learning rate over a run, against the formulae and, where they exist, PyTorch's schedules."""

import json
import math

import numpy as np
import pytest

from alexnet_np.train import Recipe
from alexnet_np.train.schedule import schedule


def rates(recipe: Recipe, per_epoch: int = 4) -> list[float]:
    """The learning rate of every step of the recipe's epochs."""
    made, steps = schedule(recipe), recipe.epochs * per_epoch
    return [made.lr(step, step // per_epoch, steps) for step in range(steps)]


def test_constant() -> None:
    assert rates(Recipe(schedule="constant", lr=0.3, epochs=2)) == [0.3] * 8


def test_drops_by_epoch_and_step() -> None:
    expected = [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    np.testing.assert_allclose(rates(Recipe(lr=0.1, drop=(3, 5), epochs=6), 1), expected)
    np.testing.assert_allclose(rates(Recipe(lr=0.1, drop_epochs=2, epochs=6), 1), expected)
    np.testing.assert_allclose(rates(Recipe(lr=0.1, drop_steps=2, epochs=6), 1), expected)
    np.testing.assert_allclose(
        rates(Recipe(lr=0.1, drop_steps=3, gamma=0.5, epochs=2), 4), [0.1] * 3 + [0.05] * 3 + [0.025] * 2
    )


def test_cosine() -> None:
    """From ε₀ along half a cosine: a half of it in the middle, almost nothing at the last step."""
    found = rates(Recipe(schedule="cosine", lr=0.2, epochs=5), 4)
    np.testing.assert_allclose(found, [0.1 * (1 + math.cos(math.pi * t / 20)) for t in range(20)])
    assert found[0] == 0.2 and found[10] == pytest.approx(0.1) and 0 < found[-1] < 0.002


def test_plateau() -> None:
    """A drop after `patience` epochs without a new lowest error, three at most; equal is no fall."""
    made = schedule(Recipe(schedule="plateau", lr=1.0, patience=2, drops=3))
    errors = [0.9, 0.5, 0.6, 0.5, 0.7, 0.4, 0.5, 0.41, 0.4, 0.4, 0.39, 0.5, 0.5, 0.5, 0.5, 0.5]
    expected = [0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3]
    found = []
    for error in errors:
        made.epoch_ended(error)
        found.append(round(-math.log10(made.lr(0, 0, 1))))
    assert found == expected


def test_plateau_goes_on_from_its_state() -> None:
    """Through JSON after every epoch, it does what it does without."""
    recipe = Recipe(schedule="plateau", lr=1.0, patience=2)
    whole, resumed = schedule(recipe), schedule(recipe)
    for error in np.random.default_rng(0).random(40):
        state = json.loads(json.dumps(resumed.state(), allow_nan=False))
        resumed = schedule(recipe)
        resumed.restore(state)
        for one in (whole, resumed):
            one.epoch_ended(float(error))
        assert whole == resumed
    assert whole.lr(0, 0, 1) == pytest.approx(1e-3)


def test_against_torch() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.ones(1))

    def theirs(make, epochs, errors=None):
        sgd = torch.optim.SGD([weight], lr=0.1)
        made, found = make(sgd), []
        for epoch in range(epochs):
            found.append(sgd.param_groups[0]["lr"])
            sgd.step()
            made.step(*([] if errors is None else [errors[epoch]]))
        return found

    of = torch.optim.lr_scheduler
    np.testing.assert_allclose(
        rates(Recipe(lr=0.1, drop_epochs=3, epochs=10), 1), theirs(lambda s: of.StepLR(s, 3), 10)
    )
    ours = rates(Recipe(lr=0.1, schedule="cosine", epochs=12), 1)
    np.testing.assert_allclose(ours, theirs(lambda s: of.CosineAnnealingLR(s, 12), 12))
    # PyTorch waits for one epoch more than its patience, and has no limit to the drops.
    errors = np.random.default_rng(1).random(12).tolist()
    made, ours = schedule(Recipe(lr=0.1, schedule="plateau", patience=3, drops=99)), []
    for error in errors:
        ours.append(made.lr(0, 0, 1))
        made.epoch_ended(error)
    np.testing.assert_allclose(ours, theirs(lambda s: of.ReduceLROnPlateau(s, patience=2, threshold=0), 12, errors))
