"""What asks a process to end: Ctrl-C, SIGTERM of a batch system or `docker stop`, SIGHUP of a closed terminal."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGHUP = getattr(signal, "SIGHUP", None)  # Windows has none


class Interrupts:
    """A signal is remembered, so that no step is cut in two; `asked` is the number of the first one, or 0.

    Within `at_once`, or when the same one comes again, it raises KeyboardInterrupt with the number. Not so SIGHUP: when
    a terminal is closed the kernel sends one, and the shell another.
    """

    def __init__(self, at_once: bool = False) -> None:
        self._seen: list[int] = []
        self._at_once = at_once
        self._terminals = [fd for fd in (1, 2) if os.isatty(fd)]

    @property
    def asked(self) -> int:
        return self._seen[0] if self._seen else 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if number == SIGHUP:
            self._forget_terminals()
        again = number in self._seen
        self._seen.append(number)
        if (again and number != SIGHUP) or (self._at_once and not again):
            raise KeyboardInterrupt(number)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        self._at_once = True
        try:
            if self.asked:
                raise KeyboardInterrupt(self.asked)
            yield
        finally:
            self._at_once = False

    def _forget_terminals(self) -> None:
        """Nobody reads what is written to a terminal that was closed, and writing there would raise OSError."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for fd in self._terminals:
            os.dup2(nowhere, fd)
        os.close(nowhere)


@contextmanager
def interrupts(at_once: bool = False) -> Iterator[Interrupts]:
    """Handles the signals inside the block, in the main thread, since others cannot; those that are ignored stay so.

    at_once: all of them raise, as Ctrl-C does by itself.
    """
    handler, numbers = Interrupts(at_once), [] if at_once else [signal.SIGINT]
    if threading.current_thread() is not threading.main_thread():
        yield handler
        return
    for number in (signal.SIGTERM, SIGHUP):
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            numbers.append(number)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield handler
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)
