"""Whole training steps and inference: ours planned and eager, beside PyTorch in each of its modes, in turns.

All start from the same weights. What is right is told by our own layers in float64, which know the dropout masks of
ours; of PyTorch, which draws others, the loss without dropout is compared.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.backend import Array
from alexnet_np.conformance import relative_error
from alexnet_np.models import VARIANTS, alexnet
from alexnet_np.network import Sequential
from alexnet_np.operation import Cost
from alexnet_np.parallel import threads
from alexnet_np.train.optimizer import SGD

from . import roofs
from .harness import in_turns
from .operation_rows import waking
from .record import Measured, Row

LEARNING_RATE = 1e-4  # so that labels drawn at random are not learned so far that numbers get strange
BOUND = 1e-3  # of a loss or of the largest probability


class Contender(NamedTuple):
    """`run` is timed. `error` says how far off a call of it is from float64, from where its weights stand."""

    run: Callable[[], Any]
    error: Callable[[], float]
    peer: bool = False


def images(variant: str, batch: int, seed: int = 0) -> tuple[Array, Array]:
    """Random images (batch, C, H, W) of about the deviation that the variant's have, and labels."""
    random, table = np.random.default_rng(seed), VARIANTS[variant]
    x = random.standard_normal((batch, *table.input_shape)).astype(np.float32)
    x *= 1 if table.scale_pixels else 50
    return x, random.integers(0, 1000, batch)


def reference(variant: str, like: Sequential, state: dict[str, Array], iteration: int) -> Sequential:
    """The same network in float64, with these weights, at this iteration."""
    model = alexnet(variant, dtype=np.float64, input_shape=like.input_shape)
    model.load_state_dict(state)
    model.iteration = iteration
    return model


def loss_of(model: Sequential, x: Array, labels: Array, train: bool) -> float:
    logits = model.forward(x.astype(np.float64), train, logits=True)
    return float(ops.softmax_cross_entropy(logits, labels)[0])


def training_row(variant: str, batch: int, *, seconds: float, rounds: int | None, peers: bool = True) -> Row:
    """Forward, backward and update: the time of each, and the loss of the first and of the last step checked."""
    x, labels = images(variant, batch)
    contenders = {"planned": _planned_step(variant, x, labels), "eager": _eager_step(variant, x, labels)}
    absent: dict[str, str] = {}
    cost, model = cost_of(variant, batch, training=True), alexnet(variant)
    if peers:
        made, missing = _torch("training", variant, model, x, labels, LEARNING_RATE)
        contenders, absent = {**contenders, **made}, {**absent, **missing}
    row = _timed("training", variant, batch, cost, contenders, absent, seconds, rounds)
    try:
        memory, planned = memory_of(variant, batch), row.measured["planned"]
        planned.memory, planned.predicted = memory["measured"], memory["predicted"]
    except OSError as error:
        row.absent["memory of planned"] = str(error)
    return row


def inference_row(variant: str, batch: int, *, seconds: float, rounds: int | None, peers: bool = True) -> Row:
    """Probabilities: the time of each, and the results checked before and after."""
    x, _ = images(variant, batch)
    model = alexnet(variant)
    expected = reference(variant, model, model.state_dict(), 0).forward(x.astype(np.float64))
    plan = anp.Plan(model, x.shape)
    absent: dict[str, str] = {}
    contenders = {
        "planned": _predicts(lambda: plan.predict(x), expected),
        "eager": _predicts(lambda: model.forward(x), expected),
    }
    if peers:
        made, missing = _torch("inference", variant, model, x, expected=expected)
        contenders, absent = {**contenders, **made}, {**absent, **missing}
    cost = cost_of(variant, batch, training=False)
    return _timed("inference", variant, batch, cost, contenders, absent, seconds, rounds)


def cost_of(variant: str, batch: int, training: bool) -> Cost:
    """The arithmetic of the layers with weights, and the least traffic: images, and weights read once.

    A step does that arithmetic three times, but conv1 needs no gradient of the images; it reads and writes weights and
    momentum.
    """
    model = alexnet(variant)
    flops = [cost.flops for name, cost in model.costs(batch).items() if model[name].param_specs()]
    weights = sum(layer.param_specs()[key].nbytes for _, layer, key in model.parameters())
    x = 4 * batch * int(np.prod(VARIANTS[variant].input_shape))
    return Cost(3 * sum(flops) - flops[0], 4 * weights + x) if training else Cost(sum(flops), weights + x)


def _timed(
    kind: str,
    variant: str,
    batch: int,
    cost: Cost,
    contenders: dict[str, Contender],
    absent: dict[str, str],
    seconds: float,
    rounds: int | None,
) -> Row:
    before = {name: contender.error() for name, contender in contenders.items()}
    roof_runs, rates = roofs.runs(cost)
    runs = {**{name: contender.run for name, contender in contenders.items()}, **roof_runs}
    theirs = tuple(name for name, contender in contenders.items() if contender.peer)
    taken = in_turns(
        runs,
        seconds=seconds,
        rounds=rounds,
        always=tuple(roof_runs),
        apart=theirs,
        before=waking(theirs),
    )
    measured = {}
    for name, contender in contenders.items():
        error = max(before[name], contender.error())
        wrong = "" if error <= BOUND else f"off by {error:.1e}, allowed are {BOUND:g}"
        measured[name] = Measured(taken[name], contender.peer, error, wrong)
    return Row(kind, variant, batch, *cost, measured, rates(taken), chosen="planned", absent=absent)


def _eager_step(variant: str, x: Array, labels: Array) -> Contender:
    """The readable path: layers, loss and optimizer one after the other."""
    model = alexnet(variant)
    sgd = SGD(model)

    def step() -> float:
        loss, probs = ops.softmax_cross_entropy(model.forward(x, train=True, logits=True), labels)
        model.backward(ops.softmax_cross_entropy_backward(probs, labels), need_dx=False)
        sgd.step(LEARNING_RATE)
        model.iteration += 1
        return float(loss)

    return Contender(step, lambda: _step_error(variant, model, x, labels, step))


def _planned_step(variant: str, x: Array, labels: Array) -> Contender:
    model = alexnet(variant)
    plan = anp.Plan(model, x.shape)

    def step() -> float:
        return float(plan.step(x, labels, lr=LEARNING_RATE))

    return Contender(step, lambda: _step_error(variant, model, x, labels, step))


def _step_error(variant: str, model: Sequential, x: Array, labels: Array, step: Callable[[], float]) -> float:
    """Of the loss that a step returns, which is that of the weights before it, with this iteration's dropout."""
    expected = loss_of(reference(variant, model, model.state_dict(), model.iteration), x, labels, train=True)
    return relative_error(np.asarray(step()), np.asarray(expected))


def _predicts(run: Callable[[], Array], expected: Array) -> Contender:
    return Contender(run, lambda: relative_error(run(), expected))


def _torch(
    kind: str, variant: str, model: Sequential, x: Array, *training: Any, expected: Array | None = None
) -> tuple[dict[str, Contender], dict[str, str]]:
    """PyTorch's modes; one that fails at its first call, as compiling does without a compiler, is absent."""
    try:
        from .peers import torch_runs
    except ImportError as error:
        return {}, {"torch": f"PyTorch cannot be imported: {error}"}
    torch_runs.set_threads(threads())
    modes = getattr(torch_runs, kind)(variant, model, x, *training)
    made: dict[str, Contender] = {}
    absent = {}
    for name, mode in modes.items():
        try:
            mode.run()
        except Exception as error:  # whatever a compiler may raise; the reason is in the record
            absent[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            continue

        def error_of(mode: Any = mode) -> float:
            if expected is not None:
                return relative_error(mode.answer(), expected)
            wide = reference(variant, model, mode.state(), 0)
            return relative_error(mode.answer(), np.asarray(loss_of(wide, x, training[0], train=False)))

        made[name] = Contender(mode.run, error_of, peer=True)
    return made, absent


def memory_of(variant: str, batch: int) -> dict[str, int]:
    """Measured peak and predicted bytes of a planned step, in a process of its own. Raises OSError where it fails."""
    command = [sys.executable, "-m", "alexnet_np.benchmarks.memory", variant, str(batch)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    found: dict[str, int] = json.loads(done.stdout)
    return found
