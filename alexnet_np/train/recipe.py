"""What a training run is made of: the same recipe, on the same machine, gives the same weights."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from .typed import shown

LIMIT = 2**63  # for whole numbers
VariantName = Literal["paper", "caffe", "caffenet", "torchvision", "torch", "keras", "cifar", "fashion", "mini"]
ScheduleName = Literal["constant", "step", "plateau", "cosine"]

# What may differ in a resumed run, because the weights do not depend on it.
FREE = ("name", "data", "keep", "save_every", "threads", "on_bad_image")


@dataclass(frozen=True)
class Recipe:
    """A training run. Raises ValueError for a value that no run can have."""

    variant: VariantName = "mini"
    """which network"""
    data: str = "generated"
    """'generated', or where the images are: see `alexnet-np data`"""
    epochs: int = 10
    """how often each image is seen"""
    steps: int | None = None
    """end after so many steps, if the epochs are not done before"""
    batch: int = 128
    """images in a step"""
    lr: float = 0.01
    """learning rate ε at the beginning"""
    schedule: ScheduleName = "step"
    """how the learning rate goes on; the next six say when it drops"""
    gamma: float = 0.1
    """step, plateau: what the learning rate is multiplied by at a drop"""
    drop: tuple[int, ...] = ()
    """step: numbers of the epochs, from 1, before which the learning rate drops"""
    drop_epochs: int | None = None
    """step: it drops each time after so many epochs"""
    drop_steps: int | None = None
    """step: it drops each time after so many steps"""
    drops: int = 3
    """plateau: how often it drops at most"""
    patience: int = 5
    """plateau: it drops after so many epochs without a new lowest error on the held-out images"""
    momentum: float = 0.9
    """momentum μ"""
    weight_decay: float = 0.0005
    """weight decay λ, inside the momentum and scaled by ε as in the paper"""
    bias_lr: float = 1.0
    """factor of the learning rate for biases; Caffe's is 2"""
    bias_decay: float = 1.0
    """factor of the weight decay for biases; Caffe's is 0"""
    store: int | None = None
    """side of the stored images, of which training sees random crops of the network's size; the paper's is 256"""
    mirror: bool = False
    """train on mirror images half of the time"""
    colour: float = 0.0
    """deviation of the random weights of the colours' principal components; the paper's is 0.1"""
    on_bad_image: Literal["error", "skip"] = "error"
    """what becomes of an image that cannot be read; those skipped are counted"""
    init: str | None = None
    """a checkpoint whose weights are started from; the last layer is drawn anew where the classes are others"""
    freeze: tuple[str, ...] = ()
    """layers that stay as they are: names, or 'conv1..conv5'"""
    seed: int = 0
    """of the initial weights, the order of the images, their augmentation and the dropout masks"""
    lrn: bool = True
    """keep the local response normalisation layers"""
    save_every: int = 500
    """a checkpoint each time after so many steps, and after each epoch"""
    keep: int = 3
    """how many of the last checkpoints stay, beside the best"""
    backend: Literal["cpu", "gpu_cuda", "emu_cuda"] = "cpu"
    """whose kernels train: 'gpu_cuda' on a GPU, by one CUDA graph for a step; 'emu_cuda' the same kernels, emulated"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """in which images and activations are stored, and products read them; bfloat16 is for gpu_cuda and emu_cuda"""
    threads: int | None = None
    """threads that compute, and as many that decode images ahead; ALEXNET_THREADS or all CPUs unless given"""
    name: str = ""
    """what the recipe is called"""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience", "keep", "save_every"):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        for name in ("steps", "drop_epochs", "drop_steps", "store", "threads"):
            value = getattr(self, name)
            self._check(name, value is None or value >= 1, "at least 1, or left out")
        for name in ("lr", "momentum", "weight_decay", "bias_lr", "bias_decay", "colour"):
            self._check(name, isfinite(getattr(self, name)) and getattr(self, name) >= 0, "a finite number from 0")
        self._check("drop", all(epoch >= 1 for epoch in self.drop), "numbers of epochs, from 1")
        self._check("gamma", 0 < self.gamma < 1, "between 0 and 1")
        self._check("drops", self.drops >= 0, "at least 0")
        self._check("momentum", self.momentum < 1, "below 1")
        for name, value in vars(self).items():
            if name != "seed" and isinstance(value, int):
                self._check(name, value < LIMIT, "below 2^63")
        self._check("seed", 0 <= self.seed < LIMIT, "in 0 … 2^63 − 1")
        if self.precision == "bfloat16" and self.backend == "cpu":
            raise ValueError("precision 'bfloat16' is for the backends gpu_cuda and emu_cuda, got 'cpu'")
        if self.schedule != "step" and (self.drop or self.drop_epochs or self.drop_steps):
            raise ValueError(
                f"drop, drop_epochs and drop_steps belong to the schedule 'step', not to {self.schedule!r}"
            )

    def _check(self, name: str, fits: bool, expected: str) -> None:
        if not fits:
            raise ValueError(f"{name} must be {expected}, got {shown(getattr(self, name))}")
