"""The AlexNet variants, each as a table: one row for each layer, in order, under Caffe's names.

A row is (name, how to make the layer for the images that reach it), so that only what a variant chooses is written
down; input channels and features follow. Sources: the paper; Caffe's bvlc_alexnet and bvlc_reference_caffenet;
torchvision's alexnet ("one weird trick" widths); the listings known as PyTorch's and Keras's AlexNet.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from .initialize import Initializer, constant, fan_in_uniform, glorot_uniform, he, normal, zero
from .layers import LRN, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU, Softmax
from .network import Sequential
from .operation import Spec
from .ops import checks

Make: TypeAlias = Callable[[Spec, int, dict[str, Any]], Layer]  # from (x, classes, seed and dtype)
Row: TypeAlias = tuple[str, Make]
Shared: TypeAlias = dict[str, Any]  # keywords that several rows share
CLASSES = 0  # stands in a table for the number of classes that is asked for


def conv(name: str, maps: int, size: int, stride: int = 1, padding: Any = 0, groups: int = 1, **draw: Any) -> Row:
    def make(x: Spec, classes: int, common: dict[str, Any]) -> Layer:
        return Conv2d(x.shape[1], maps, size, stride, padding, groups, **draw, **common)

    return name, make


def fc(name: str, features: int, **draw: Any) -> Row:
    def make(x: Spec, classes: int, common: dict[str, Any]) -> Layer:
        return Linear(x.shape[1], features or classes, **draw, **common)

    return name, make


def row(name: str, layer: Callable[..., Layer], *args: Any, **options: Any) -> Row:
    return name, lambda x, classes, common: layer(*args, **options)


def relu(name: str) -> Row:
    return row(name, ReLU)


def pool(name: str, size: int = 3, stride: int = 2) -> Row:
    return row(name, MaxPool2d, size, stride)


def norm(name: str, **convention: Any) -> Row:
    return row(name, LRN, **convention)


def drop(name: str, rate: float = 0.5, **rule: Any) -> Row:
    return row(name, Dropout, rate, **rule)


FLATTEN = row("flatten", Flatten)
SOFTMAX = row("prob", Softmax)


@dataclass(frozen=True)
class Variant:
    """A row of the table of variants. `scale_pixels`: images are divided by their deviation, not only centred."""

    name: str
    summary: str
    input_shape: tuple[int, int, int]
    rows: list[Row] = field(repr=False)
    scale_pixels: bool = True


def paper(name: str, summary: str) -> Variant:
    """The paper's text. One more window of conv1 starts inside the 224 pixels and sees zeros beyond them, hence 55."""
    gauss: Shared = {"weight": normal(0.01), "bias": zero}
    one: Shared = {"weight": normal(0.01), "bias": constant(1)}
    lrn: Shared = {"size": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75, "groups": 2}
    at_test: Shared = {"scale_at_train": False}
    rows = [
        conv("conv1", 96, 11, stride=4, padding=((0, 3), (0, 3)), **gauss), relu("relu1"),
        norm("norm1", **lrn), pool("pool1"),
        conv("conv2", 256, 5, padding=2, groups=2, **one), relu("relu2"),
        norm("norm2", **lrn), pool("pool2"),
        conv("conv3", 384, 3, padding=1, **gauss), relu("relu3"),
        conv("conv4", 384, 3, padding=1, groups=2, **one), relu("relu4"),
        conv("conv5", 256, 3, padding=1, groups=2, **one), relu("relu5"), pool("pool5"),
        FLATTEN,
        fc("fc6", 4096, **one), relu("relu6"), drop("drop6", 0.5, **at_test),
        fc("fc7", 4096, **one), relu("relu7"), drop("drop7", 0.5, **at_test),
        fc("fc8", CLASSES, **gauss), SOFTMAX,
    ]  # fmt: skip
    return Variant(name, summary, (3, 224, 224), rows, scale_pixels=False)


def caffe(name: str, summary: str, norm_first: bool, bias: float) -> Variant:
    """Caffe's two: they differ in the order of norm and pool, and in the hidden biases."""
    gauss: Shared = {"weight": normal(0.01), "bias": zero}
    wide: Shared = {"weight": normal(0.01), "bias": constant(bias)}
    narrow: Shared = {"weight": normal(0.005), "bias": constant(bias)}
    lrn: Shared = {"size": 5, "k": 1.0, "alpha": 1e-4, "beta": 0.75, "alpha_over_size": True}

    def shrink(n: int) -> list[Row]:
        both = [norm(f"norm{n}", **lrn), pool(f"pool{n}")]
        return both if norm_first else both[::-1]

    rows = [
        conv("conv1", 96, 11, stride=4, **gauss), relu("relu1"), *shrink(1),
        conv("conv2", 256, 5, padding=2, groups=2, **wide), relu("relu2"), *shrink(2),
        conv("conv3", 384, 3, padding=1, **gauss), relu("relu3"),
        conv("conv4", 384, 3, padding=1, groups=2, **wide), relu("relu4"),
        conv("conv5", 256, 3, padding=1, groups=2, **wide), relu("relu5"), pool("pool5"),
        FLATTEN,
        fc("fc6", 4096, **narrow), relu("relu6"), drop("drop6"),
        fc("fc7", 4096, **narrow), relu("relu7"), drop("drop7"),
        fc("fc8", CLASSES, **gauss), SOFTMAX,
    ]  # fmt: skip
    return Variant(name, summary, (3, 227, 227), rows, scale_pixels=False)


def torchvision(name: str, summary: str) -> Variant:
    """torchvision's: no LRN, no groups, dropout before the fully-connected layers."""
    draw: Shared = {"weight": fan_in_uniform, "bias": fan_in_uniform}
    rows = [
        conv("conv1", 64, 11, stride=4, padding=2, **draw), relu("relu1"), pool("pool1"),
        conv("conv2", 192, 5, padding=2, **draw), relu("relu2"), pool("pool2"),
        conv("conv3", 384, 3, padding=1, **draw), relu("relu3"),
        conv("conv4", 256, 3, padding=1, **draw), relu("relu4"),
        conv("conv5", 256, 3, padding=1, **draw), relu("relu5"), pool("pool5"),
        FLATTEN,
        drop("drop6"), fc("fc6", 4096, **draw), relu("relu6"),
        drop("drop7"), fc("fc7", 4096, **draw), relu("relu7"),
        fc("fc8", CLASSES, **draw), SOFTMAX,
    ]  # fmt: skip
    return Variant(name, summary, (3, 224, 224), rows)


def wide(name: str, summary: str, same: bool, weight: Initializer, bias: Initializer) -> Variant:
    """The paper's widths without LRN and groups; `same` keeps the sides from conv2 on, as padding does."""
    draw: Shared = {"weight": weight, "bias": bias}
    two, one = (2, 1) if same else (0, 0)
    rows = [
        conv("conv1", 96, 11, stride=4, **draw), relu("relu1"), pool("pool1"),
        conv("conv2", 256, 5, padding=two, **draw), relu("relu2"), pool("pool2"),
        conv("conv3", 384, 3, padding=one, **draw), relu("relu3"),
        conv("conv4", 384, 3, padding=one, **draw), relu("relu4"),
        conv("conv5", 256, 3, padding=one, **draw), relu("relu5"), pool("pool5"),
        FLATTEN,
        fc("fc6", 4096, **draw), relu("relu6"), drop("drop6"),
        fc("fc7", 4096, **draw), relu("relu7"), drop("drop7"),
        fc("fc8", CLASSES, **draw), SOFTMAX,
    ]  # fmt: skip
    return Variant(name, summary, (3, 224, 224), rows)


def small(
    name: str, summary: str, shape: tuple[int, int, int], maps: tuple[int, int], towers: int, last: int
) -> Variant:
    """Two 5×5 convolutions with LRN and overlapping pooling, a third of `last` × `last`, one fully-connected layer."""
    draw: Shared = {"weight": he, "bias": zero}
    lrn: Shared = {"size": 5, "k": 1.0, "alpha": 0.05, "beta": 0.75}
    rows = [
        conv("conv1", maps[0], 5, padding=2, **draw), relu("relu1"), norm("norm1", **lrn), pool("pool1"),
        conv("conv2", maps[1], 5, padding=2, groups=towers, **draw), relu("relu2"),
        norm("norm2", groups=towers, **lrn), pool("pool2"),
        conv("conv3", 64, last, padding=last // 2, **draw), relu("relu3"), pool("pool3"),
        FLATTEN,
        fc("fc4", CLASSES, weight=normal(0.01), bias=zero), SOFTMAX,
    ]  # fmt: skip
    return Variant(name, summary, shape, rows)


def mini(name: str, summary: str) -> Variant:
    """Every kind of layer, two towers, small enough for a demonstration.

    conv1 starts small, as the paper's does, so that what it learns is not hidden behind what was drawn.
    """
    draw: Shared = {"weight": he, "bias": zero}
    lrn: Shared = {"size": 5, "k": 1.0, "alpha": 0.05, "beta": 0.75, "groups": 2}
    rows = [
        conv("conv1", 24, 7, stride=2, padding=3, weight=normal(0.01), bias=zero), relu("relu1"),
        norm("norm1", **lrn), pool("pool1"),
        conv("conv2", 32, 3, padding=1, groups=2, **draw), relu("relu2"), norm("norm2", **lrn), pool("pool2"),
        conv("conv3", 48, 3, padding=1, **draw), relu("relu3"),
        FLATTEN,
        fc("fc6", 64, **draw), relu("relu6"), drop("drop6", 0.2, scale_at_train=False),
        fc("fc7", 64, **draw), relu("relu7"), drop("drop7", 0.2, scale_at_train=False),
        fc("fc8", CLASSES, weight=normal(0.01), bias=zero), SOFTMAX,
    ]  # fmt: skip
    return Variant(name, summary, (3, 32, 32), rows)


VARIANTS = {
    variant.name: variant
    for variant in (
        paper("paper", "the paper's text: two towers, LRN with k=2 and α undivided, norm then pool"),
        caffe("caffe", "bvlc_alexnet: k=1, α/n, norm then pool, LRN over all channels", norm_first=True, bias=0.1),
        caffe("caffenet", "bvlc_reference_caffenet: as caffe, but pool then norm", norm_first=False, bias=1.0),
        torchvision("torchvision", "'one weird trick' widths, no LRN, no groups, dropout before fc6 and fc7"),
        wide("torch", "the paper's widths, no LRN, no groups", True, fan_in_uniform, fan_in_uniform),
        wide("keras", "the same widths, every convolution 'valid'", False, glorot_uniform, zero),
        small("cifar", "three 5×5 convolutions in the paper's style, for colour images", (3, 32, 32), (32, 32), 1, 5),
        small("fashion", "the same idea for grey images, with two towers in conv2", (1, 28, 28), (24, 48), 2, 3),
        mini("mini", "a few-second net with every kind of layer, for images of any size"),
    )
}


def alexnet(
    variant: str,
    num_classes: int = 1000,
    seed: int = 0,
    dtype: Any = np.float32,
    *,
    lrn: bool = True,
    input_shape: tuple[int, int, int] | None = None,
) -> Sequential:
    """Build a variant of AlexNet: cheap, since weights are drawn when first used, and the same for the same seed.

    lrn=False leaves the normalisation layers out. input_shape (C, H, W) replaces the variant's own; the features of
    the first fully-connected layer follow. Raises ValueError for an unknown variant, and where the images are too
    small for the windows.
    """
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}; the variants are {', '.join(VARIANTS)}")
    table = VARIANTS[variant]
    checks.count("num_classes", num_classes)
    checks.count("seed", seed, least=0)
    shape = input_shape or table.input_shape
    x = Spec((1, *shape), np.dtype(dtype))
    layers = []
    for index, (name, make) in enumerate(table.rows):
        layer = make(x, num_classes, {"seed": (seed, index), "dtype": dtype})
        if isinstance(layer, LRN) and not lrn:
            continue
        try:
            x = layer.infer(x)[0]
        except ValueError as error:
            raise ValueError(f"{variant} does not fit images of {shape}: {name}: {error}") from None
        layers.append((name, layer))
    return Sequential(layers, input_shape=shape, seed=seed, title=variant)
