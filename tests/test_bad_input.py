"""Wrong input: every operation and layer refuses it, and says which argument has which value.

Whatever takes an array is tried with every kind of wrong array; whatever takes a keyword, with wrong values of it. The
right calls around the one mistake come from the operations' own cases.
"""

import re
from itertools import product

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import layers, ops
from alexnet_np.dispatch import OPS
from alexnet_np.ops.cases import cases

BUILT_IN = {name: op for name, op in OPS.items() if op.__module__.startswith("alexnet_np.ops") and not op.fuses}
RANDOM, nan, inf = np.random.default_rng(0), float("nan"), float("inf")


def says(*fragments, start=""):
    """A pattern for a message that begins with `start` and has all the fragments, in whatever order."""
    return "(?s)^" + re.escape(start) + "".join(rf"(?=.*(?<!\w){re.escape(str(f))}(?!\w))" for f in fragments)


def plain(op):
    """A right call: the arrays by name, and the keywords."""
    case = cases(op, np.float32)[0]
    return dict(zip(op.inputs, case.arrays, strict=True)), dict(case.keywords)


def draw(*shape):
    return RANDOM.standard_normal(shape, np.float32)


# Arrays. Each kind of mistake: what is made of a right array, the exception, and what the message has beside the name.
WRONG_ARRAYS = {
    "a list": (lambda a: a.tolist(), TypeError, lambda bad: ["list"]),
    "None": (lambda a: None, TypeError, lambda bad: ["NoneType"]),
    "not contiguous": (lambda a: np.repeat(a, 2, axis=-1)[..., ::2], ValueError, lambda bad: [bad.shape, bad.strides]),
    "empty": (lambda a: a[:0], ValueError, lambda bad: [bad.shape]),
    "integers": (lambda a: a.astype(np.int64), TypeError, lambda bad: ["int64"]),
    "half precision": (lambda a: a.astype(np.float16), TypeError, lambda bad: ["float16"]),
    "mixed precision": (lambda a: a.astype(np.float64), TypeError, lambda bad: ["float64", "float32"]),
    "one axis more": (lambda a: a[None], ValueError, lambda bad: [bad.shape]),
}


def wrong_array_cases():
    for op in BUILT_IN.values():
        arrays, _ = plain(op)
        real = [name for name, a in arrays.items() if a.dtype.kind == "f"]
        for name, mistake in product(op.inputs, WRONG_ARRAYS):
            of_floats = mistake in ("integers", "half precision", "mixed precision")
            alone = mistake == "mixed precision" and len(real) == 1
            any_shape = mistake == "one axis more" and op.name in ("relu", "dropout", "dropout_backward", "cast")
            if not (alone or any_shape or (of_floats and name not in real)):
                yield pytest.param(op, name, mistake, id=f"{op.name}, {name}: {mistake}")


@pytest.mark.parametrize(("op", "name", "mistake"), list(wrong_array_cases()))
def test_wrong_array(op, name, mistake):
    spoil, exception, shown = WRONG_ARRAYS[mistake]
    arrays, keywords = plain(op)
    arrays[name] = spoil(arrays[name])
    with pytest.raises(exception, match=says(name, *shown(arrays[name]), start=f"{op.name}: ")):
        op(*arrays.values(), **keywords)


# Keywords, by the family of a forward; a backward is tried with those that it has. Values that equal a right one, such
# as True and 1.0, follow below.
STEP = (0, -1, 1.5, (1, 2, 3), (2, 0), "2", None)
PADDING = (-1, 0.5, (1, 2, 3), ((0, -1), (0, 0)), ((1, 2), (1, 2, 3)), "1", None)
COUNT = (0, -1, 1.5, 2, "1", None)  # 2 does not divide the plain case's channels
FLAG = (None, 2, "yes")
SHAPE = ((2, 3, 6), [2, 3, 6, 5], (2, 3, 0, 5), (2.5, 3, 6, 5), None)
WRONG_KEYWORDS = {
    "conv2d": {"stride": STEP, "padding": PADDING, "groups": COUNT, "x_shape": SHAPE, "w_shape": SHAPE},
    "maxpool2d": {"size": STEP, "stride": STEP, "padding": (*PADDING, 3, ((0, 0), (0, 3))), "x_shape": SHAPE},
    "lrn": {
        "size": (0, -5, 4, 5.5, (5, 5), "5", None), "k": (0, -1.0, nan, inf, "2", None),
        "alpha": (-1e-4, nan, inf, -inf, "1", None), "beta": (-0.75, nan, inf, "1", None),
        "alpha_over_size": FLAG, "groups": (0, -1, 1.5, 3, "1", None),
    },
    "cast": {"dtype": ("float16", "int64", "", 32, np.float32, None)},
    "dropout": {
        "rate": (1.0, 1.5, -0.1, nan, inf, "half", None), "train": FLAG, "scale_at_train": FLAG,
        "key": (3, None, (1, 2), (1, 2, -1), (1, 2, 0.5), (2**64, 0, 0), [1, 2, 3], np.zeros(3)),
    },
    "sgd_momentum_": {
        "lr": (nan, inf, -0.1, np.float32(nan), np.float32(-1), np.array([0.1, 0.2]), "0.1", [0.1], None),
        "momentum": (1, 1.5, -0.1, nan, inf, "0.9", None), "weight_decay": (-1, nan, inf, "0", None),
    },
}  # fmt: skip


def wrong_values(op):
    """Wrong values of each keyword of the operation's family."""
    return WRONG_KEYWORDS.get(op.forward.name if op.forward else op.name, {})


def wrong_keyword_cases():
    for op in BUILT_IN.values():
        for keyword, values in wrong_values(op).items():
            for value in values if keyword in op.keywords else ():
                yield pytest.param(op, keyword, value, id=f"{op.name}, {keyword}={value!r}")


@pytest.mark.parametrize(("op", "keyword", "value"), list(wrong_keyword_cases()))
def test_wrong_keyword(op, keyword, value):
    arrays, keywords = plain(op)
    with pytest.raises(ValueError, match=says(keyword, start=f"{op.name}: ") + f".*{re.escape(repr(value))}"):
        op(*arrays.values(), **{**keywords, keyword: value})


def test_every_keyword_is_tried():
    for op in BUILT_IN.values():
        np.testing.assert_equal(set(op.keywords) - wrong_values(op).keys(), set(), err_msg=op.name)


EQUAL = [
    ("conv2d", "stride", 1, True), ("conv2d", "stride", 1, 1.0), ("conv2d", "padding", 0, False),
    ("conv2d", "groups", 1, 1.0), ("maxpool2d", "size", 3, 3.0), ("lrn", "size", 5, 5.0), ("lrn", "k", 1, True),
    ("lrn", "alpha_over_size", True, 1), ("dropout", "rate", 0, False), ("dropout", "train", True, 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "keyword", "right", "wrong"), EQUAL)
def test_equal_but_of_a_wrong_type(name, keyword, right, wrong):
    """1 == 1.0 == True: what was accepted before must not let its equals through."""
    arrays, keywords = plain(OPS[name])
    OPS[name](*arrays.values(), **{**keywords, keyword: right})
    with pytest.raises(ValueError, match=says(keyword, start=f"{name}: ") + f".*{re.escape(repr(wrong))}"):
        OPS[name](*arrays.values(), **{**keywords, keyword: wrong})


# Calls that do not fit in other ways: shapes against each other, labels, out= and workspace=.
X, W, B, ROWS, LABELS = draw(2, 4, 6, 6), draw(6, 2, 3, 3), draw(6), draw(3, 5), np.array([0, 4, 2])
PLANES, FILTERS = draw(2, 4, 3, 3), draw(6, 4, 3, 3)
SHARED, BYTES = np.empty_like(X), np.empty(8, np.uint8)
WRONG_CALLS = [
    (lambda: ops.conv2d(X, W, B, groups=1), ValueError, ["conv2d: ", "w", (6, 2, 3, 3), "(6, 4, R, S)"]),
    (lambda: ops.conv2d(X, W, B[:5], groups=2), ValueError, ["conv2d: ", "b", (5,), (6,)]),
    (lambda: ops.conv2d(X, W[:5], B[:5], groups=2), ValueError, ["conv2d: ", "w", "5 filters", "groups=2"]),
    (lambda: ops.conv2d(X, draw(6, 4, 9, 9), B, padding=1), ValueError, ["conv2d: ", (9, 9), (6, 6)]),
    (lambda: ops.maxpool2d(X, size=(3, 7), stride=1), ValueError, ["maxpool2d: ", (3, 7), (6, 6)]),
    (lambda: ops.linear(ROWS, draw(2, 4), draw(2)), ValueError, ["linear: ", "w", (2, 4), (2, 5)]),
    (lambda: ops.conv2d(X, W), TypeError, ["conv2d: ", "missing", "'b'"]),
    (lambda: ops.maxpool2d(X, 3, 2), TypeError, ["maxpool2d: ", "positional"]),
    (lambda: ops.dropout(X, rate=0.5), TypeError, ["dropout: ", "missing", "'key'"]),
    (lambda: ops.relu(X, slope=0.1), TypeError, ["relu: ", "unexpected", "'slope'"]),
    (lambda: ops.relu(X, out=np.empty((2, 4, 6, 7), np.float32)), ValueError, ["relu: ", "out=", "y", (2, 4, 6, 7)]),
    (lambda: ops.relu(X, out=np.empty(X.shape)), ValueError, ["relu: ", "out=", "y", "float64", X.shape]),
    (lambda: ops.relu(X, out=[SHARED]), TypeError, ["relu: ", "y", "list"]),
    (lambda: ops.relu(X, out=np.empty((6, 6, 4, 2), np.float32).T), ValueError, ["relu: ", "y", (4, 8, 32, 192)]),
    (lambda: ops.lrn(X, out=SHARED), ValueError, ["lrn: ", "out=", 2, "y", "scale"]),
    (lambda: ops.relu(SHARED, out=SHARED), ValueError, ["relu: ", "out=", "y", "overlaps"]),
    (lambda: ops.relu(SHARED[:1], out=SHARED.reshape(-1)[9:153].reshape(1, 4, 6, 6)), ValueError, ["relu: ", "out="]),
    (lambda: ops.lrn(X, out=(SHARED, SHARED)), ValueError, ["lrn: ", "out=", "y", "scale"]),
    (lambda: ops.sgd_momentum_(B, B + 1, B, lr=0.1, out=SHARED), TypeError, ["sgd_momentum_", "out="]),
    (lambda: ops.conv2d(X, W, B, groups=2, workspace=BYTES), ValueError, ["conv2d: ", "workspace", "8 bytes"]),
    (lambda: ops.conv2d(X, W, B, groups=2, workspace=[1]), TypeError, ["conv2d: ", "workspace", "list"]),
    (lambda: ops.conv2d(PLANES, FILTERS, B, workspace=FILTERS), ValueError, ["conv2d: ", "workspace"]),
]  # fmt: skip


@pytest.mark.parametrize(("call", "exception", "shown"), WRONG_CALLS, ids=[f"{c[2][0]}{c[2][1]}" for c in WRONG_CALLS])
def test_wrong_call(call, exception, shown):
    with anp.use("cpu_numpy"), pytest.raises(exception, match=says(*shown[1:], start=shown[0])):
        call()


@pytest.mark.parametrize("op", [ops.softmax_cross_entropy, ops.softmax_cross_entropy_backward], ids=lambda op: op.name)
@pytest.mark.parametrize(
    ("labels", "exception", "shown"),
    [(LABELS + 1, ValueError, 5), (LABELS - 1, ValueError, -1), (LABELS[:2], ValueError, (2,)),
     (LABELS / 1, TypeError, "float64"), (LABELS > 1, TypeError, "bool")],
    ids=["too large", "negative", "too few", "floats", "bools"],
)  # fmt: skip
def test_wrong_labels(op, labels, exception, shown):
    with pytest.raises(exception, match=f"^{op.name}: labels? .*{re.escape(str(shown))}"):
        op(ROWS, labels)


# Layers: they refuse what their operations refuse, and a backward without its forward.
LAYERS = {
    "Conv2d": (lambda: layers.Conv2d(4, 6, 3, groups=2), X),
    "Linear": (lambda: layers.Linear(5, 2), ROWS),
    "MaxPool2d": (lambda: layers.MaxPool2d(3, 2), X),
    "LRN": (layers.LRN, X),
    "ReLU": (layers.ReLU, X),
    "Dropout": (layers.Dropout, X),
    "Flatten": (layers.Flatten, X),
    "Softmax": (layers.Softmax, ROWS),
}
every_layer = pytest.mark.parametrize(("make", "x"), LAYERS.values(), ids=LAYERS)


@every_layer
def test_layer_backward_needs_its_own_training_forward(make, x):
    layer = make()
    refused = pytest.raises(RuntimeError, match=says("train=True", start=type(layer).__name__))
    with refused:
        layer.backward(x)
    y = layer.forward(x, train=False)
    with refused:
        layer.backward(y)
    y = layer.forward(x, train=True)
    layer.backward(y)
    with refused:
        layer.backward(y)
    layer.forward(x, train=True)
    y = layer.forward(x, train=False)  # must not leave what the forward before it left
    with refused:
        layer.backward(y)


@every_layer
@pytest.mark.parametrize("mistake", ["a list", "not contiguous", "empty"])
def test_layer_refuses_a_wrong_x(make, x, mistake):
    spoil, exception, shown = WRONG_ARRAYS[mistake]
    with pytest.raises(exception, match=says("x", *shown(spoil(x)))):
        make().forward(spoil(x))


@every_layer
def test_layer_refuses_a_wrong_dy(make, x):
    layer = make()
    twice = np.concatenate([layer.forward(x, train=True)] * 2)
    with pytest.raises(ValueError, match=says("dy", twice.shape)):
        layer.backward(twice)
    y = layer.forward(x, train=True)
    with pytest.raises(TypeError, match=says("dy", "list")):
        layer.backward(y.tolist())


@pytest.mark.parametrize(
    ("kind", "arguments", "shown"),
    [
        ("Conv2d", (4, 6, 3, 1, 0, 4), ["groups=4", 4, 6]), ("Conv2d", (4, 6, 3, 1, 0, 0), ["groups", 0]),
        ("Conv2d", (0, 6, 3), [0]), ("Conv2d", (4, 6.5, 3), [6.5]), ("Conv2d", (4, 6, (3, 3, 3)), ["size", (3, 3, 3)]),
        ("Conv2d", (4, 6, 3, 0), ["stride", 0]), ("Conv2d", (4, 6, 3, 1, -1), ["padding", -1]),
        ("Linear", (0, 3), [0]), ("Linear", (3, -1), [-1]),
    ],
)  # fmt: skip
def test_layer_that_cannot_be_made(kind, arguments, shown):
    with pytest.raises(ValueError, match=says(*shown, start=f"{kind}: ")):
        getattr(layers, kind)(*arguments)


@pytest.mark.parametrize(
    ("kind", "options", "shown"),
    [
        ("Dropout", {"rate": 1.0}, ["rate", 1.0]), ("Dropout", {"rate": -0.1}, ["rate", -0.1]),
        ("Dropout", {"scale_at_train": 2}, ["scale_at_train", 2]), ("LRN", {"size": 4}, ["size", 4]),
        ("LRN", {"beta": float("nan")}, ["beta", float("nan")]), ("LRN", {"groups": 0}, ["groups", 0]),
        ("MaxPool2d", {"size": 0, "stride": 1}, ["size", 0]), ("MaxPool2d", {"size": 2, "stride": -1}, ["stride", -1]),
        ("MaxPool2d", {"size": 2, "stride": 1, "padding": 2}, ["padding", 2]),
    ],
)  # fmt: skip
def test_options_that_no_input_fits(kind, options, shown):
    """They are refused when the layer is made, as its operation says it."""
    with pytest.raises(ValueError, match=says(*shown, start=f"{kind.lower()}: ")):
        getattr(layers, kind)(**options)


# Networks.
@pytest.mark.parametrize(
    ("call", "shown"),
    [
        (lambda: anp.Sequential([]), "at least one layer"),
        (lambda: anp.Sequential([("relu1", layers.ReLU())] * 2), "a name of its own"),
        (lambda: anp.alexnet("lenet"), "unknown variant 'lenet'; the variants are paper, caffe"),
        (lambda: anp.alexnet("paper", input_shape=(3, 32, 32)), "paper does not fit images of (3, 32, 32): pool5: "),
        (lambda: anp.alexnet("mini", input_shape=(32, 32)), "mini does not fit images of (32, 32): conv1: "),
        (lambda: anp.alexnet("mini", 0), "0"),
    ],
)
def test_network_that_cannot_be_made(call, shown):
    with pytest.raises(ValueError, match=re.escape(shown)):
        call()


def test_the_message_of_a_network_begins_with_the_layer():
    model = anp.alexnet("mini", 4)
    with pytest.raises(ValueError, match=says((3, 32, 32), start="conv1: conv2d: x")):
        model.forward(draw(3, 32, 32))
    with pytest.raises(ValueError, match=says(1200, start="fc6: linear: ")):
        model.forward(draw(2, 3, 48, 48))
    with pytest.raises(RuntimeError, match=says("train=True", start="fc8: ")):
        model.backward(draw(2, 4))
    model.forward(draw(2, 3, 32, 32), train=True, logits=True)
    with pytest.raises(ValueError, match=says("dy", (2, 5), start="fc8: linear")):
        model.backward(draw(2, 5))


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda state: state.pop("fc8.bias"), ["fc8.bias"]),
        (lambda state: state.update({"fc9.bias": draw(4)}), ["fc9.bias", "conv1.weight"]),
        (lambda state: state.update({"fc8.bias": draw(5)}), ["fc8.bias", (5,), (4,)]),
        (lambda state: state.update({"fc8.bias": draw(1)}), ["fc8.bias", (1,), (4,)]),  # would broadcast
        (lambda state: state.update({"fc8.bias": [0.0] * 4}), ["fc8.bias", "list"]),
        (lambda state: state.update({"fc8.bias": np.array(list("abcd"))}), ["fc8.bias", "<U1"]),
    ],
    ids=["missing", "unknown", "misshapen", "of one element", "a list", "text"],
)
def test_a_wrong_state_changes_nothing(change, shown):
    model = anp.alexnet("mini", 4)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    state = {name: array + 1 for name, array in before.items()}
    change(state)
    with pytest.raises((TypeError, ValueError), match=says(*shown)):
        model.load_state_dict(state)
    np.testing.assert_equal(model.state_dict(), before)
