"""Where does this number come from? Every contribution to an element of an activation or a gradient, by its formula.

    with model.record() as rec:
        rec.step(x, labels)
    p = anp.study.provenance(model, "conv2", "dx", (0, 5, 3, 3))
    print(p)                  # its terms, the largest first
    print(p.trace_back())     # and where those come from, up to the loss

Terms are made from the factors of the formula: weights, inputs, gradients from above. The number itself is only shown
beside their sum.
"""

from dataclasses import dataclass, field
from math import fsum
from typing import Any

import numpy as np

from ..backend import Array
from ..recording import Recording
from .formulas import FORMULAS, softmax
from .seen import INPUT, LOSS, Seen
from .terms import Factor, Index, Term, Terms


@dataclass(frozen=True)
class Provenance:
    """An element of an array that a layer made, and its terms.

    layer, what, index  which: what is y, dx, dweight or dbias
    value               as it was recorded
    terms               of the formula, whose products sum to the value but for rounding
    formula             in words
    """

    layer: str
    what: str
    index: Index
    value: float
    terms: Terms
    formula: str
    recording: Recording

    @property
    def sum(self) -> float:
        """Of all terms, rounded once; NaN where infinities of both signs meet."""
        try:
            return fsum(self.terms.products)
        except (OverflowError, ValueError):  # of infinite terms, whose sum is infinite or none
            return float(np.sum(self.terms.products))

    @property
    def name(self) -> str:
        """Such as conv2.dx[0,5,3,3]."""
        return f"{self.layer}.{self.what}[{','.join(map(str, self.index))}]"

    def followed(self, term: Term) -> Factor | None:
        """The factor of a term that another layer made: the gradient from above, or for an activation the input."""
        wanted = "y" if self.what == "y" else "dx"
        found = (f for f in term.factors if f.index is not None and f.source and f.source[1] == wanted)
        return next((f for f in found if f.source and f.source[0] not in (INPUT, self.layer)), None)

    def trace_back(self, terms: int = 3, depth: int | None = None, least: float = 0.5) -> "Trace":
        """The largest terms, and where their factors come from, on through the layers: a gradient's up to the loss, an
        activation's down to the images.

        terms: so many of each number are shown. depth: layers at most; all unless given. least: a branch is followed as
        long as its terms, each as a share of the largest beside it, multiply to so much; the largest always are. A
        number that is met again is followed once. Raises ValueError for fewer than one term or a depth below 0.
        """
        if terms < 1 or (depth is not None and depth < 0):
            raise ValueError(f"terms must be at least 1 and depth at least 0, got {terms} and {depth}")
        return _Growth(terms, least, {(self.layer, self.what, self.index)}).grow(self, depth, 1.0)

    def table(self, shown: int = 12) -> str:
        """The formula, the largest terms with their factors, the rest, and the sum beside the recorded value."""
        terms = self.terms.largest(shown)
        rows = [(f"{term.product:+.6e}", *map(str, term.factors)) for term in terms]
        widths = [
            max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows), default=1)) if rows
        ]
        lines = [f"{self.name} = {self.value:.9g}", self.formula, ""]
        for product, *factors in rows:
            cells = [cell.ljust(width) for cell, width in zip(factors, widths[1:], strict=False)]
            lines.append(f"{product} = {' · '.join(cells)}".rstrip())
        if left := len(self.terms) - len(terms):
            rest = self.sum - fsum(term.product for term in terms)
            zeros = int((self.terms.products == 0).sum())
            lines.append(f"{rest:+.6e} = {left:,} more terms; {zeros:,} of all {len(self.terms):,} are 0")
        lines.append(f"sum {self.sum:.17g}, recorded {self.value:.17g}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


@dataclass
class Trace:
    """A number in the tree. `branches` are its largest terms, each with the factor that is followed and its own tree;
    None where it ends: at the images, at the depth, or where the number was explained before."""

    provenance: Provenance
    branches: list[tuple[Term, Factor | None, "Trace | None"]] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self, indent: str = "") -> list[str]:
        """As text: each number above its terms, and those above where they come from."""
        p = self.provenance
        count = f"{len(p.terms):,} terms" if len(p.terms) != 1 else "1 term"
        lines = [f"{indent}{p.name} = {p.value:.6g}, {count}"]
        for term, _, below in self.branches:
            lines.append(f"{indent}  {term}")
            if below is not None:
                lines += below.lines(indent + "    ")
        return lines


@dataclass(frozen=True)
class _Growth:
    """How a tree grows; numbers in `met` are not explained again."""

    terms: int
    least: float
    met: set[tuple[str, str, Index]]

    def grow(self, at: Provenance, left: int | None, share: float) -> Trace:
        made, largest = Trace(at), at.terms.largest(self.terms)
        for term in largest:
            if term.product == 0:
                continue
            factor, of_branch = at.followed(term), share * abs(term.product / largest[0].product)
            below = None
            if factor is not None and left != 0 and not of_branch < self.least:
                below = self._explain(at.recording, factor, None if left is None else left - 1, of_branch)
            made.branches.append((term, factor, below))
        return made

    def _explain(self, recording: Recording, factor: Factor, left: int | None, share: float) -> Trace | None:
        assert factor.source and factor.index is not None
        place = (*factor.source, factor.index)
        if place in self.met:
            return None
        self.met.add(place)
        return self.grow(provenance(recording.model, *place, recording=recording), left, share)


def provenance(model: Any, layer: str, what: str, index: Index, *, recording: Recording | None = None) -> Provenance:
    """Every contribution to element `index` of an array of the model's last recorded step.

    layer  a layer's name; or "loss", whose "y" with the index () is the loss, and whose "dx" the gradient of the logits
    what   "y" of the forward; "dx", "dweight" or "dbias" of the backward

    recording: another than the model's last. Raises ValueError for what a layer does not make, an index beyond the
    array, or a model without a recording, and KeyError for what was not recorded.
    """
    recording = recording or model.recording
    if recording is None:
        raise ValueError("nothing is recorded; do a step inside `with model.record() as rec: rec.step(x, labels)`")
    if layer == LOSS:
        return _of_loss(recording, what, index)
    if layer not in recording.model:
        raise ValueError(f"the network has no layer {layer!r}; it has {', '.join(recording.model)}, and {LOSS}")
    seen = Seen(recording, layer)
    formulas = FORMULAS[type(seen.layer)]
    if what not in formulas:
        raise ValueError(f"{layer} makes {', '.join(formulas)}, not {what!r}")
    index = _checked(recording[layer, what], f"{what} of {layer}", index)
    formula = formulas[what]
    value = float(recording[layer, what][index])
    return Provenance(layer, what, index, value, Terms(formula(seen, index)), _text(formula), recording)


def _of_loss(recording: Recording, what: str, index: Index) -> Provenance:
    names = [name for name in recording.model if (name, "dy") in recording]
    if recording.labels is None or not names:
        raise ValueError("the loss is known of a recording's `step(x, labels)` only")
    logits, dy = recording[names[-1], "y"], recording[names[-1], "dy"]
    if what == "y":
        blocks = softmax.loss(logits, recording.labels, names[-1])
        return Provenance(LOSS, what, (), recording.loss, Terms(blocks), _text(softmax.loss), recording)
    if what != "dx":
        raise ValueError(f"the loss makes y and dx, not {what!r}")
    index = _checked(dy, "dx of loss", index)
    blocks = softmax.dlogits(logits, recording.labels, index, names[-1])
    return Provenance(LOSS, what, index, float(dy[index]), Terms(blocks), _text(softmax.dlogits), recording)


def _checked(array: Array, name: str, index: Any) -> Index:
    index = tuple(index) if isinstance(index, tuple | list) else (index,)
    if len(index) != array.ndim or not all(
        isinstance(i, int | np.integer) and 0 <= i < n for i, n in zip(index, array.shape, strict=True)
    ):
        raise ValueError(f"{name} has shape {array.shape}, it has no element {list(index)}")
    return tuple(int(i) for i in index)


def _text(formula: Any) -> str:
    return str(formula.__doc__)
