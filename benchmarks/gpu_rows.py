"""What is timed on a GPU: whole steps and predictions as plans run them, and each of their calls with all its rungs."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import alexnet_np as anp
from alexnet_np.backend import Array, brought, module_of
from alexnet_np.dispatch import use
from alexnet_np.models import VARIANTS
from alexnet_np.operation import Cost
from alexnet_np.ops.cases import Draw
from alexnet_np.plan.bound import Bound
from alexnet_np.plan.stage import spec
from alexnet_np.plan.tape import Call

from .gpu_clock import Timed, in_turns, rates
from .network_rows import cost_of
from .record import Measured, Row

PRODUCTS = "conv2d", "conv2d_relu", "linear", "linear_relu"
RUNGS = "tf32", "tf32x3"  # precisions that are rungs on float32; in the others runs what runs unasked
LONG, CALLS = 1e-2, 10  # seconds; what takes longer is called once between two events, not so many times
SLOW = 10  # times as slow as the fastest: one round is enough


def plan_of(variant: str, batch: int, precision: str, backend: str) -> tuple[anp.Plan, Array, Array]:
    """A plan in this precision, and a batch of random numbers for it."""
    rungs = {name: f"{backend}/{precision}" for name in PRODUCTS if precision in RUNGS}
    model = anp.alexnet(variant)
    classes = next(reversed(model.state_dict().values())).size
    draw = Draw(np.float32, 0)
    x = draw(batch, *VARIANTS[variant].input_shape)
    x *= 1.0 if VARIANTS[variant].scale_pixels else 50.0
    with use(backend, **rungs):
        plan = anp.Plan(model, x.shape, precision="bfloat16" if precision == "bfloat16" else None)
    return plan, x, draw.integers(batch, below=classes)


def network_row(kind: str, variant: str, batch: int, precision: str, clock: Any, rounds: int, peers: bool) -> Row:
    """A training step or a prediction: ours as one graph and call by call, PyTorch's modes, and the roofs."""
    backend = "gpu_cuda" if clock.device == "gpu" else "emu_cuda"
    plan, x, labels = plan_of(variant, batch, precision, backend)
    training = kind == "training"
    for _ in range(3):  # compiles, then captures
        if training:
            plan.step(x, labels, 0.0)
        else:
            plan.predict(x)
    schedule = plan._schedule(training)
    timed = {backend: _graph(schedule, clock)}
    absent: dict[str, str] = {}
    if peers:
        made, absent = _peers(variant, plan.model, x, labels if training else None, precision)
        timed |= made
    seconds = in_turns({**timed, **clock.roofs(precision)}, rounds)
    roofs = rates(seconds, clock.device == "cpu")
    calls, cost = schedule.tape.calls, cost_of(variant, batch, training)
    alone = sum(float(np.median([seconds() for _ in range(3)])) for seconds in map(clock.of, calls))
    least = sum(roofs.seconds(cost_of_call(call)) for call in calls)
    measured = {name: Measured(seconds[name], peer=name != backend) for name in timed}
    measured["its calls one by one"] = Measured([alone])
    about: dict[str, Any] = {"chosen": backend, "absent": absent, "precision": precision, "least": least}
    return Row(kind, variant, batch, *cost, measured, roofs, **about)


def _graph(schedule: Any, clock: Any) -> Timed:
    if clock.device == "cpu":
        return clock.of(schedule.tape.run)  # type: ignore[no-any-return]
    runner = schedule.runner
    return lambda: clock.events(lambda: runner.graph.launch(runner.kernels), runner.kernels)


def _peers(
    variant: str, model: Any, x: Array, labels: Array | None, precision: str
) -> tuple[dict[str, Timed], dict[str, str]]:
    """PyTorch's modes, those that run; and of the others why they do not."""
    from .peers import torch_gpu

    ours = anp.alexnet(variant)
    ours.load_state_dict({name: brought(array, "cpu") for name, array in model.state_dict().items()})
    found = {**torch_gpu.modes(variant, ours, x, labels, precision), **torch_gpu.default(variant, ours, x, labels)}
    right, absent = {}, {}
    for name, seconds in found.items():
        try:
            seconds()  # compiles
            right[name] = seconds
        except Exception as error:  # whatever a compiler may raise; the reason is in the record
            absent[name] = f"it raises {type(error).__name__}: {str(error)[:200]}"
    return right, absent


def cost_of_call(call: Call) -> Cost:
    """Flops and bytes of a call on a tape."""
    keywords = {**call.bound.keywords, **dict.fromkeys(call.dynamic, 0)}
    return call.bound.op.cost(*map(spec, call.inputs), **keywords)


def operation_rows(
    variant: str, batch: int, precision: str, clock: Any, rounds: int, peers: bool, only: Callable[[str], bool]
) -> Iterator[Row]:
    """Every distinct call of a training step: the products with all their rungs, the others as they run."""
    backend = "gpu_cuda" if clock.device == "gpu" else "emu_cuda"
    plan, x, labels = plan_of(variant, batch, precision, backend)
    plan.step(x, labels, 0.0)
    seen = set()
    for call in plan.schedule.tape.calls:
        op = call.bound.op
        shape = op.name, tuple(b.shape for b in call.inputs), repr(call.bound.keywords)
        if shape in seen or not only(op.name):
            continue
        seen.add(shape)
        timed = {key: clock.of(run, calls) for key, run, calls in _rungs(call, backend, clock)}
        absent = {}
        if peers and op.name.startswith(("conv2d", "linear")):
            from .peers import torch_gpu

            arrays = tuple(brought(b.array, "cpu").astype(np.float32) for b in call.inputs)
            theirs = torch_gpu.operation(op.name, arrays, call.bound.keywords, precision)
            if theirs:
                timed["torch"] = theirs
            else:
                absent["torch"] = "it has no such call"
        seconds = _measured(timed, clock, precision, rounds)
        roofs = rates(seconds, clock.device == "cpu")
        measured = {name: Measured(seconds[name], peer=name == "torch") for name in timed}
        cost = cost_of_call(call)
        about = {"op": op.name, "chosen": call.bound.kernel, "absent": absent, "precision": precision}
        yield Row("operation", variant, batch, *cost, measured, roofs, call.layers, **about)


def _measured(timed: dict[str, Timed], clock: Any, precision: str, rounds: int) -> dict[str, list[float]]:
    """Seconds in turns; what is far behind in one round has no more."""
    once = in_turns(timed, 1)
    best = min(min(s) for s in once.values())
    fast = {name: t for name, t in timed.items() if once[name][0] <= SLOW * best}
    return {**once, **in_turns({**fast, **clock.roofs(precision)}, rounds)}


def _rungs(call: Call, backend: str, clock: Any) -> Iterator[tuple[str, Callable[[], object], int]]:
    """The kernels of the backend that take the call: name, what runs it, how many calls are timed at once."""
    op, xp = call.bound.op, module_of(clock.device)
    specs = [spec(buffer)._replace(device=clock.device) for buffer in call.inputs]
    arrays, out = [b.array for b in call.inputs], tuple(b.array for b in call.outputs)
    keywords = {**call.bound.keywords, **call.dynamic}
    for kernel in op.kernels:
        key = backend + kernel.removeprefix("gpu_cuda")
        if not kernel.startswith("gpu_cuda") or op.refusal(key, specs, call.bound.keywords):
            continue
        with use(**{op.name: key}):
            bound = Bound(op, *specs, **keywords)
        room = xp.empty(bound.workspace.shape, bound.workspace.dtype) if bound.workspace else None

        def run(bound: Bound = bound, room: Any = room) -> None:
            bound.run(*arrays, out=out, workspace=room, **call.dynamic)

        run()
        yield key, run, 1 if clock.of(run, 1)() > LONG else CALLS
