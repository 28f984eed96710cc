"""Operations bound to their shapes, and to their arrays: the plain call's numbers, and its look at values."""

from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.conformance import Nonconforming, accepted, check_kernel, run, runnable
from alexnet_np.dispatch import Op
from alexnet_np.layers import Linear
from alexnet_np.operation import Spec
from alexnet_np.ops.cases import cases
from alexnet_np.plan.arena import Buffer
from alexnet_np.plan.bound import Bound, Repeated
from alexnet_np.plan.update import Update
from alexnet_np.train import SGD

KERNELS = [(op, key) for op in anp.load_kernels().values() for key in runnable(op, "cpu_numpy", "cpu_numba")]
MATRIX, LABELS = Spec((4, 6), np.dtype(np.float32)), Spec((4,), np.dtype(np.int64))


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("op", "key"), KERNELS, ids=[f"{op.name}-{key}" for op, key in KERNELS])
def test_bound_to_arrays(op: Op, key: str) -> None:
    for case in accepted(op, key, cases(op, np.float32)):
        plain, bound = run(op, key, case), run(op, key, case, bound=True)
        for name, array in plain.items():
            assert bound[name].tobytes() == array.tobytes(), (case.name, name)


@pytest.mark.parametrize("key", ["cpu_numpy", "cpu_numba"])
def test_the_arrays_may_change(key: str) -> None:
    """It is what stands in them at the time that counts, and what is given as learning rate."""
    arrays = [draw(4, 6, seed=i) for i in range(3)]
    expected = [a.copy() for a in arrays]
    with anp.use(key):
        step = Bound(ops.sgd_momentum_, MATRIX, MATRIX, MATRIX, lr=0.0).on(*arrays)
        for lr in (0.1, 0.02, np.array([0.3], np.float32)):
            arrays[2][...] = expected[2][...] = draw(4, 6, seed=7)
            step(lr)
            ops.sgd_momentum_(*expected, lr=lr)
    for got, wanted in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_values_are_looked_at() -> None:
    arrays = [draw(4, 6, seed=i) for i in range(3)]
    before = [a.copy() for a in arrays]
    step = Bound(ops.sgd_momentum_, MATRIX, MATRIX, MATRIX, lr=0.0).on(*arrays)
    for lr in (-0.1, float("nan"), float("inf"), np.array([-1.0])):
        with pytest.raises(ValueError, match="lr"):
            step(lr)
    for got, wanted in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(got, wanted)
    labels, bound = np.array([0, 5, 1, 2]), Bound(ops.softmax_cross_entropy, MATRIX, LABELS)
    out = tuple(np.empty(spec.shape, spec.dtype) for spec in bound.outputs)
    loss = bound.on(draw(4, 6), labels, out=out)
    loss()
    labels[1] = 6
    with pytest.raises(ValueError, match="labels"):
        loss()


def test_a_kernel_that_binds_wrongly() -> None:
    """It conforms when it is called plainly, and not as a planned step runs it."""

    def twice(weights: Any, velocity: Any, gradient: Any, *, momentum: float, weight_decay: float) -> Any:
        return lambda lr: body(weights, velocity, gradient, lr=2 * lr, momentum=momentum, weight_decay=weight_decay)

    body = ops.sgd_momentum_.find("cpu_numpy").body
    ops.sgd_momentum_.kernel("cpu_numpy/twice", on=twice)(body)
    try:
        with pytest.raises(Nonconforming, match="bound to its arrays, it makes another weights"):
            check_kernel(ops.sgd_momentum_, "cpu_numpy/twice", cases(ops.sgd_momentum_, np.float32)[0])
    finally:
        del ops.sgd_momentum_.kernels["cpu_numpy/twice"]
        ops.sgd_momentum_.changed()


def test_repeated_follows_its_arrays() -> None:
    """Another x, another out, another key: each is what the next call takes."""
    bound = Bound(ops.dropout, MATRIX, rate=0.5, key=(0, 0, 0))
    drop, outs = Repeated(bound), [np.empty((4, 6), np.float32) for _ in range(2)]
    for i in (0, 0, 1, 1, 0):
        for iteration in range(2):
            x, key = draw(4, 6, seed=i), (5, 2, iteration)
            outs[i][...] = np.nan
            drop(x, out=(outs[i],), dynamic=(key,))
            np.testing.assert_array_equal(outs[i], ops.dropout(x, rate=0.5, key=key))
    with pytest.raises(ValueError, match="key"):
        drop(draw(4, 6), out=(outs[0],), dynamic=((0, 0, -1),))


def test_an_update_follows_its_parameter() -> None:
    """A layer's array may be replaced by another between two steps."""
    model = anp.Sequential({"fc": Linear(6, 4)}, input_shape=(6,), seed=1)
    gradient, sgd, layer = Buffer("dw", (4, 6), np.float32), SGD(model), model["fc"]
    gradient.hold(draw(4, 6))
    update = Update("fc", layer, "weight", gradient, sgd)
    for _ in range(2):
        layer.params["weight"] = weights = layer.params["weight"].copy()
        expected = weights.copy(), sgd.velocity["fc.weight"].copy(), gradient.array
        update(0.1)
        ops.sgd_momentum_(*expected, **sgd.rates("weight", 0.1))
        np.testing.assert_array_equal(layer.params["weight"], expected[0])
        np.testing.assert_array_equal(sgd.velocity["fc.weight"], expected[1])
