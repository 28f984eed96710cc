"""Training: recipe, optimizer, loop, evaluation and checkpoints."""

from .checkpoint import load, save
from .evaluation import Scores, evaluate
from .loop import Run, fit, start, train_step
from .optimizer import SGD
from .recipe import Recipe

__all__ = ["SGD", "Recipe", "Run", "Scores", "evaluate", "fit", "load", "save", "start", "train_step"]
