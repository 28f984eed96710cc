"""Each variant is the network that its sources describe: layers, shapes, costs, constants and initial weights.

The numbers below are the published ones, or counted by hand; none is read off our tables.
"""

from math import prod, sqrt
from typing import NamedTuple

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np.layers import LRN, Conv2d, Dropout, Linear, MaxPool2d, Softmax

NORM_POOL = "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2"
POOL_NORM = "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2"
POOL = "conv1 relu1 pool1 conv2 relu2 pool2"
MIDDLE = "conv3 relu3 conv4 relu4 conv5 relu5 pool5 flatten"
HIDDEN = "fc6 relu6 drop6 fc7 relu7 drop7 fc8 prob"
SMALL = f"{NORM_POOL} conv3 relu3 pool3 flatten fc4 prob"
TWO_TOWERS = "96×55 96×27 256×27 256×13 384×13 384×13 256×13 256×6 9216 4096 4096 1000"


class Facts(NamedTuple):
    names: str
    shapes: str  # maps×side after each convolution and pool, then the features from flatten on
    image: tuple[int, int, int]
    parameters: int
    millions: int | float | None = None  # of multiply-adds, as published
    conv1_padding: object = 0
    towers: str = ""  # convolutions in two groups
    lrn: dict | None = None  # k, alpha, whether it is divided by the size, and towers of norm1 and norm2
    scale_at_train: bool = True
    rate: float = 0.5


def lrn(k, alpha, divided, *towers):
    return {"k": k, "alpha": alpha, "alpha_over_size": divided, "groups": towers}


COLOUR, CAFFE, TOWERS = (3, 224, 224), (3, 227, 227), "conv2 conv4 conv5"
FACTS = {
    "paper": Facts(f"{NORM_POOL} {MIDDLE} {HIDDEN}", TWO_TOWERS, COLOUR, 60_965_224, 724.4, ((0, 3), (0, 3)), TOWERS,
                   lrn(2.0, 1e-4, False, 2, 2), scale_at_train=False),
    "caffe": Facts(f"{NORM_POOL} {MIDDLE} {HIDDEN}", TWO_TOWERS, CAFFE, 60_965_224, 724.4, 0, TOWERS,
                   lrn(1.0, 1e-4, True, 1, 1)),
    "caffenet": Facts(f"{POOL_NORM} {MIDDLE} {HIDDEN}", TWO_TOWERS, CAFFE, 60_965_224, 724.4, 0, TOWERS,
                      lrn(1.0, 1e-4, True, 1, 1)),
    "torchvision": Facts(f"{POOL} {MIDDLE} drop6 fc6 relu6 drop7 fc7 relu7 fc8 prob",
                         "64×55 64×27 192×27 192×13 384×13 256×13 256×13 256×6 9216 4096 4096 1000",
                         COLOUR, 61_100_840, 714, 2),
    "torch": Facts(f"{POOL} {MIDDLE} {HIDDEN}",
                   "96×54 96×26 256×26 256×12 384×12 384×12 256×12 256×5 6400 4096 4096 1000",
                   COLOUR, 50_844_008, 1010),
    "keras": Facts(f"{POOL} {MIDDLE} {HIDDEN}",
                   "96×54 96×26 256×22 256×10 384×8 384×6 256×4 256×1 256 4096 4096 1000",
                   COLOUR, 25_678_184, 540),
    # In the small nets a filter has 5·5, 7·7 or 3·3 weights for each map that it sees, and a bias.
    "cifar": Facts(SMALL, "32×32 32×15 32×15 32×7 64×7 64×3 576 1000", (3, 32, 32),
                   32 * (75 + 1) + 32 * (800 + 1) + 64 * (800 + 1) + 1000 * (576 + 1), None, 2, "",
                   lrn(1.0, 0.05, False, 1, 1)),
    "fashion": Facts(SMALL, "24×28 24×13 48×13 48×6 64×6 64×2 256 1000", (1, 28, 28),
                     24 * (25 + 1) + 48 * (300 + 1) + 64 * (432 + 1) + 1000 * (256 + 1), None, 2, "conv2",
                     lrn(1.0, 0.05, False, 1, 2)),
    "mini": Facts(f"{NORM_POOL} conv3 relu3 flatten {HIDDEN}", "24×16 24×7 32×7 32×3 48×3 432 64 64 1000", (3, 32, 32),
                  24 * (147 + 1) + 32 * (108 + 1) + 48 * (288 + 1) + 64 * (432 + 1) + 64 * 65 + 1000 * 65,
                  None, 3, "conv2", lrn(1.0, 0.05, False, 2, 2), scale_at_train=False, rate=0.2),
}  # fmt: skip
every_variant = pytest.mark.parametrize("variant", FACTS)


def of_kind(model, *kinds):
    return {name: layer for name, layer in model.items() if isinstance(layer, kinds)}


def convention(variant, norm):
    """Those of LRN's keywords in which implementations differ."""
    facts = FACTS[variant].lrn
    return {**facts, "groups": facts["groups"][norm == "norm2"]}


def count_parameters(model):
    return sum(prod(spec.shape) for layer in model.values() for spec in layer.param_specs().values())


def multiply_adds(model):
    return sum(cost.flops // 2 for name, cost in model.costs().items() if model[name].param_specs())


def test_the_facts_cover_every_variant():
    np.testing.assert_equal(set(FACTS), set(anp.VARIANTS))


@every_variant
def test_layers_in_order_with_a_softmax_at_the_end_alone(variant):
    model = anp.alexnet(variant)
    np.testing.assert_equal(list(model), FACTS[variant].names.split())
    np.testing.assert_equal(list(of_kind(model, Softmax)), ["prob"])


@every_variant
def test_activation_shapes(variant):
    model = anp.alexnet(variant)
    np.testing.assert_equal(model.input_shape, FACTS[variant].image)
    shapes = {name: outputs[0].shape[1:] for name, outputs in model.specs(batch=2).items()}
    changing = [*of_kind(model, Conv2d, MaxPool2d), "flatten", *of_kind(model, Linear)]
    expected = [tuple(map(int, text.split("×"))) for text in FACTS[variant].shapes.split()]
    np.testing.assert_equal([shapes[name] for name in changing], [(*s, *s[1:]) for s in expected])
    for before, name in zip(model, list(model)[1:], strict=False):
        assert name in changing or shapes[name] == shapes[before], f"{name} keeps the shape of {before}"


@every_variant
def test_parameters_and_multiply_adds(variant):
    model, facts = anp.alexnet(variant), FACTS[variant]
    np.testing.assert_equal(count_parameters(model), facts.parameters)
    if facts.millions:  # to as many digits as are published
        digits = 1 if isinstance(facts.millions, float) else -1 if facts.millions % 10 == 0 else 0
        np.testing.assert_equal(round(multiply_adds(model) / 1e6, digits), facts.millions)
    if variant == "fashion":
        np.testing.assert_array_less(multiply_adds(anp.alexnet("fashion", 10)), 4e6 + 1)


@every_variant
def test_constants_of_the_layers(variant):
    model, facts = anp.alexnet(variant), FACTS[variant]
    np.testing.assert_equal(model["conv1"].options["padding"], facts.conv1_padding)
    groups = {name: layer.options["groups"] for name, layer in of_kind(model, Conv2d).items()}
    np.testing.assert_equal(groups, {name: 1 + (name in facts.towers.split()) for name in groups})
    for layer in of_kind(model, MaxPool2d).values():
        np.testing.assert_equal(layer.options, {"size": 3, "stride": 2, "padding": 0}, "pooling overlaps")
    for layer in of_kind(model, Dropout).values():
        np.testing.assert_equal(layer.options, {"rate": facts.rate, "scale_at_train": facts.scale_at_train})
    norms = {name: layer.options for name, layer in of_kind(model, LRN).items()}
    expected = {f"norm{i}": {"size": 5, "beta": 0.75, **convention(variant, f"norm{i}")} for i in (1, 2) if facts.lrn}
    np.testing.assert_equal(norms, expected)


# What LRN computes, against the formula alone: y_i = x_i (k + a Σ_j x_j²)^−β, j within two channels in i's tower.
# Activations of N(0, 100²) bring a Σ x² to the size of k, so that every convention shows.


def lrn_by_formula(k, alpha, alpha_over_size, groups):
    """The step x -> (y, back), one pixel after another; back(dy) = dyᵀ · the explicit Jacobian."""
    a = alpha / 5 if alpha_over_size else alpha

    def step(x):
        y, C, jacobians = np.empty_like(x), x.shape[1], {}
        near = [[j for j in range(C) if abs(i - j) <= 2 and j * groups // C == i * groups // C] for i in range(C)]
        for n, h, w in np.ndindex(len(x), *x.shape[2:]):
            v, J = x[n, :, h, w], np.zeros((C, C))
            for i in range(C):
                scale = k + a * sum(v[j] ** 2 for j in near[i])
                y[n, i, h, w] = v[i] * scale**-0.75
                for j in near[i]:
                    J[i, j] = (i == j) * scale**-0.75 - 1.5 * a * v[i] * v[j] * scale**-1.75
            jacobians[n, h, w] = J

        def back(dy):
            dx = np.empty_like(dy)
            for (n, h, w), J in jacobians.items():
                dx[n, :, h, w] = dy[n, :, h, w] @ J
            return dx

        return y, back

    return step


def pool_by_formula(x):
    """3×3 windows, two apart: the same kind of step."""
    side = (x.shape[2] - 3) // 2 + 1
    y, winner = np.empty((*x.shape[:2], side, side)), {}
    for n, c, p, q in np.ndindex(y.shape):
        r, s = np.unravel_index(x[n, c, 2 * p : 2 * p + 3, 2 * q : 2 * q + 3].argmax(), (3, 3))
        winner[n, c, p, q] = n, c, 2 * p + r, 2 * q + s
        y[n, c, p, q] = x[winner[n, c, p, q]]

    def back(dy):
        dx = np.zeros_like(x)
        for output, source in winner.items():
            dx[source] += dy[output]
        return dx

    return y, back


def compare(model, names, steps, x, dy):
    """Relative differences of y and dx between our layers and the steps."""
    y, backs = x, []
    for step in steps:
        y, back = step(y)
        backs.append(back)
    got = x
    for name in names:
        got = model[name].forward(got, train=True)
    dx, got_dx = dy, dy
    for name, back in zip(names[::-1], backs[::-1], strict=True):
        dx, got_dx = back(dx), model[name].backward(got_dx)
    return [np.abs(a - b).max() / np.abs(b).max() for a, b in ((got, y), (got_dx, dx))]


@pytest.mark.parametrize("norm", ["norm1", "norm2"])
@pytest.mark.parametrize("variant", ["paper", "caffe", "caffenet"])
def test_lrn_is_the_formula_and_another_convention_would_show(variant, norm):
    model, random = anp.alexnet(variant, 10, dtype=np.float64), np.random.default_rng(1)
    right, shape = convention(variant, norm), (1, 96 if norm == "norm1" else 256, 2, 2)
    x, dy = 100 * random.standard_normal(shape), random.standard_normal(shape)
    np.testing.assert_array_less(compare(model, [norm], [lrn_by_formula(**right)], x, dy), 1e-12)
    wrongs = {"k": 3 - right["k"], "alpha_over_size": not right["alpha_over_size"], "groups": 3 - right["groups"]}
    for key, value in wrongs.items():
        differences = compare(model, [norm], [lrn_by_formula(**{**right, key: value})], x, dy)
        np.testing.assert_array_less(1e-2, differences, err_msg=f"{key}={value} would pass")


@pytest.mark.parametrize("variant", ["paper", "caffe", "caffenet"])
def test_order_of_norm_and_pool(variant):
    model, random = anp.alexnet(variant, 10, dtype=np.float64), np.random.default_rng(2)
    images = 500 * random.standard_normal((1, 3, 31, 31))  # conv1's output then deviates by about 100
    x = model["relu1"].forward(model["conv1"].forward(images))
    steps = {"norm1": lrn_by_formula(**convention(variant, "norm1")), "pool1": pool_by_formula}
    names, dy = list(model)[2:4], random.standard_normal((1, 96, 2, 2))
    np.testing.assert_array_less(compare(model, names, [steps[name] for name in names], x, dy), 1e-12)
    swapped = compare(model, names, [steps[name] for name in names[::-1]], x, dy)
    np.testing.assert_array_less(1e-2, swapped, err_msg="the other order would pass")


# Initial weights: (kurtosis, deviation, bias or its bound) of a layer. A normal distribution has kurtosis 3; a uniform
# one on (−a, a) has 1.8 and deviation a/√3.
ONES = ("conv2", "conv4", "conv5", "fc6", "fc7")
INITIAL = {
    "paper": lambda name, i, o: (3.0, 0.01, name in ONES),
    "caffe": lambda name, i, o: (3.0, 0.005 if name in ("fc6", "fc7") else 0.01, 0.1 * (name in ONES)),
    "caffenet": lambda name, i, o: (3.0, 0.005 if name in ("fc6", "fc7") else 0.01, name in ONES),
    "torchvision": lambda name, i, o: (1.8, sqrt(1 / (3 * i)), sqrt(1 / i)),
    "torch": lambda name, i, o: (1.8, sqrt(1 / (3 * i)), sqrt(1 / i)),
    "keras": lambda name, i, o: (1.8, sqrt(2 / (i + o)), 0),
    **dict.fromkeys(("cifar", "fashion"), lambda name, i, o: (3.0, 0.01 if name == "fc4" else sqrt(2 / i), 0)),
    "mini": lambda name, i, o: (3.0, 0.01 if name in ("conv1", "fc8") else sqrt(2 / i), 0),
}


@every_variant
def test_initial_weights(variant):
    """Sample mean and deviation lie within five of their standard errors."""
    for name, layer in of_kind(anp.alexnet(variant, seed=1), Conv2d, Linear).items():
        w, b = layer.params["weight"], layer.params["bias"]
        fan_out = len(w) * prod(w.shape[2:]) // layer.options.get("groups", 1)
        kurtosis, std, bias = INITIAL[variant](name, prod(w.shape[1:]), fan_out)
        w, n = w.reshape(-1)[: 1 << 20].astype(np.float64), min(w.size, 1 << 20)
        np.testing.assert_allclose(w.mean(), 0, atol=5 * std / sqrt(n), err_msg=name)
        np.testing.assert_allclose(w.std(), std, rtol=5 / sqrt(2 * n), err_msg=name)
        np.testing.assert_allclose(((w / std) ** 4).mean(), kurtosis, atol=0.5, err_msg=name)
        if kurtosis == 3 or variant == "keras":
            np.testing.assert_array_equal(b, np.full(b.shape, bias, np.float32), err_msg=name)
        else:
            np.testing.assert_array_less(abs(b), bias * (1 + 1e-6), err_msg=name)
            np.testing.assert_allclose(b.std(), bias / sqrt(3), rtol=5 / sqrt(2 * b.size), err_msg=name)


@pytest.mark.parametrize("variant", ["cifar", "fashion", "mini", "keras"])
def test_the_seed_decides_every_weight(variant):
    first, again = (anp.alexnet(variant, 10, seed=4).state_dict() for _ in range(2))
    other, double = anp.alexnet(variant, 10, seed=5), anp.alexnet(variant, 10, 4, np.float64)
    for name, layer, key in other.parameters():
        np.testing.assert_array_equal(again[name], first[name], err_msg=name)
        np.testing.assert_array_equal(double.state_dict()[name], first[name], err_msg=f"{name} in float64")
        if key == "weight":
            np.testing.assert_array_less(0.99, np.mean(layer.params[key] != first[name]), err_msg=name)


def test_layers_draw_apart():
    model = anp.alexnet("torch", seed=7)
    drawn = [layer.params["weight"].reshape(-1)[:1000] for layer in of_kind(model, Conv2d, Linear).values()]
    np.testing.assert_allclose(np.corrcoef(drawn), np.eye(len(drawn)), atol=0.2)
    keys = [layer.key for layer in of_kind(model, Dropout).values()]
    np.testing.assert_equal((len(set(keys)), {seed for seed, _, _ in keys}), (2, {7}))


def test_a_draw_of_another_shape_is_refused():
    layer = Linear(3, 4, bias=lambda random, shape, fan_in, fan_out: np.ones(1, np.float32))
    with pytest.raises(ValueError, match=r"bias was drawn with shape \(1,\), not \(4,\)"):
        _ = layer.params


@every_variant
def test_building_and_asking_draw_no_weights(variant):
    model = anp.alexnet(variant)
    assert model.specs(128) and model.costs(128) and repr(model)
    for name, layer in of_kind(model, Conv2d, Linear).items():
        assert layer._params is None, name


@pytest.mark.parametrize("variant", ["paper", "caffenet", "cifar", "mini"])
def test_without_lrn_the_rest_is_the_same(variant):
    bare, full = anp.alexnet(variant, 10, lrn=False), anp.alexnet(variant, 10)
    np.testing.assert_equal(list(bare), [name for name in full if not name.startswith("norm")])
    np.testing.assert_equal(count_parameters(bare), count_parameters(full))
    np.testing.assert_array_equal(bare["conv3"].params["weight"], full["conv3"].params["weight"])


def test_image_shape_and_classes_are_followed():
    model = anp.alexnet("paper", 17, input_shape=(1, 96, 128))
    np.testing.assert_equal(model["conv1"].shapes["weight"], (96, 1, 11, 11))
    np.testing.assert_equal(model["fc6"].shapes["weight"], (4096, 256 * 2 * 3))  # 23×31, 11×15, 5×7, 2×3
    np.testing.assert_equal(model["fc8"].shapes, {"weight": (17, 4096), "bias": (17,)})
