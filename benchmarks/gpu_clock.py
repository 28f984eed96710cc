"""Timing on a GPU: CUDA events around a graph of several calls, so that no launch from Python is measured.

All that is compared runs in turns, in a new random order each round. A call that has no graph of ours (a peer's) brings
its own; the emulator's clock is the wall's, for trying the harness out.
"""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from .roofs import Roofs

CALLS = 10  # in a graph: their gaps are those of a step
SIDE, BYTES = 8192, 1 << 30  # of the matrices that are multiplied, of the array that is copied
Timed = Callable[[], float]  # seconds of one call


class GPU:
    """Times calls that launch kernels on CuPy's current stream."""

    device = "gpu"

    def __init__(self) -> None:
        self.cupy = import_module("cupy")
        self.stream = self.cupy.cuda.Stream(non_blocking=True)

    def of(self, run: Callable[[], object], calls: int = CALLS) -> Timed:
        """What times `run`, captured so many times into one graph. It allocates nothing, so that it can be."""
        with self.stream:
            run()
            self.stream.synchronize()
            self.stream.begin_capture()
            for _ in range(calls):
                run()
            graph = self.stream.end_capture()
        return lambda: self.events(lambda: graph.launch(self.stream), self.stream) / calls

    def events(self, run: Callable[[], object], stream: Any) -> float:
        """Seconds between two events on the stream, around what is put on it."""
        begin, end = (self.cupy.cuda.Event() for _ in range(2))
        begin.record(stream)
        run()
        end.record(stream)
        end.synchronize()
        return float(self.cupy.cuda.get_elapsed_time(begin, end)) / 1e3

    def roofs(self, precision: str) -> dict[str, Timed]:
        """A large matrix product by cuBLAS, in this precision, and a copy within the memory; see `rates`."""
        torch = import_module("torch")
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        a, b, c = (torch.randn(SIDE, SIDE, device="cuda", dtype=dtype) for _ in range(3))
        source, target = (torch.empty(BYTES, device="cuda", dtype=torch.uint8) for _ in range(2))

        def product() -> float:
            torch.backends.cuda.matmul.allow_tf32 = precision.startswith("tf32")
            try:
                return torch_events(lambda: torch.matmul(a, b, out=c))
            finally:
                torch.backends.cuda.matmul.allow_tf32 = False

        return {"GEMM": product, "copy": lambda: torch_events(lambda: target.copy_(source))}

    def about(self) -> dict[str, Any]:
        """The device, its driver and the versions, for the record."""
        runtime = self.cupy.cuda.runtime
        properties = runtime.getDeviceProperties(0)
        return {
            "device": properties["name"].decode(),
            "architecture": f"sm_{properties['major']}{properties['minor']}",
            "processors": properties["multiProcessorCount"],
            "driver": runtime.driverGetVersion(),
            "runtime": runtime.runtimeGetVersion(),
            "cupy": self.cupy.__version__,
        }


class Emulated:
    """The emulator in a GPU's place: nothing that it times means anything."""

    device = "cpu"

    def of(self, run: Callable[[], object], calls: int = 1) -> Timed:
        def once() -> float:
            began = time.perf_counter()
            run()
            return time.perf_counter() - began

        return once

    def roofs(self, precision: str) -> dict[str, Timed]:
        a, b = np.ones((64, 64), np.float32), np.ones(1 << 16, np.uint8)
        return {"GEMM": self.of(lambda: a @ a), "copy": self.of(b.copy)}

    def about(self) -> dict[str, Any]:
        return {"device": "emulator"}


def torch_events(run: Callable[[], object]) -> float:
    """Seconds of what PyTorch puts on its current stream."""
    torch = import_module("torch")
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def in_turns(timed: dict[str, Timed], rounds: int, seed: int = 0) -> dict[str, list[float]]:
    """Seconds of each, in every round once, in a new order each; the first round warms up and is not counted."""
    random, taken = np.random.default_rng(seed), {name: list[float]() for name in timed}
    for done in range(rounds + 1):
        for name in random.permutation(list(timed)):
            seconds = timed[name]()
            if done:
                taken[name].append(seconds)
    return taken


def rates(seconds: dict[str, list[float]], emulated: bool) -> Roofs:
    """Flop/s and byte/s (read and written) of the roofs' seconds."""
    side, moved = (64, 1 << 16) if emulated else (SIDE, BYTES)
    return Roofs([2.0 * side**3 / t for t in seconds["GEMM"]], [2.0 * moved / t for t in seconds["copy"]])
