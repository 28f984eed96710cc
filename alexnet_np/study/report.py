"""The report: a recorded step of one image as a page that needs no server and no network.

Arrays are 16-bit floats, each divided by its largest value first, in one deflated block; the page unpacks them, and
makes the terms of an element itself, from the same formulas (page/terms.js). The weights of fully-connected layers are
too many for it: of those the largest elements are marked, each with its 64 largest terms and the sum of the rest.
"""

import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from ..backend import Array
from ..layers import LRN, Conv2d, Dropout, Linear, MaxPool2d
from ..ops.dropout import threshold
from ..ops.maxpool2d import maxpool2d
from ..ops.philox import stream_key, words
from ..ops.windows import pair, sides
from ..recording import Recording
from .checks import check
from .formulas import FORMULAS, softmax
from .provenance import provenance
from .seen import INPUT, LOSS, Seen
from .training import Course

HERE = Path(__file__).parent / "page"
FILES = {"style": "page.css", "terms": "terms.js", "script": "page.js"}
MARKED, TERMS = 12, 64  # elements of each array of a fully-connected layer, and terms of each
BINS = 41
Alike = tuple[str, float, str]  # an image's name, its distance, and the image as an address


class Packed:
    """Arrays one behind the other, each where four bytes begin, and what the page is told of them."""

    def __init__(self) -> None:
        self.about: dict[str, dict[str, Any]] = {}
        self.parts: list[bytes] = []
        self.size = 0

    def floats(self, key: str, array: Array) -> None:
        """As 16-bit floats, to 11 bits of their own and 2⁻²⁴ of the largest value."""
        finite = np.abs(array[np.isfinite(array)])
        scale = float(finite.max(initial=0)) or 1.0
        self._add(key, (array / scale).astype(np.float16), "f2", scale)

    def counts(self, key: str, array: Array) -> None:
        """Whole numbers below 2¹⁶."""
        small = array.max(initial=0) < 256
        self._add(key, array.astype(np.uint8 if small else np.uint16), "u1" if small else "u2", 1.0)

    def _add(self, key: str, array: Array, type_: str, scale: float) -> None:
        raw = np.ascontiguousarray(array).tobytes()
        self.about[key] = {"shape": list(array.shape), "type": type_, "offset": self.size, "scale": scale}
        padded = raw + bytes(-len(raw) % 4)
        self.parts.append(padded)
        self.size += len(padded)

    def text(self) -> str:
        return b64encode(zlib.compress(b"".join(self.parts), 9)).decode("ascii")


def page(
    recording: Recording,
    title: str,
    about: str,
    guesses: Sequence[tuple[str, float]] = (),
    training: Mapping[str, Course] = MappingProxyType({}),
    alike: Sequence[Alike] = (),
) -> str:
    """The HTML of a step that `Recording.step` recorded.

    about: what the image is. guesses: classes and their probabilities. training: what training.train gives.
    alike: images whose last hidden layer is near.
    Raises ValueError for more than one image or another step.
    """
    model, labels = recording.model, recording.labels
    if labels is None or len(labels) != 1:
        raise ValueError("a report is of a recording's `step(x, labels)` with one image")
    names = [name for name in model if (name, "y") in recording]
    packed, layers, marked, reach = Packed(), [], {}, _Reach()
    packed.floats(f"{INPUT}.y", recording[names[0], "x"])
    for name in names:
        seen = Seen(recording, name)
        _pack(packed, seen)
        layers.append(_told(seen, reach.through(seen), training.get(name, {})))
        if isinstance(seen.layer, Linear):
            marked.update(_marked(seen))
    last = names[-1]
    logits = recording[last, "y"]
    packed.floats(f"{LOSS}.dx", recording[last, "dy"])
    packed.floats(f"{LOSS}.p", softmax.probabilities(logits[0])[None])
    loss = {
        "name": LOSS, "kind": LOSS, "options": {}, "before": last, "x": list(logits.shape),
        "texts": {"dx": softmax.dlogits.__doc__},
    }  # fmt: skip
    told = {
        "text": f"{about}; label {labels[0]}, loss {recording.loss:.6g}", "labels": labels.tolist(), "layers": layers,
        "loss": loss, "guesses": [[name, _json(p)] for name, p in guesses],
        "alike": [[name, _json(distance), picture] for name, distance, picture in alike],
        "marked": marked, "arrays": packed.about,
    }  # fmt: skip
    parts = {name: Markup((HERE / file).read_text(encoding="utf-8")) for name, file in FILES.items()}
    parts["about"] = htmlsafe_json_dumps(told, ensure_ascii=False, allow_nan=False)
    template = Environment(loader=FileSystemLoader(HERE), autoescape=True).get_template("page.html")
    return template.render(title=title, numbers=packed.text(), **parts)


def _pack(packed: Packed, seen: Seen) -> None:
    """What the page makes terms of."""
    name, layer = seen.name, seen.layer
    packed.floats(f"{name}.y", seen["y"])
    if (name, "dx") in seen.recording:
        packed.floats(f"{name}.dx", seen["dx"])
    if isinstance(layer, Conv2d):
        packed.floats(f"{name}.weight", seen["weight"])
        packed.floats(f"{name}.bias", seen["bias"])
    elif isinstance(layer, MaxPool2d):
        packed.counts(f"{name}.winner", maxpool2d.definition(seen["x"], **layer.options)[1])
    elif isinstance(layer, Dropout):
        key = stream_key(layer.seed, layer.index, seen.recording.iteration)
        kept = words(0, seen["x"].size, key, np) >= threshold(layer.options["rate"])
        packed.counts(f"{name}.kept", kept.reshape(seen["x"].shape))


class _Reach:
    """How much of the image an element of a map sees: its size, and where it starts, `start + index · jump`."""

    def __init__(self) -> None:
        self.size, self.jump, self.start = [1, 1], [1, 1], [0, 0]

    def through(self, seen: Seen) -> dict[str, list[int]] | None:
        """Of the layer's output; None where that is no map."""
        layer = seen.layer
        if isinstance(layer, Conv2d | MaxPool2d):
            size = layer.shapes["weight"][2:] if isinstance(layer, Conv2d) else pair("size", layer.options["size"])
            stride, padding = pair("stride", layer.options["stride"]), sides("padding", layer.options["padding"])
            for axis in range(2):
                self.start[axis] -= padding[axis][0] * self.jump[axis]
                self.size[axis] += (size[axis] - 1) * self.jump[axis]
                self.jump[axis] *= stride[axis]
        told = {"size": list(self.size), "jump": list(self.jump), "start": list(self.start)}
        return told if seen["y"].ndim == 4 else None


def _told(seen: Seen, reach: dict[str, list[int]] | None, training: Course) -> dict[str, Any]:
    """What the page says of a layer."""
    name, layer, recording, x, y = seen.name, seen.layer, seen.recording, seen["x"], seen["y"]
    times = [recording.seconds.get((name, way), 0.0) for way in ("forward", "backward")]
    formulas = {what: with_numbers(seen, str(formula.__doc__)) for what, formula in FORMULAS[type(layer)].items()}
    arrays = {what: recording[name, what] for what in ("y", "dx", "weight", "dweight") if (name, what) in recording}
    weights = sum(array.size for array in layer.params.values())
    specs = recording.model.costs(len(x))[name]
    facts = [
        ("shape", f"{_shape(x)} → {_shape(y)}"),
        ("parameters", f"{weights:,}"),
        ("multiply-adds", f"{specs.flops // 2 if weights else 0:,}"),
        ("memory of y", f"{y.nbytes / 1024:,.0f} KiB"),
        ("time", f"forward {1e3 * times[0]:.2f} ms, backward {1e3 * times[1]:.2f} ms"),
        *((f"norm of {what}", f"{np.linalg.norm(array.ravel()):.4g}") for what, array in arrays.items()),
    ]
    return {
        "name": name, "kind": type(layer).__name__, "before": seen.before, "after": seen.after,
        "options": _options(seen), "x": list(x.shape), "y": list(y.shape),
        "weight": list(seen["weight"].shape) if "weight" in layer.params else None,
        "told": "".join(f", {k} {v}" for k, v in layer.options.items()), "facts": facts,
        "time": f"{1e3 * sum(times):.1f} ms", "forward": times[0], "backward": times[1], "reach": reach,
        "texts": formulas, "formulas": list(formulas.values()), "notes": _notes(arrays),
        "check": check(seen), "training": {what: list(map(_json, numbers)) for what, numbers in training.items()},
        "histograms": {what: _histogram(array) for what, array in arrays.items()},
    }  # fmt: skip


def with_numbers(seen: Seen, formula: str) -> str:
    """The formula, and once more with this layer's numbers in it where it has any."""
    layer, options, numbers = seen.layer, _options(seen), dict[str, object]()
    if isinstance(layer, Conv2d):
        (down, across), ((top, _), (left, _)) = options["stride"], options["padding"]
        numbers = {"p·stride": f"p·{down}", "q·stride": f"q·{across}", "top": top, "left": left}
        numbers |= {"C/G": seen["weight"].shape[1]}
    elif isinstance(layer, LRN):
        beta, a = options["beta"], options["alpha"] / (options["size"] if options["alpha_over_size"] else 1)
        numbers = {"−2·a·β": f"{-2 * a * beta:.3g}", "−β−1": f"−{beta + 1:g}", "−β": f"−{beta:g}"}
    elif isinstance(layer, Dropout):
        numbers = {"factor": f"{options['factor']:g}"}
    put_in = formula
    for name, number in numbers.items():
        put_in = put_in.replace(name, str(number))
    return formula if put_in == formula else f"{formula}\nhere: {put_in}"


def _options(seen: Seen) -> dict[str, Any]:
    """The layer's keywords in the form that the page's formulas take."""
    options, layer = dict(seen.options), seen.layer
    if isinstance(layer, Conv2d | MaxPool2d):
        options["stride"], options["padding"] = (
            pair("stride", options["stride"]),
            sides("padding", options["padding"]),
        )
    if isinstance(layer, MaxPool2d):
        options["size"] = pair("size", options["size"])
    if isinstance(layer, LRN):
        options = {key: options[key] for key in ("size", "k", "alpha", "beta", "alpha_over_size", "groups")}
    if isinstance(layer, Dropout):
        options["factor"] = 1 / (1 - options["rate"]) if options["scale_at_train"] else 1.0
    return options


def _shape(array: Array) -> str:
    return " × ".join(map(str, array.shape[1:]))


def _notes(arrays: dict[str, Array]) -> list[str]:
    """What is strange: numbers that are none, channels that never fire, gradients that are all zero."""
    notes = []
    for what, array in arrays.items():
        bad = int((~np.isfinite(array)).sum())
        if bad:
            notes.append(f"{bad:,} of {array.size:,} numbers of {what} are NaN or infinite: shown magenta and green")
        elif not array.any():
            notes.append(f"every number of {what} is 0" + ("; nothing is learned from here on" if what == "dx" else ""))
        elif what == "y" and array.ndim == 4:
            dead = int((array == 0).all(axis=(0, 2, 3)).sum())
            if dead:
                notes.append(f"{dead:,} of {array.shape[1]:,} channels of y are 0 everywhere")
    return notes


def _histogram(array: Array) -> dict[str, Any]:
    finite = array[np.isfinite(array)].astype(np.float64)
    if not len(finite):
        return {"edges": [0.0, 0.0], "counts": [0], "told": "no number is finite"}
    counts, edges = np.histogram(finite, BINS)
    told = f"mean {finite.mean():.3g}, deviation {finite.std():.3g}, {np.mean(finite == 0):.0%} zeros"
    return {"edges": [float(edges[0]), float(edges[-1])], "counts": counts.tolist(), "told": told}


def _marked(seen: Seen) -> dict[str, Any]:
    """The largest elements of a fully-connected layer's y and dx, with their largest terms and the sum of the rest."""
    found = {}
    for what in ("y", "dx"):
        array = seen[what]
        largest = np.argsort(-np.abs(np.nan_to_num(array[0])), kind="stable")[:MARKED]
        for i in largest:
            p = provenance(seen.recording.model, seen.name, what, (0, int(i)), recording=seen.recording)
            terms = p.terms.largest(TERMS)
            rows = []
            for term in terms:
                factors = {factor.name: factor for factor in term.factors}
                w, other = factors.get("w"), factors.get("x" if what == "y" else "dy")
                if w is not None and other is not None:
                    rows.append([_json(term.product), w.index, _json(w.value), other.index, _json(other.value)])
            rest = p.sum - float(np.sum([row[0] for row in rows if row[0] is not None]))
            found[f"{seen.name}.{what}[0,{i}]"] = {"terms": rows, "rest": _json(rest), "left": len(p.terms) - len(rows)}
    return found


def _json(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if isfinite(value) else None
