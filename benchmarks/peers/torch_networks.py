"""The same networks in PyTorch, written from what is published about each variant: for parity tests and for timing.

Nothing here is read off our own layers: were the tables below derived from ours, a wrong stride, order or constant
would be copied and every comparison would agree. Only weights are taken over, and in the tests the dropped elements.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import alexnet_np as anp
from alexnet_np.network import Sequential

Named = list[tuple[str, nn.Module]]


class BeyondTheEdge(nn.Conv2d):
    """conv1 of the paper: one more window starts inside the 224 pixels and sees three zeros right and below."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.pad(x, (0, 3, 0, 3)))


class Norm(nn.LocalResponseNorm):
    """PyTorch's LRN (it divides alpha by its size of 5), apart in each tower."""

    def __init__(self, alpha: float, k: float, towers: int = 1) -> None:
        super().__init__(5, alpha, 0.75, k)
        self.towers = towers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([super(Norm, self).forward(tower) for tower in x.chunk(self.towers, 1)], 1)

    def scale(self, x: torch.Tensor) -> torch.Tensor:
        """What is raised to the power, which PyTorch does not return."""
        squares = [functional.pad(t.square(), (0, 0, 0, 0, 2, 2)).unfold(1, 5, 1) for t in x.chunk(self.towers, 1)]
        return self.k + self.alpha / self.size * torch.cat(squares, 1).sum(-1)


class Masked(nn.Module):
    """Dropout of the very elements that `ours`, a layer of our network, drops at its present iteration."""

    def __init__(self, ours: Any, rate: float, scale_at_train: bool) -> None:
        super().__init__()
        self.ours, self.rate, self.scale_at_train = ours, rate, scale_at_train

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = 1 - self.rate
        if not self.training:
            return x if self.scale_at_train else kept * x
        ones = np.ones(x.shape, np.float64)
        mask = anp.ops.dropout(ones, rate=self.rate, key=self.ours.key, scale_at_train=False)
        return x * torch.from_numpy(mask) / (kept if self.scale_at_train else 1)


class Drawn(nn.Dropout):
    """Dropout with a mask that PyTorch draws. The paper's halves at test time what it does not double in training."""

    def __init__(self, ours: Any, rate: float, scale_at_train: bool) -> None:
        super().__init__(rate)
        self.scale_at_train = scale_at_train

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.scale_at_train:
            return super().forward(x)
        x = x * (1 - self.p)
        return super().forward(x) if self.training else x


def pool() -> nn.Module:
    return nn.MaxPool2d(3, 2)


def shrink(number: int, norm: nn.Module, norm_first: bool = True) -> Named:
    """norm1 and pool1, or the other way round."""
    both = [(f"norm{number}", norm), (f"pool{number}", pool())]
    return both if norm_first else both[::-1]


def tail(relu_convolutions: Sequence[nn.Module]) -> Named:
    """conv3 … conv5 with a ReLU after each, and the last pool."""
    convolutions = zip((3, 4, 5), relu_convolutions, strict=True)
    named = [pair for i, conv in convolutions for pair in ((f"conv{i}", conv), (f"relu{i}", nn.ReLU()))]
    return [*named, ("pool5", pool())]


def paper(
    conv1: type[nn.Conv2d] = BeyondTheEdge,
    alpha: float = 5 * 1e-4,
    k: float = 2.0,
    towers: int = 2,
    norm_first: bool = True,
) -> Named:
    """The paper's text: LRN with k=2, alpha not divided by 5, and inside a tower; conv2, 4, 5 see their own tower."""
    return [
        ("conv1", conv1(3, 96, 11, 4)), ("relu1", nn.ReLU()), *shrink(1, Norm(alpha, k, towers), norm_first),
        ("conv2", nn.Conv2d(96, 256, 5, 1, 2, groups=2)), ("relu2", nn.ReLU()),
        *shrink(2, Norm(alpha, k, towers), norm_first),
        *tail([
            nn.Conv2d(256, 384, 3, 1, 1), nn.Conv2d(384, 384, 3, 1, 1, groups=2), nn.Conv2d(384, 256, 3, 1, 1, groups=2)
        ]),
    ]  # fmt: skip


def caffe(norm_first: bool = True) -> Named:
    """Caffe's two: 227 pixels without padding, k=1, alpha divided by 5, over all channels; two towers as the paper."""
    return paper(nn.Conv2d, alpha=1e-4, k=1.0, towers=1, norm_first=norm_first)


def torchvision() -> Named:
    return [
        ("conv1", nn.Conv2d(3, 64, 11, 4, 2)), ("relu1", nn.ReLU()), ("pool1", pool()),
        ("conv2", nn.Conv2d(64, 192, 5, 1, 2)), ("relu2", nn.ReLU()), ("pool2", pool()),
        *tail([nn.Conv2d(192, 384, 3, 1, 1), nn.Conv2d(384, 256, 3, 1, 1), nn.Conv2d(256, 256, 3, 1, 1)]),
    ]  # fmt: skip


def wide(padding: int) -> Named:
    """The paper's widths with neither towers nor LRN: `torch` pads from conv2 on, `keras` nowhere."""
    return [
        ("conv1", nn.Conv2d(3, 96, 11, 4)), ("relu1", nn.ReLU()), ("pool1", pool()),
        ("conv2", nn.Conv2d(96, 256, 5, 1, 2 * padding)), ("relu2", nn.ReLU()), ("pool2", pool()),
        *tail([nn.Conv2d(a, b, 3, 1, padding) for a, b in ((256, 384), (384, 384), (384, 256))]),
    ]  # fmt: skip


def small(channels: int, first: int, second: int, towers: int, third: nn.Module) -> Named:
    """cifar and fashion: alpha 0.05 undivided, k=1; fashion has two towers from conv2 to norm2."""
    return [
        ("conv1", nn.Conv2d(channels, first, 5, 1, 2)), ("relu1", nn.ReLU()), *shrink(1, Norm(5 * 0.05, 1.0)),
        ("conv2", nn.Conv2d(first, second, 5, 1, 2, groups=towers)), ("relu2", nn.ReLU()),
        *shrink(2, Norm(5 * 0.05, 1.0, towers)),
        ("conv3", third), ("relu3", nn.ReLU()), ("pool3", pool()),
    ]  # fmt: skip


def mini() -> Named:
    return [
        ("conv1", nn.Conv2d(3, 24, 7, 2, 3)), ("relu1", nn.ReLU()), *shrink(1, Norm(5 * 0.05, 1.0, 2)),
        ("conv2", nn.Conv2d(24, 32, 3, 1, 1, groups=2)), ("relu2", nn.ReLU()), *shrink(2, Norm(5 * 0.05, 1.0, 2)),
        ("conv3", nn.Conv2d(32, 48, 3, 1, 1)), ("relu3", nn.ReLU()),
    ]  # fmt: skip


class Facts(NamedTuple):
    """Convolutional part, width of the two hidden layers (0: there are none), dropout, and the images' deviation."""

    trunk: Callable[[], Named]
    hidden: int = 4096
    rate: float = 0.5
    scale_at_train: bool = True
    drop_first: bool = False  # dropout before the fully-connected layer, not after its ReLU
    pixels: float = 1.0  # about 50 where pixels are only centred


FACTS = {
    "paper": Facts(paper, scale_at_train=False, pixels=50),
    "caffe": Facts(caffe, pixels=50),
    "caffenet": Facts(lambda: caffe(norm_first=False), pixels=50),
    "torchvision": Facts(torchvision, drop_first=True),
    "torch": Facts(lambda: wide(1)),
    "keras": Facts(lambda: wide(0)),
    "cifar": Facts(lambda: small(3, 32, 32, 1, nn.Conv2d(32, 64, 5, 1, 2)), hidden=0),
    "fashion": Facts(lambda: small(1, 24, 48, 2, nn.Conv2d(48, 64, 3, 1, 1)), hidden=0),
    "mini": Facts(mini, hidden=64, rate=0.2, scale_at_train=False, pixels=10),  # its conv1 starts small
}


def network(
    variant: str, model: Sequential, copy: bool = False, dropout: type[Masked] | type[Drawn] = Masked
) -> nn.Sequential:
    """The variant as an nn.Sequential with our names, on our weights, or copies of them.

    dropout: Masked drops what our layers drop; Drawn what PyTorch draws, at PyTorch's speed.
    Made without memory and then given the weights, so that loading fails where ours have other shapes.
    """
    facts, classes = FACTS[variant], len(model["fc8" if "fc8" in model else "fc4"].params["bias"])
    assert model.input_shape
    with torch.device("meta"):
        trunk = nn.Sequential(OrderedDict([*facts.trunk(), ("flatten", nn.Flatten())]))
        features = trunk(torch.empty(1, *model.input_shape)).shape[1]
        rows = list(trunk.named_children())
        for number in (6, 7) if facts.hidden else ():
            drop = [(f"drop{number}", dropout(model[f"drop{number}"], facts.rate, facts.scale_at_train))]
            fc = [(f"fc{number}", nn.Linear(features, facts.hidden)), (f"relu{number}", nn.ReLU())]
            rows += drop + fc if facts.drop_first else fc + drop
            features = facts.hidden
        rows += [("fc8" if facts.hidden else "fc4", nn.Linear(features, classes)), ("prob", nn.Softmax(1))]
        peer = nn.Sequential(OrderedDict(rows))
    weights = {name: torch.from_numpy(array.copy() if copy else array) for name, array in model.state_dict().items()}
    peer.load_state_dict(weights, assign=True)
    return peer


def logits(peer: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """The output before the last Softmax, as the loss takes it."""
    return peer[:-1](x)
