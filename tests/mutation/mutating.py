"""Mutants of a module: its source with one small change each, such as a reviewer would have to notice."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_WORD = re.compile(r"[A-Za-z][A-Za-z_]*")
_ONLY_TOLD = {"event", "for_each", "progress", "_say", "_break"}
"""Calls whose words are for people: what they are called with is not changed, only whether they are made."""


@dataclass(frozen=True)
class Mutant:
    """A module's source with one change; ``change`` describes it, ``line`` is its place in the original."""

    path: str
    line: int
    change: str
    make: Callable[[], str | ast.Module]

    @property
    def source(self) -> str:
        """The changed source, made anew each time: few of many mutants are tried."""
        made = self.make()
        return made if isinstance(made, str) else ast.unparse(made)

    def code(self) -> CodeType:
        """Return the changed source compiled; what did not change keeps its line."""
        return compile(self.make(), str(Path(self.path).absolute()), "exec")

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"


def mutants_of(path: str, source: str | None = None) -> list[Mutant]:
    """Return every mutant of a module, in the order of its lines."""
    text = Path(path).read_text(encoding="utf-8") if source is None else source
    tree = ast.parse(text)
    found = [
        Mutant(
            path,
            _line(node),
            f"{_shown(node)}  ->  {_shown(now)}",
            partial(_mutated, text, place, number),
        )
        for place, node in enumerate(_own_nodes(tree))
        for number, now in enumerate(_changed(node))
    ]
    return sorted(found, key=lambda mutant: mutant.line)


def _line(node: ast.AST) -> int:
    return getattr(node.iter if isinstance(node, ast.comprehension) else node, "lineno", 0)


def _mutated(text: str, place: int, number: int) -> ast.Module:
    """Return a source with one change: of its node at ``place``, the one of that ``number``."""
    tree = ast.parse(text)
    node = list(_own_nodes(tree))[place]
    _replace(tree, node, list(_changed(node))[number])
    return ast.fix_missing_locations(tree)


def replaced(path: str, before: str, after: str) -> Mutant:
    """Return the mutant of a module in which a text that it has once is another.

    Raises ``LookupError`` where the text is not there, or more than once.
    """
    text = Path(path).read_text(encoding="utf-8")
    if text.count(before) != 1:
        raise LookupError(
            f"{path} has {before!r} {text.count(before)} times; expected once. Where the code has changed, "
            f"correct the sample in tests/mutation/sample.py."
        )
    line = text[: text.index(before)].count("\n") + 1
    changed = partial(text.replace, before, after)
    return Mutant(path, line, f"{before.strip()}  ->  {after.strip()}", changed)


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what decides something: no docstrings, annotations, messages or declarations of types."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "type_params"}:
            continue
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _called(node) in _ONLY_TOLD):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr) and not _is_text(child):
                yield from _own_nodes(child)


def _is_text(node: ast.AST) -> bool:
    """Return whether a statement is a string alone: a docstring."""
    is_string = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    imports = (ast.Import, ast.ImportFrom, ast.Global)
    return is_string or isinstance(node, imports) or (isinstance(node, ast.If) and _is_typing(node.test))


def _is_typing(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in the place of a node."""
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                moved = _COMPARISONS[type(operator)]()
                yield _with(node, ops=[*node.ops[:place], moved, *node.ops[place + 1 :]])
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            for place in range(len(node.values)):
                left = [*node.values[:place], *node.values[place + 1 :]]
                yield left[0] if len(left) == 1 else _with(node, values=left)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node.operand
        case ast.BinOp() | ast.AugAssign() if type(node.op) in _OPERATORS:
            yield _with(node, op=_OPERATORS[type(node.op)]())
            if isinstance(node, ast.AugAssign):
                yield ast.Pass()
        case ast.If() | ast.IfExp() if not isinstance(node.test, ast.Compare):
            yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.Constant():
            yield from _other_constants(node)
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield _with(node, value=ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise():
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.comprehension(ifs=[_, *_]):
            yield _with(node, ifs=[])
        case ast.Call():
            for keyword in node.keywords if _called(node) not in _ONLY_TOLD else []:
                yield _with(node, keywords=[one for one in node.keywords if one is not keyword])
            if isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
                yield _with(node, func=ast.Name(_FUNCTIONS[node.func.id], ast.Load()))


def _other_constants(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, str) and _WORD.fullmatch(value):
        yield ast.Constant(f"{value}_")


def _with(node: ast.AST, **fields: object) -> ast.AST:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
                return
            if isinstance(value, list) and any(one is old for one in value):
                setattr(parent, name, [new if one is old else one for one in value])
                return


def _shown(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:160]
