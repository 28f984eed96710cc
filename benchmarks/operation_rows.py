"""Every operation of a training step at its distinct shapes: each kernel of ours beside PyTorch's call, in turns.

Ours are bound and write into memory that is given to them, as in a planned step: what a plain call adds to look for its
kernel is measured by overhead.py. PyTorch allocates its results, as in its own. What both read, and what ours write,
lies in large pages, as in a plan's arena: in pages of 4 KB, which arrays below 4 MB get by themselves, a ReLU of 2 MB
with cold caches takes up to half as long again, to find out where they are.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from alexnet_np.backend import BACKENDS, BEST, Array, address, backend_of
from alexnet_np.conformance import poisoned
from alexnet_np.dispatch import OPS, Op, use
from alexnet_np.models import alexnet
from alexnet_np.network import Sequential
from alexnet_np.operation import Spec
from alexnet_np.ops.cases import named_outputs, wire
from alexnet_np.parallel import share, threads
from alexnet_np.plan.arena import ALIGN, GUARD
from alexnet_np.plan.bound import Bound

from . import roofs
from .harness import in_turns
from .operations import calls
from .record import Measured, Row
from .truth import off_by, truth

# Plain loops, which are there to be read. Above so many flop a call takes seconds, and a row minutes.
LOOPS, MOST_FLOPS = ("cpu_numba/direct",), 2e9
LEARNING_RATE = 1e-4
RAISES = "it raises"
LARGE_PAGE = 2 << 20  # bytes
_SMALL = np.zeros((128, 1000), np.float32)


class Call(NamedTuple):
    """An operation at a shape, and the layers of the network where it is called so."""

    layers: str
    op: Op
    arrays: tuple[Array, ...]
    keywords: dict[str, Any]


class Contender(NamedTuple):
    """`run` is timed; `outputs` is what it last computed, by name."""

    run: Callable[[], Any]
    outputs: Callable[[], dict[str, Array]]


def distinct_calls(variant: str, batch: int, ops: Sequence[str] = (), seen: set[Any] | None = None) -> Iterator[Call]:
    """The calls of a training step, each shape once, drawn when they are asked for.

    ops: only of these operations. seen: shapes that are left out, to which those that are yielded are added.
    """
    model, seen = alexnet(variant), set() if seen is None else seen
    layers: dict[Any, list[str]] = {}
    for layer, op, arrays, keywords in _calls(model, 1):  # which layers are alike does not depend on the batch
        layers.setdefault(_shape(op, arrays, keywords), []).append(layer)
    alike = {(names[0], shape[0]): " ".join(names) for shape, names in layers.items()}
    for layer, op, arrays, keywords in _calls(model, batch):
        shape = _shape(op, arrays, keywords)
        if (layer, op.name) in alike and shape not in seen and (not ops or op.name in ops):
            seen.add(shape)
            yield Call(alike[layer, op.name], op, side_by_side(arrays), keywords)


def side_by_side(arrays: Iterable[Array]) -> tuple[Array, ...]:
    """Copies of the arrays in one block, each at the beginning of a line of the cache; all of its pages are large."""
    arrays = tuple(arrays)
    places = [0, *accumulate(-(-a.nbytes // ALIGN) * ALIGN + GUARD for a in arrays)]
    block = np.empty(places[-1] + 3 * LARGE_PAGE, np.uint8)  # for blocks of 4 MB NumPy asks for large pages
    first = -address(block) % LARGE_PAGE
    copies = []
    for array, place in zip(arrays, places, strict=False):
        memory = block[first + place : first + place + array.nbytes]
        copies.append(memory.view(array.dtype).reshape(array.shape))
        copies[-1][...] = array
    return tuple(copies)


def _shape(op: Op, arrays: tuple[Array, ...], keywords: dict[str, Any]) -> Any:
    return op.name, tuple(a.shape for a in arrays), repr({k: v for k, v in keywords.items() if k not in op.dynamic})


def _calls(model: Sequential, batch: int) -> Iterator[tuple[str, Op, tuple[Array, ...], dict[str, Any]]]:
    """Those of the layers, then of the loss and of the update of each weight."""
    yield from calls(model, batch)
    random = np.random.default_rng(1)
    loss, classes = OPS["softmax_cross_entropy"], model.specs()[next(reversed(list(model)))][0].shape[1]
    inputs = {
        "logits": random.standard_normal((batch, classes)).astype(np.float32),
        "labels": random.integers(0, classes, batch),
    }
    outputs = named_outputs(loss, loss(**inputs))
    yield "loss", loss, tuple(inputs.values()), {}
    backward = OPS[loss.backward[0]]
    yield "loss", backward, *wire(backward, inputs, outputs, {}, np.ones(()))
    weights = {name: layer.params[key] for name, layer, key in model.parameters()}
    for name, array in weights.items():
        if name.endswith(".weight"):
            yield name.partition(".")[0], OPS["sgd_momentum_"], _update(array, random), {"lr": LEARNING_RATE}
    whole = np.concatenate(
        [array.reshape(-1) for array in weights.values()]
    )  # as a step updates them, one after another
    yield "all layers", OPS["sgd_momentum_"], _update(whole, random), {"lr": LEARNING_RATE}


def _update(weights: Array, random: np.random.Generator) -> tuple[Array, Array, Array]:
    """Weights, velocity and gradient."""
    velocity, gradient = (1e-3 * random.standard_normal(weights.shape, np.float32) for _ in "vg")
    return weights, velocity, gradient


def operation_row(
    variant: str, batch: int, call: Call, *, seconds: float, rounds: int | None, peers: bool = True
) -> Row:
    """Time an operation's kernels, PyTorch's calls and both roofs in turns, and check the results before and after."""
    op = call.op
    contenders, absent, chosen = contenders_of(call, peers)
    expected = truth(op, call.arrays, call.keywords)
    measured = {}
    for name, contender in list(contenders.items()):
        try:
            contender.run()
        except Exception as error:  # whatever a kernel may raise; the reason is in the record
            absent[name] = f"{RAISES} {type(error).__name__}: {error}"
            del contenders[name]
            continue
        off, wrong = off_by(contender.outputs(), expected)
        measured[name] = Measured([], name not in op.kernels, off, wrong)
    cost = op.cost(*call.arrays, **call.keywords)
    roof_runs, rates = roofs.runs(cost)
    runs = {**{name: contender.run for name, contender in contenders.items()}, **roof_runs}
    theirs = tuple(name for name in contenders if name not in op.kernels)
    taken = in_turns(
        runs,
        seconds=seconds,
        rounds=rounds,
        always=tuple(roof_runs),
        apart=theirs,
        before=waking(theirs),
    )
    if op.inplace:  # what was overwritten in every round is not one step away from where it began
        again = contenders_of(call, peers)[0]
        contenders = {name: again[name] for name in contenders}
        for contender in contenders.values():
            contender.run()
    for name, contender in contenders.items():
        outputs, m = contender.outputs(), measured[name]
        off, wrong = off_by(outputs, expected)
        m.seconds, m.error = taken[name], max(m.error or 0.0, off) if outputs else None
        m.wrong = m.wrong or (wrong and f"after timing: {wrong}")
    return Row("operation", variant, batch, *cost, measured, rates(taken), call.layers, op.name, chosen, absent)


def contenders_of(call: Call, peers: bool) -> tuple[dict[str, Contender], dict[str, str], str]:
    """Ours and PyTorch's, why others are absent, and the name of the chosen kernel."""
    contenders, absent, chosen = _ours(call)
    if peers:
        made, missing = _theirs(call)
        contenders, absent = {**contenders, **made}, {**absent, **missing}
    return contenders, absent, chosen


def _ours(call: Call) -> tuple[dict[str, Contender], dict[str, str], str]:
    """Our kernels of the operation on the device of its arrays, reasons why others are left out, and the chosen one."""
    op, specs = call.op, [call.op.spec(n, a) for n, a in zip(call.op.inputs, call.arrays, strict=True)]
    op.overview()  # loads all of them
    chosen = op.resolve(*specs, **call.keywords)
    made: dict[str, Contender] = {}
    absent: dict[str, str] = {}
    flops = op.cost(*specs, **call.keywords).flops
    for key in op.kernels:
        if backend_of(key).device != chosen.device:
            continue
        if backend_of(key).name not in BEST[chosen.device]:
            absent[key] = "an emulator, for checking"
        elif key in LOOPS and flops > MOST_FLOPS:
            absent[key] = f"plain loops: {flops / 1e9:.0f} GFLOP would take too long"
        elif why := op.refusal(key, specs, chosen.keywords):
            absent[key] = why
        else:
            made[key] = _contender(call, key, specs)
    return made, absent, chosen.key


def _contender(call: Call, key: str, specs: Sequence[Spec]) -> Contender:
    op = call.op
    with use(**{op.name: key}):
        bound = Bound(op, *specs, **call.keywords)
    made = side_by_side(poisoned(spec.shape, spec.dtype) for spec in bound.outputs)
    space = bound.workspace and np.empty(bound.workspace.shape, bound.workspace.dtype)
    dynamic = {name: call.keywords[name] for name in op.dynamic}
    arrays = side_by_side(call.arrays) if op.inplace else call.arrays
    run = partial(bound.on(*arrays, out=made, workspace=space), *dynamic.values())
    named = {n: a for n, a in zip(op.inputs, arrays, strict=True) if n in op.inplace}
    return Contender(run, lambda: {**named, **dict(zip(op.returns, made, strict=True))})


def _theirs(call: Call) -> tuple[dict[str, Contender], dict[str, str]]:
    """PyTorch's calls, and why there is none."""
    try:
        from .peers import torch_ops, torch_runs
    except ImportError as error:
        return {}, {"torch": f"PyTorch cannot be imported: {error}"}
    torch_runs.set_threads(threads())
    peers, absent = torch_ops.peers(call.op, call.arrays, call.keywords)
    return {name: _peer(peer.run, peer.outputs) for name, peer in peers.items()}, absent


def waking(peers: Collection[str]) -> Callable[[str], None]:
    """What to call before each turn: it wakes all threads of PyTorch where one of the peers is called, else ours.

    Both by five softmaxes, after which each is as in the middle of a step.
    """
    if peers:
        from .peers.torch_runs import wake

    def before(name: str) -> None:
        if name in peers:
            wake()
        else:
            share(threads(), lambda lo, hi: None)  # a sleeping thread is not woken for so few numbers
            with use("cpu_numba" if BACKENDS["cpu_numba"].missing() is None else "cpu_numpy"):
                for _ in range(5):
                    OPS["softmax"](_SMALL)

    return before


def _peer(call: Callable[[], Any], outputs: Callable[[Any], dict[str, Array]]) -> Contender:
    last: list[Any] = [None]

    def run() -> None:
        last[0] = None  # its memory is free for this call's results
        last[0] = call()

    return Contender(run, lambda: outputs(last[0]))
