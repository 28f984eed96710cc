"""Training: recipe, schedule, optimizer, loop, evaluation and checkpoints."""

from .checkpoint import load, save
from .evaluation import Scores, evaluate
from .loop import fit, train_step
from .optimizer import SGD
from .recipe import Recipe
from .record import Report
from .run import Run, start

__all__ = ["SGD", "Recipe", "Report", "Run", "Scores", "evaluate", "fit", "load", "save", "start", "train_step"]
