"""Fewer images than threads: all threads go through several stages together, step by step, in one piece of work.

To share each stage would wake the threads a dozen times in a prediction, which takes a tenth of it.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from alexnet_np.parallel import together
from alexnet_np.plan.stage import Stage, Step

from ..together import Barrier, wait


class Few:
    """Runs the forward of stages; those that have no steps, by themselves."""

    def __init__(self) -> None:
        self.barrier = Barrier()

    def __call__(self, stages: Iterable[Stage]) -> None:
        """y of the last stage, for a prediction. What was made of weights that were changed since is made anew."""
        for in_steps, group in groupby(stages, lambda stage: stage.in_steps):
            if in_steps:
                self.run(list(group), compare=True)
            else:
                for stage in group:
                    stage.forward(False)

    def run(self, stages: Sequence[Stage], compare: bool) -> None:
        """y of the last stage, by steps. compare: whether weights are looked at, if they were changed."""
        self.barrier.reset()
        steps: list[Step] = [step for stage in stages for step in stage.steps(self.barrier.state, compare)]

        def body(part: int, parts: int) -> None:
            for i, step in enumerate(steps):
                if i:
                    wait(self.barrier.state, parts)
                if step(part, parts):
                    return

        together(body, self.barrier.give_up)
        if self.barrier.flag:
            for stage in stages:
                stage.renew()
            self.run(stages, compare=False)
