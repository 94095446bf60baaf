"""No sum or difference of quantities is formed in floats outside the edges: 0.1 + 0.2 is above 0.3."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

IN_UNITS = {"difference_qty", "adjustment_qty"}
"""Quantities of breaks and their adjustments, which are int64 units."""
EDGES = {
    "replay/simulator": "a broker of its own, which counts in Decimal",
    "jobs/wording.py": "a sentence for people, of figures that may be beyond what units hold",
    "engine/routing/release_check.py": "the quantities of an allowance are units",
}
SUMS = {"sum", "fsum", "nansum", "cumsum", "diff", "add", "sub", "subtract"}


def is_quantity(node: ast.AST) -> bool:
    match node:
        case (
            ast.Attribute(attr=name) | ast.Name(id=name) | ast.Subscript(slice=ast.Constant(value=str(name)))
        ):
            return name.endswith("qty") and name not in IN_UNITS
        case ast.Subscript(slice=ast.List(elts=columns)):
            return any(is_quantity(ast.Subscript(node.value, column)) for column in columns)
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name)), *_]):
            return name.endswith("qty")
        case ast.Call(func=ast.Attribute(value=inner, attr="fillna" | "abs" | "to_numpy" | "astype")):
            return is_quantity(inner)
        case ast.Call(func=ast.Name(id="float" | "abs" | "min" | "max"), args=parts):
            return any(map(is_quantity, parts))
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div(), right=right):
            return is_quantity(left) or is_quantity(right)
        case ast.UnaryOp(operand=inner):
            return is_quantity(inner)
        case ast.BoolOp(values=parts):
            return any(map(is_quantity, parts))
        case ast.IfExp(body=first, orelse=second):
            return is_quantity(first) or is_quantity(second)
    return False


def float_sums(source: str) -> Iterator[int]:
    """Yield the lines on which quantities are added or subtracted as they are."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right) if is_quantity(
                left
            ) or is_quantity(right):
                yield node.lineno
            case ast.AugAssign(target=target, op=ast.Add() | ast.Sub(), value=value) if is_quantity(
                target
            ) or is_quantity(value):
                yield node.lineno
            case ast.Call(func=ast.Name(id=name), args=[inside]) if name in SUMS and adds_up(inside):
                yield node.lineno
            case ast.Call(func=ast.Attribute(value=frame, attr=name), args=parts) if name in SUMS and any(
                map(is_quantity, [frame, *parts])
            ):
                yield node.lineno


def adds_up(inside: ast.expr) -> bool:
    summand = inside.elt if isinstance(inside, ast.GeneratorExp | ast.ListComp) else inside
    match summand:
        case ast.BinOp(left=left, right=right):
            return is_quantity(left) or is_quantity(right)
    return is_quantity(summand)


def modules() -> list[Path]:
    found = (path for part in ("engine", "jobs", "replay") for path in (ROOT / part).rglob("*.py"))
    return sorted(path for path in found if not path.relative_to(ROOT).as_posix().startswith(tuple(EDGES)))


@pytest.mark.parametrize("module", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_quantities_are_added_in_units(module: Path) -> None:
    assert list(float_sums(module.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "left = order.qty - order.filled_qty",
        "held += fill['qty']",
        "row.filled_qty += 1",
        "total = sum(fill.qty for fill in fills)",
        "total = sum(fill.qty * fill.price for fill in fills)",
        "total = frame['qty'].sum()",
        "held[key] = held.get(key, 0.0) + (fill['qty'] if buys else -fill['qty'])",
        "left = (document.get('filled_qty') or 0.0) - 1",
        "held += sign * fill.qty",
        "left = float(order.qty) - 1",
        "total = frame[['symbol', 'filled_qty']].sum()",
        "total = frame.groupby('symbol')['qty'].cumsum()",
        "total = np.nansum(frame['qty'].to_numpy())",
        "left = frame['qty'].fillna(0).sub(frame['filled_qty'])",
    ],
)
def test_the_check_finds_them(source: str) -> None:
    assert list(float_sums(source)) == [1]


@pytest.mark.parametrize(
    "source",
    [
        "left = units_of(order.qty) - units_of(order.filled_qty)",
        "total = sum(units_of(fill.qty) for fill in fills)",
        "worth = fill.qty * fill.price",
        "total = sum(one.difference_qty for one in breaks)",
    ],
)
def test_the_check_lets_units_pass(source: str) -> None:
    assert list(float_sums(source)) == []
