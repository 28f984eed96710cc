"""Where did this number come from? Provenance of the activations and gradients of a recorded step."""

from .provenance import Provenance, Trace, provenance
from .terms import Factor, Term, Terms

__all__ = ["Factor", "Provenance", "Term", "Terms", "Trace", "provenance"]
