"""Where the time of a training step goes: a timeline for Perfetto, and the table that `caffe time` prints.

`with profile(model, sgd) as timeline: …` times every layer's forward and backward, the loss and the update of the
steps inside, from around them: the layers compute what they always do. Of a plan that `timeline.watch_plan` was told
of, every stage is timed in place of a layer; its backward ends with the update. https://ui.perfetto.dev opens what
`timeline.write` writes, and so does chrome://tracing.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Protocol, TypeVar

import numpy as np

from ..backend import Array, array_module, device_of
from ..dispatch import TracedCall, trace
from ..network import Sequential
from ..plan import Plan
from ..plan.stage import Stage
from ..whole_files import replace_text
from .profile_table import Event, Row, averages, table

T = TypeVar("T")


class Optimizer(Protocol):
    def step(self, lr: float) -> None: ...


class Timeline:
    """What happened when, in the steps that were profiled: `done` of `steps` so far."""

    def __init__(self, model: Sequential, steps: int) -> None:
        self.model, self.steps, self.events, self.done, self.batch = model, steps, list[Event](), 0, 0
        self.kinds = {name: type(layer).__name__ for name, layer in model.items()}  # of the rows of the table
        self._began: int | None = None  # the start of the step that goes on
        self._forward_ended: int | None = None  # set while a loss is computed
        self._before: list[tuple[Any, str, Any]] = []
        self.planned = False

    def data(self, batches: Iterable[T]) -> Iterator[T]:
        """The same batches; how long each was waited for becomes an event."""
        iterator = iter(batches)
        while True:
            start = perf_counter_ns()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            if self._before:
                self._began = start
                self._add("wait for data", "data", start)
            yield batch

    def write(self, path: Path) -> None:
        """Write the trace as JSON, whole or not at all. Raises OSError where it cannot be written."""
        origin = min((event.start for event in self.events), default=0)
        trace_events: list[dict[str, Any]] = [
            {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": f"alexnet-np {self.model.title}"}},
            {"ph": "M", "name": "thread_name", "pid": 1, "tid": 1, "args": {"name": "training steps"}},
        ]
        for event in sorted(self.events, key=lambda event: (event.start, -event.end)):
            times = {"ts": (event.start - origin) / 1e3, "dur": (event.end - event.start) / 1e3}  # microseconds
            which = {"ph": "X", "name": event.name, "cat": event.category, "pid": 1, "tid": 1}
            trace_events.append({**which, **times, "args": event.args})
        text = json.dumps({"traceEvents": trace_events, "displayTimeUnit": "ms"})
        replace_text(path, text)

    def averages(self) -> tuple[list[Row], dict[str, float], int]:
        """What `profile_table.averages` makes of it."""
        return averages(self)

    def table(self) -> str:
        """What `profile_table.table` makes of it."""
        return table(self)

    # Recording.

    def _add(
        self, name: str, category: str, start: int, end: int | None = None, args: dict[str, Any] | None = None
    ) -> None:
        step = None if category == "evaluate" else self.done + 1
        self.events.append(Event(name, category, start, end or perf_counter_ns(), step, args or {}))

    def _watch(self, sgd: Optimizer) -> None:
        for name, layer in self.model.items():
            self._replace(layer, "forward", self._timed_forward(name, layer.forward))
            self._replace(layer, "backward", self._timed_backward(name, layer.backward))
        self._replace(self.model, "forward", self._timed_forward("forward", self.model.forward))
        self._replace(self.model, "backward", self._timed_backward("backward", self.model.backward))
        self._replace(sgd, "step", self._timed_update(sgd.step))

    def watch_plan(self, plan: Plan) -> None:
        """Time the stages of this plan's training steps too: whoever trains by a plan says so before its first step."""
        if not self._before:
            return
        if plan.backend:
            raise ValueError(
                f"a profile times the stages of a CPU's plan; {plan.backend.name} runs a step as one graph"
            )
        schedule, self.planned = plan.schedule, True
        kinds = {s.name: " ".join(type(layer).__name__ for layer in s.layers.values()) for s in schedule.stages}
        self.kinds = {**kinds, **self.kinds}
        for stage in schedule.stages:
            self._replace(stage, "forward", self._timed_stage(stage, "forward"))
            self._replace(stage, "backward", self._timed_stage(stage, "backward"))
        for part, name in (("forward", "forward"), ("loss_of", "loss"), ("backward", "backward")):
            self._replace(schedule, part, self._timed_part(getattr(schedule, part), name))
        self._replace(plan, "step", self._timed_plan(plan))

    def _replace(self, owner: Any, name: str, timed: Callable[..., Any]) -> None:
        self._before.append((owner, name, vars(owner).get(name)))
        setattr(owner, name, timed)

    def _restore(self) -> None:
        for owner, name, before in self._before:
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        self._before.clear()

    def _timed_forward(self, name: str, forward: Callable[..., Array]) -> Callable[..., Array]:
        whole = name not in self.model

        def timed(x: Array, train: bool = False, **options: Any) -> Array:
            start = perf_counter_ns()
            if whole and train:
                self._began = self._began or start
                self.batch = len(x)
            with trace() as calls:
                y = _ready(forward(x, train, **options))
            end = perf_counter_ns()
            args = {"output": list(y.shape), **_kernels(calls, whole)}
            self._add(name, "forward" if train else "evaluate", start, end, args)
            if whole and train:
                self._forward_ended = end
            return y

        return timed

    def _timed_backward(self, name: str, backward: Callable[..., Array]) -> Callable[..., Array]:
        whole = name not in self.model

        def timed(dy: Array, **options: Any) -> Array:
            start = perf_counter_ns()
            if whole and self._forward_ended is not None:
                self._add("loss", "loss", self._forward_ended, start)
                self._forward_ended = None
            with trace() as calls:
                dx = _ready(backward(dy, **options))
            self._add(name, "backward", start, args=_kernels(calls, whole))
            return dx

        return timed

    def _timed_update(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def timed(lr: float, *args: Any, **options: Any) -> Any:
            start = perf_counter_ns()
            result = update(lr, *args, **options)
            self._add("update", "update", start, args={"lr": float(lr)})
            self._step_ended(start, self.model.iteration + 1)
            return result

        return timed

    def _timed_stage(self, stage: Stage, part: str) -> Callable[..., Any]:
        run, args = getattr(stage, part), {"output": list(stage.y.shape), "kernels": [stage.kernels]}

        def timed(given: Any) -> None:
            start = perf_counter_ns()
            run(given)
            self._add(stage.name, part, start, args=args)

        return timed

    def _timed_part(self, run: Callable[..., T], name: str) -> Callable[..., T]:
        def timed(*given: Any) -> T:
            start = perf_counter_ns()
            result = run(*given)
            self._add(name, name, start)
            return result

        return timed

    def _timed_plan(self, plan: Plan) -> Callable[..., float]:
        run = plan.step

        def timed(x: Array, labels: Array, lr: float | None = None, **ahead: Any) -> float:
            start, self.batch = perf_counter_ns(), len(x)
            loss = run(x, labels, lr, **ahead)
            self._step_ended(start, self.model.iteration)
            return loss

        return timed

    def _step_ended(self, start: int, number: int) -> None:
        self._add(f"step {number}", "step", self._began or start)
        self._began, self.done = None, self.done + 1
        if self.done == self.steps:
            self._restore()


@contextmanager
def profile(model: Sequential, sgd: Optimizer, steps: int = 50) -> Iterator[Timeline]:
    """Time the training steps inside the block, the first `steps` of them; those after it run as if unwatched."""
    timeline = Timeline(model, steps)
    timeline._watch(sgd)
    try:
        yield timeline
    finally:
        timeline._restore()


def time_steps(model: Sequential, batch: int = 128, steps: int = 10, seed: int = 0) -> Timeline:
    """Profile training steps on random images, as `caffe time` does; the weights stay as they are (learning rate 0).

    Raises ValueError where the network was made without input_shape.
    """
    from .loop import train_step
    from .optimizer import SGD

    sgd, iteration, random = SGD(model), model.iteration, np.random.default_rng(seed)
    *_, logits = model.specs(batch).values()
    shape, dtype = (batch, *(model.input_shape or ())), logits[0].dtype
    with profile(model, sgd, steps) as timeline:
        for _ in range(steps):
            x = random.standard_normal(shape).astype(dtype)
            train_step(model, sgd, x, random.integers(0, logits[0].shape[1], batch), 0.0)
    model.iteration = iteration
    return timeline


def _ready(array: Array) -> Array:
    """The array once it is computed: a GPU runs behind its host."""
    if array is not None and device_of(array) == "gpu":
        array_module(array).cuda.get_current_stream().synchronize()
    return array


def _kernels(calls: list[TracedCall], whole: bool) -> dict[str, Any]:
    """Which kernels ran in a layer; those of the whole network stand with its layers."""
    return {} if whole else {"kernels": [f"{call.op}: {call.kernel}" for call in calls]}
