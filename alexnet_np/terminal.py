"""The terminal: text as it is, whatever encoding the terminal has and whatever is in a file's name."""

import io
import os
import re
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

# What moves the cursor, colours what follows, ends a line or turns its direction; and halves of surrogate pairs, which
# stand for the bytes of a file's name that are no UTF-8.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

console = Console(highlight=False, emoji=False)


def take_any_text() -> None:
    """Let standard output and error show what their encoding lacks as escapes, and standard input give any file's name.

    For the beginning of a program. A stream that somebody put in the place of Python's own stays as it is.
    """
    how = "backslashreplace"
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue
        try:
            stream.reconfigure(errors=how)
        except OSError:  # it was a file, of which Python asks the position, and its descriptor is a pipe by now
            renewed = os.fdopen(stream.fileno(), "w", 1, encoding=stream.encoding, errors=how, closefd=False)
            setattr(sys, name, renewed)
    if isinstance(sys.stdin, io.TextIOWrapper) and os.name == "posix":  # where names are bytes
        sys.stdin.reconfigure(encoding=sys.getfilesystemencoding(), errors="surrogateescape")


def shown(name: object) -> str:
    """A name in one line: its control characters as escapes, its spaces as they are."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), str(name))


def say(text: str, style: str | None = None) -> None:
    """Print lines as they are: a path keeps its brackets, and a command its line."""
    console.print("\n".join(map(shown, text.split("\n"))), style=style, soft_wrap=True, markup=False)


def complain(text: object) -> None:
    """Print one line on standard error."""
    print(f"alexnet-np: {shown(text)}", file=sys.stderr)


def progress_bar(details: str = "") -> Progress:
    """What is done, a bar, how many of how many, and the time that is left; nothing where there is no terminal.

    details: more to show, as a format of a task's fields. On a narrow terminal the bar gives way, then the details.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        _Details(details, table_column=Column()),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True, expand=True)


class _Details(TextColumn):
    """Text that is cut where there is no room for it."""

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text
