"""Arrays of the other byte order, as IDX, FITS and HDF5 files give them: the same result, or a refusal in one line."""

import re

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.dispatch import OPS, Op
from alexnet_np.ops.cases import cases

OPERATIONS = [op for op in OPS.values() if op.__module__.startswith("alexnet_np.ops") and not op.fuses]
RANDOM = np.random.default_rng(0)


def swapped(array: np.ndarray) -> np.ndarray:
    """The same numbers in the other byte order; an array that has none, as of single bytes, as it is."""
    return array.astype(array.dtype.newbyteorder())


def results(op: Op, arrays: list[np.ndarray], keywords: dict[str, object]) -> list[np.ndarray]:
    result = op(*arrays, **keywords)
    written = [a for name, a in zip(op.inputs, arrays, strict=True) if name in op.inplace]
    return written + list(result if isinstance(result, tuple) else [result] if op.returns else [])


@pytest.mark.parametrize("backend", ["cpu_numpy", "cpu_numba"])
@pytest.mark.parametrize("op", OPERATIONS, ids=[op.name for op in OPERATIONS])
def test_inputs_of_the_other_order(op: Op, backend: str) -> None:
    """Each alone and all together: the same bits as of this machine's order, and outputs in this machine's."""
    case = cases(op, np.float32)[0]
    given = dict(zip(op.inputs, case.arrays, strict=True))
    if why := op.refusal(backend):
        pytest.skip(why)
    with anp.use(backend):
        expected = results(op, [a.copy() for a in case.arrays], case.keywords)
        for chosen in [{name} for name in op.inputs] + [{*op.inputs}]:
            chosen -= {*op.inplace}
            arrays = [swapped(a) if name in chosen else a.copy() for name, a in given.items()]
            found = results(op, arrays, case.keywords)
            assert [a.dtype for a in found] == [a.dtype for a in expected]
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("op", "name"), [(op, name) for op in OPERATIONS for name in op.inplace])
def test_what_is_written_into_must_have_this_machine_s(op: Op, name: str) -> None:
    case = cases(op, np.float32)[0]
    arrays = [swapped(a) if n == name else a.copy() for n, a in zip(op.inputs, case.arrays, strict=True)]
    before = arrays[op.inputs.index(name)].copy()
    told = f"{op.name}: {name} has dtype {before.dtype}, of another byte order than this machine's; use {name}.astype"
    with pytest.raises(TypeError, match="^" + re.escape(told)):
        op(*arrays, **case.keywords)
    np.testing.assert_array_equal(arrays[op.inputs.index(name)], before)


def test_out_and_specs() -> None:
    x = RANDOM.standard_normal((3, 4)).astype(np.float32)
    with pytest.raises(ValueError, match=r"relu: out= has y as >f4 \(3, 4\), expected float32 \(3, 4\) on the cpu"):
        ops.relu(x, out=swapped(x))
    with pytest.raises(TypeError, match=r"relu: x has dtype >f4, of another byte order .* use x.astype\('float32'\)"):
        ops.relu.infer(swapped(x))


def test_a_label_out_of_range_is_seen_in_the_other_order() -> None:
    """Its bytes, read in this machine's order, would look right."""
    scores = RANDOM.standard_normal((3, 4)).astype(np.float32)
    labels = np.array([0, 0x01000000, 2])
    with pytest.raises(ValueError, match="labels has 16777216, expected 0 … 3"):
        ops.softmax_cross_entropy(scores, swapped(labels.astype(np.int32)))


def test_networks_plans_and_the_gradient_checker() -> None:
    """All that takes arrays of others."""
    model = anp.alexnet("mini", 7, seed=1)
    x, labels = RANDOM.standard_normal((2, 3, 32, 32)).astype(np.float32), np.array([3, 5])
    expected = model.forward(x)
    np.testing.assert_array_equal(model.forward(swapped(x)), expected)
    other = anp.alexnet("mini", 7, seed=1)
    other.state_dict()["conv1.weight"][...] = 0
    other.load_state_dict({name: swapped(a) for name, a in model.state_dict().items()})
    np.testing.assert_array_equal(other.forward(x), expected)
    one, two = anp.Plan(model, x.shape), anp.Plan(other, x.shape)
    np.testing.assert_array_equal(one.predict(swapped(x)), two.predict(x))
    assert one.step(swapped(x), swapped(labels)) == two.step(x, labels)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name])
    assert anp.gradcheck(ops.relu, swapped(x[:, :, :5, :5].astype(np.float64))).ok
