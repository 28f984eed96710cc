"""Ctrl-C is acknowledged at once, though what runs may take a while to stop: a step, or compiled code, in which Python
handles no signal."""

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread, current_thread, main_thread

SOON = 0.5  # seconds, within which most work stops by itself
ASK = {getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")}


@contextmanager
def acknowledged() -> Iterator[None]:
    """Say on stderr that a signal has come which asks to end, where the block has not ended soon after it.

    Python's handler in C writes the signal's number to a socket, whatever the main thread does; another thread reads
    it. In any thread but the main one, which no signal reaches, this does nothing.
    """
    if current_thread() is not main_thread():
        yield
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before, ended = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False), Event()
    teller = Thread(target=_tell, args=(ours, ended), name="acknowledge", daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        theirs.close()
        teller.join()
        ours.close()


def _tell(numbers: socket.socket, ended: Event) -> None:
    while came := numbers.recv(64):
        if ASK.intersection(came) and not ended.wait(SOON):
            with suppress(OSError):  # of a terminal that was closed
                print("alexnet-np: will stop when what runs now has ended", file=sys.stderr, flush=True)
