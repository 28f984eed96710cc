"""Training on real images, in a short form: the long one is a command in the README."""

import os
from pathlib import Path

import numpy as np
import pytest

from alexnet_np import data
from alexnet_np.data.dataset import Split, subset
from alexnet_np.train import Recipe, evaluate, fit, start

pytestmark = pytest.mark.skipif("ALEXNET_DATA" not in os.environ, reason="ALEXNET_DATA is not set: no real images here")
REAL = Path(os.environ.get("ALEXNET_DATA", ""))


def test_fashion_mnist() -> None:
    """An epoch over a tenth of the training images gets seven of ten held-out ones right."""
    whole = data.load(str(REAL / "fashion_mnist"), (1, 28, 28))
    split = Split(subset(whole.train, 6000), subset(whole.test, 1000))
    run = start(Recipe("fashion", epochs=1, batch=32, lr=0.01), split)
    assert fit(run, split)
    assert evaluate(run.model, split.test, run.pixels).top1 > 0.7


def test_photographs_from_a_folder_per_class() -> None:
    """A few epochs on small copies of photographs: well above the one in ten of a guess."""
    split = data.load(str(REAL / "imagenette224"), (3, 32, 32))
    run = start(Recipe("mini", epochs=8, batch=32, lr=0.02, seed=1), split)
    assert fit(run, split)
    assert evaluate(run.model, split.test, run.pixels).top1 > 0.2


def test_a_step_on_full_photographs() -> None:
    """One step of a 224-pixel variant on decoded photographs, and a prediction."""
    split = data.load(str(REAL / "imagenette224"), (3, 224, 224))
    few = Split(subset(split.train, 8), subset(split.test, 4))
    run = start(Recipe("torchvision", epochs=1, batch=8), few)
    losses: list[float] = []
    assert fit(run, few, tell=lambda report: losses.append(report.loss))
    np.testing.assert_allclose(losses, np.log(10), rtol=0.05)  # ten classes, not yet learned
    probs = run.model.forward(run.pixels(few.test.images(np.arange(4))))
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)
