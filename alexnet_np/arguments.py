"""Arguments of the command line before they are parsed."""

from collections.abc import Callable, Sequence
from typing import Any, get_args, get_origin, get_type_hints


def gathered(arguments: Sequence[str], command: Callable[..., Any], settings: type) -> list[str]:
    """A flag that takes any number of values may be given again: its further values go behind its first ones.

    The parser would keep the last ones only. command: whose parameters are the flags; settings: a dataclass whose
    fields are flags too, where it is one of the parameters.
    """
    kinds = get_type_hints(command)
    if settings in kinds.values():
        kinds |= get_type_hints(settings)
    several = {f"--{name.replace('_', '-')}" for name, kind in kinds.items() if _takes_several(kind)}
    groups: list[list[str]] = [[]]  # each of a flag and what follows it
    current, of_flag = groups[0], dict[str, list[str]]()
    for argument in arguments:
        name, equals, value = argument.partition("=")
        flag = name.replace("_", "-")
        if not argument.startswith("--"):
            current.append(argument)
        elif flag not in several:
            groups.append(current := [argument])
        else:
            if flag not in of_flag:
                groups.append(of_flag.setdefault(flag, [flag]))
            current = of_flag[flag]
            current += [value] if equals else []
    return [argument for group in groups for argument in group]


def _takes_several(kind: Any) -> bool:
    """Whether it is tuple[T, ...], or that or something else."""
    return any(get_origin(k) is tuple and get_args(k)[-1] is ... for k in (kind, *get_args(kind)))
