"""A source text altered in one place at a time, in the ways in which people really get a backward wrong.

    mutants(text, functions) → every (line, what was altered, altered text)

Each rule looks at one node of the syntax tree and gives the source that may stand in its place; the rest of the text
stays as it is. What comes of it (it may not run, or compute the same) is not decided here.
"""

import ast
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

OPERATORS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
EXCHANGED = {"+": "-", "-": "+", "*": "/", "/": "*", "//": "*", "**": "*", "&": "|", "|": "&", "<<": ">>", ">>": "<<"}
COMPARISONS = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!="}
COMPARED = {">": (">=", "<"), ">=": (">", "<"), "<": ("<=", ">"), "<=": ("<", ">"), "==": ("!=",), "!=": ("==",)}
FUNCTIONS = {"sum": "mean", "min": "max", "max": "min", "add": "subtract", "subtract": "add", "multiply": "divide",
             "divide": "multiply", "bitwise_and": "bitwise_or", "zeros": "ones", "sqrt": "square", "exp": "exp2",
             "start": "stop", "stop": "start"}  # fmt: skip

# Names that are taken for each other.
CONFUSED = [
    ("P", "Q"), ("H", "W"), ("N", "K"), ("C", "K"), ("n", "N"), ("r", "s"), ("rows", "columns"), ("low", "high"),
    ("top", "bottom"), ("left", "right"), ("top", "left"), ("start", "stop"), ("first", "last"), ("size", "stride"),
    ("dy", "x"), ("dy", "y"), ("x", "scale"), ("columns", "gradient"), ("alpha", "beta"), ("a", "alpha"),
]  # fmt: skip

# What may stand for a name: an option forgotten or turned round, another image's cache, filters transposed or turned.
INSTEAD: dict[str, tuple[str, ...]] = {
    "groups": ("1",),
    "stride": ("(1, 1)", "stride[::-1]"),
    "padding": ("((0, 0), (0, 0))", "padding[::-1]", "tuple(side[::-1] for side in padding)"),
    "size": ("(size - 2)", "(size + 2)"),
    "alpha_over_size": ("not alpha_over_size",),
    "alpha": ("2 * alpha",),
    "beta": ("1", "0.5", "(beta + 1)", "(beta - 1)"),
    "k": ("1", "2"),
    "rate": ("0.5", "(1 - rate)"),
    "train": ("not train",),
    "scale_at_train": ("not scale_at_train",),
    "key": ("(key[0], key[1] + 1, key[2])", "(key[0], key[1], key[2] + 1)"),
    "dy": ("dy[::-1]", "abs(dy)", "dy[..., ::-1]"),
    "x": ("x[::-1]", "x[:, ::-1]", "x[..., ::-1]"),
    "y": ("y[::-1]", "y[:, ::-1]"),
    "scale": ("scale[::-1]", "scale[:, ::-1]"),
    "probs": ("probs[::-1]",),
    "labels": ("labels[::-1]", "(labels + 1) % probs.shape[1]"),
    "index": ("index[::-1]", "(index + 1)", "(index - 1)"),
    "w": ("w[..., ::-1, ::-1]", "w.swapaxes(-1, -2)", "w.swapaxes(0, 1)", "w[::-1]", "w[:, ::-1]"),
}
SINGLE = '.astype("float32")'


class Mutant(NamedTuple):
    """One alteration: the line of the original, what was altered, and the whole text with it."""

    line: int
    what: str
    text: str


def mutants(text: str, functions: Collection[str]) -> list[Mutant]:
    """Every alteration of the bodies of the named functions of a Python source text, each result once."""
    tree = ast.parse(text)
    data, starts = text.encode(), [0]  # the tree counts columns in bytes
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: dict[str, Mutant | None] = {ast.unparse(tree): None}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or function.name not in functions:
            continue
        for node, field, statement in _nodes(function.body, "body", function):
            start = starts[node.lineno - 1] + node.col_offset
            stop = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
            for new in _statement(node) if isinstance(node, ast.stmt) else _expression(node, field):
                spliced = new if isinstance(node, ast.stmt) else f"({new})"
                altered = (data[:start] + spliced.encode() + data[stop:]).decode()
                what = f"`{_first_line(node)}` → `{new}`"
                what += "" if isinstance(node, ast.stmt) else f" in `{_first_line(statement)}`"
                found.setdefault(ast.unparse(ast.parse(altered)), Mutant(node.lineno, what, altered))
    return [mutant for mutant in found.values() if mutant]


def _first_line(node: ast.AST) -> str:
    return ast.unparse(node).partition("\n")[0]


def _nodes(within: Any, field: str, statement: ast.stmt) -> Iterator[tuple[ast.stmt | ast.expr, str, ast.stmt]]:
    """Statements and expressions below `within`, with the field of the parent that holds each, and the statement around
    it. Without annotations and what stands inside an f-string."""
    if isinstance(within, list):
        for item in within:
            yield from _nodes(item, field, statement)
    elif isinstance(within, ast.AST) and field != "annotation":
        statement = within if isinstance(within, ast.stmt) else statement
        if isinstance(within, ast.stmt | ast.expr):
            yield within, field, statement
        if not isinstance(within, ast.JoinedStr):
            for name, value in ast.iter_fields(within):
                yield from _nodes(value, name, statement)


def _statement(node: ast.stmt) -> Iterator[str]:
    """Left out; overwritten in place of accumulated; another operator; computed in single precision."""
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.For | ast.If) and not docstring:
        yield "pass"
    if isinstance(node, ast.AugAssign):
        target, value, operator = ast.unparse(node.target), ast.unparse(node.value), OPERATORS[type(node.op)]
        yield f"{target}[...] = {value}" if isinstance(node.target, ast.Name) else f"{target} = {value}"
        if operator in EXCHANGED:
            yield f"{target} {EXCHANGED[operator]}= {value}"
        yield f"{target} {operator}= ({value}){SINGLE}"
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp | ast.Call):
        yield f"{ast.unparse(node.targets[0])} = ({ast.unparse(node.value)}){SINGLE}"


def _expression(node: ast.expr, field: str) -> Iterator[str]:
    """What may stand for an expression in the given field of its parent."""
    source = ast.unparse(node)
    if field == "iter":  # of a loop: the first or the last round left out
        yield f"list({source})[1:]"
        yield f"list({source})[:-1]"
    if field == "test":
        yield f"not ({source})"
    if field in ("lower", "upper"):  # of a slice
        yield f"{source} + 1"
        yield f"{source} - 1"
    if field == "step":
        yield "1"
    if isinstance(node, ast.BinOp):
        yield from _binary(node)
    if isinstance(node, ast.UnaryOp):
        yield ast.unparse(node.operand)
    if isinstance(node, ast.Compare):
        left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
        yield from (f"{left} {other} {right}" for other in COMPARED.get(COMPARISONS.get(type(node.ops[0]), ""), ()))
    if isinstance(node, ast.IfExp):
        yield f"{ast.unparse(node.orelse)} if {ast.unparse(node.test)} else {ast.unparse(node.body)}"
    if isinstance(node, ast.Constant):
        yield from _constant(node.value)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield from INSTEAD.get(node.id, ())
        yield from (b if node.id == a else a for a, b in CONFUSED if node.id in (a, b))
        yield from [FUNCTIONS[node.id]] if field == "func" and node.id in FUNCTIONS else []
    if isinstance(node, ast.Attribute):
        value = ast.unparse(node.value)
        yield from [f"{value}.{FUNCTIONS[node.attr]}"] if node.attr in FUNCTIONS else []
        yield from [value] if node.attr == "T" else []
    if isinstance(node, ast.Call):
        yield from _call(node)


def _binary(node: ast.BinOp) -> Iterator[str]:
    """Another operator, a term or a factor dropped, the operands exchanged."""
    left, right, operator = ast.unparse(node.left), ast.unparse(node.right), OPERATORS[type(node.op)]
    if operator in EXCHANGED:
        yield f"({left}) {EXCHANGED[operator]} ({right})"
    yield left
    yield right
    if operator not in ("+", "*", "&", "|", "^"):
        yield f"({right}) {operator} ({left})"


def _constant(value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        yield repr(not value)
    elif isinstance(value, int):
        yield repr(value + 1)
        yield repr(value - 1)
    elif isinstance(value, float):
        yield repr(2 * value)
        yield repr(1.001 * value)


def _call(node: ast.Call) -> Iterator[str]:
    """Neighbouring arguments exchanged, a keyword dropped, a transposition dropped, an operand in single precision."""
    function, arguments = ast.unparse(node.func), [ast.unparse(a) for a in node.args]
    keywords = [ast.unparse(k) for k in node.keywords]

    def call(arguments: list[str], keywords: list[str]) -> str:
        return f"{function}({', '.join([*arguments, *keywords])})"

    for i in range(len(arguments) - 1):
        yield call([*arguments[:i], arguments[i + 1], arguments[i], *arguments[i + 2 :]], keywords)
    for i, keyword in enumerate(node.keywords):
        if keyword.arg not in ("out", "axis"):
            yield call(arguments, keywords[:i] + keywords[i + 1 :])
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("transpose", "swapaxes", "astype"):
        yield ast.unparse(node.func.value)
    if any(keyword.arg == "out" for keyword in node.keywords):
        for i, argument in enumerate(arguments):
            yield call([*arguments[:i], f"({argument}){SINGLE}", *arguments[i + 1 :]], keywords)
