"""Ctrl-C is acknowledged while compiled code runs, in which Python handles no signal."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from alexnet_np.acknowledge import acknowledged
from alexnet_np.cli import main

# A command whose work ends only after this test has read what was said: in one thread, and in the parts of a share.
CODE = """
import sys, threading, time
import alexnet_np as anp
from alexnet_np import cli
from alexnet_np.kernels.together import Barrier, wait
from alexnet_np.parallel import share

anp.set_threads(2)
barrier, parts = Barrier(), int(sys.argv[1])

def goes_on():
    while barrier.state[0] < parts:  # all are in compiled code then, and wait for one more
        time.sleep(0.001)
    print("begun", flush=True)
    sys.stdin.readline()
    barrier.give_up()

def work():
    threading.Thread(target=goes_on, daemon=True).start()
    share(parts, lambda lo, hi: wait(barrier.state, parts + 1))
    print("not stopped")

cli.COMMANDS["info"] = work
sys.exit(cli.main(["info"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signal can be sent to one process alone")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("parts", [1, 2])
def test_it_is_said_before_the_work_ends(parts: int, number: int, code: int) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", CODE, str(parts)], text=True, **pipes) as process:
        assert process.stdin and process.stdout and process.stderr
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        said = iter(lambda: process.stderr.readline(), "")
        told = (line for line in said if not line.startswith("compil"))
        assert next(told) == "alexnet-np: will stop when what runs now has ended\n"
        assert process.poll() is None
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert list(told) == ["alexnet-np: interrupted\n"] and process.stdout.read() == ""
        assert process.wait(60) == code


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """Commands may run one after the other in a process, and in other threads than the first."""
    before = threading.active_count()
    for _ in range(3):
        with acknowledged():
            assert threading.active_count() == before + 1
        assert threading.active_count() == before and signal.set_wakeup_fd(-1) == -1
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["predict", "none", "--checkpoint", str(tmp_path)])))
    thread.start()
    thread.join()
    assert codes == [2]
