"""Several graders as one: a formula over their marks, such as `0.8 * right + 0.2 * short`.

A formula is numbers, the graders' names, + - * / ( ) and a few functions; it is read, never run as Python.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from luthier.errors import BadConfig
from luthier.records.base import Value
from luthier.training.graders.grader import Folders, Grade, Grader, Sample, load, understood

BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "floor": math.floor,
    "ceil": math.ceil,
}
MEND = "write it like 0.8 * right + 0.2 * short"
LONGEST = 500
"""Letters of a formula: a deeper nest than these can hold would break the parser."""


class Multi(Value):
    """Graders and how their marks become one."""

    name: str = ""
    """What people call it."""
    graders: dict[str, dict[str, Any]] = Field(min_length=1)
    """The graders by the names that the formula uses."""
    calculate_output: str = Field(default="", max_length=LONGEST)
    """The formula; left out: the mean."""


def grader(spec: Mapping[str, Any], folders: Folders) -> Grader:
    """The formula's value for each answer; a fault of one grader is a fault of the whole."""
    given = understood(Multi, spec, "multi")
    parts = {name: load(each, folders) for name, each in given.graders.items()}
    formula = parsed(given.calculate_output or f"({' + '.join(parts)}) / {len(parts)}", parts.keys())

    def grade(samples: Sequence[Sample]) -> list[Grade]:
        marks = {name: part(samples) for name, part in parts.items()}
        return [together(formula, {name: each[n] for name, each in marks.items()}) for n in range(len(samples))]

    return grade


def together(formula: ast.expr, marks: Mapping[str, Grade]) -> Grade:
    """One mark from several."""
    faults = [f"{name}: {mark.fault}" for name, mark in marks.items() if mark.fault]
    parts = {name: mark.score for name, mark in marks.items()}
    if faults:
        return Grade(0.0, "; ".join(faults), parts)
    try:
        return Grade(value(formula, parts), parts=parts)
    except (ArithmeticError, ValueError) as error:
        return Grade(0.0, f"the formula has no value here ({error})", parts)


def parsed(formula: str, names: Iterable[str]) -> ast.expr:
    """The formula as a tree of what may stand in one. Raises BadConfig."""
    names = set(names)
    try:
        tree = ast.parse(formula, mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise BadConfig(f"the formula {formula!r} cannot be read ({error})", MEND) from error
    for node in ast.walk(tree):
        named = isinstance(node, ast.Name) and (node.id in names or node.id in FUNCTIONS)
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS
        number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
        sign = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        product = isinstance(node, ast.BinOp) and type(node.op) in BINARY
        leaf = isinstance(node, ast.operator | ast.unaryop | ast.expr_context)
        if not (named or called or number or sign or product or leaf):
            what = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
            raise BadConfig(
                f"{what!r} may not stand in the formula {formula!r}", f"{MEND}; graders: {', '.join(sorted(names))}"
            )
    return tree


def value(node: ast.expr, marks: Mapping[str, float]) -> float:
    """What the formula comes to."""
    match node:
        case ast.Constant(value=number):
            return float(number)  # type: ignore[arg-type]
        case ast.Name(id=name):
            return marks[name]
        case ast.UnaryOp(operand=operand):
            return -value(operand, marks)
        case ast.BinOp(left=left, op=op, right=right):
            return BINARY[type(op)](value(left, marks), value(right, marks))
        case ast.Call(func=ast.Name(id=name), args=args):
            return float(FUNCTIONS[name](*(value(each, marks) for each in args)))
    raise BadConfig(f"{ast.unparse(node)!r} has no value", MEND)
