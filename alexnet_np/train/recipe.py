"""What a training run is made of: the same recipe, on the same machine, gives the same weights."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

VariantName = Literal["paper", "caffe", "caffenet", "torchvision", "torch", "keras", "cifar", "fashion", "mini"]


@dataclass(frozen=True)
class Recipe:
    """A training run."""

    variant: VariantName = "mini"
    """which network"""
    data: str = "generated"
    """'generated', or a folder: IDX files, CIFAR-10 batches, or one folder of images for each class"""
    epochs: int = 10
    """how often each image is seen"""
    batch: int = 128
    """images in a step"""
    lr: float = 0.01
    """learning rate ε"""
    drop: tuple[int, ...] = ()
    """numbers of the epochs, from 1, before which the learning rate is divided by 10"""
    momentum: float = 0.9
    """momentum μ"""
    weight_decay: float = 0.0005
    """weight decay λ, inside the momentum and scaled by ε as in the paper"""
    seed: int = 0
    """of the initial weights, the order of the images and the dropout masks"""
    lrn: bool = True
    """keep the local response normalisation layers"""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("lr", "momentum", "weight_decay"):
            if not (isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} must be a finite number from 0, got {getattr(self, name)}")
        if self.momentum >= 1:
            raise ValueError(f"momentum must be below 1, got {self.momentum}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in 0 … 2^63 − 1, got {self.seed}")

    def lr_at(self, epoch: int) -> float:
        """The learning rate of an epoch, numbered from 1."""
        return float(self.lr / 10 ** sum(epoch >= at for at in self.drop))
