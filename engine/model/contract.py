"""The contract of an intent: its rules, column by column.

The reader of files checks them to quarantine bad rows with a reason; the rule book checks them again before
it decides (rule ``invalid_intent``), so that neither relies on the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from engine.model.columns import Column, Columns, FlagColumn, JsonColumn, NumberColumn, TextColumn, TimeColumn
from engine.model.quantity import BOUND, NOT_A_QUANTITY, Mask
from engine.model.schema import (
    CLOCK_SKEW_LIMIT_S,
    FIELD_BY_NAME,
    ID_PATTERN,
    INTENT_FIELDS,
    SYMBOL_PATTERN,
    TEXT_LENGTH,
    Field,
)
from engine.text.plain_text import NORMAL, VISIBLE, is_normal, is_visible

AS_DIGITS = "Write digits with a decimal point, such as 1.5, and send the row again."
"""The remedy for text that is not a number."""
DIGITS = "at most 9 decimals and 15 significant digits"
ID_RULE = "an id of 1 to 48 characters, each a letter of A-Z or a-z, a digit, _ or -"


@dataclass(frozen=True)
class _Text:
    """The texts that a field may hold: the test, the rule in words, and the remedy."""

    holds: Callable[[str], bool]
    rule: str
    remedy: str


def _matching(pattern: str, rule: str, remedy: str) -> _Text:
    matcher = re.compile(pattern).fullmatch
    return _Text(lambda text: matcher(text) is not None, rule, remedy)


_TEXTS = {
    "client_intent_id": _matching(
        ID_PATTERN, ID_RULE, "Correct the id, or leave it out to have one derived."
    ),
    "target_intent_id": _matching(ID_PATTERN, ID_RULE, "Copy the client_intent_id of the order to cancel."),
    "symbol": _matching(
        SYMBOL_PATTERN,
        "a symbol of 1 to 32 characters, each a letter of A-Z, a digit, a dot, a slash or a hyphen",
        "Write it as the broker does, such as BRK.B or BTC/USD.",
    ),
    "asset_class": _matching(r"[A-Z_]{1,32}", "a word of A-Z and _", "Write EQUITY, say, or leave it out."),
}
_ONE_LINE = _matching(
    rf"(?!\s)[^\x00-\x1f\x7f]{{1,{TEXT_LENGTH}}}(?<!\s)",
    f"one line of text, 1 to {TEXT_LENGTH} characters without blanks around them",
    "Write it as plain text, no longer than that.",
)
_PLAIN_TEXT = (
    _ONE_LINE,
    _Text(is_visible, VISIBLE, "Type it anew: what can't be seen in it is shown here as an escape."),
    _Text(is_normal, NORMAL, "Write plain letters: no ligature, no full-width one, an accent in its letter."),
)
"""The rules of text fields without a pattern; each assumes the ones before it."""
_ABOUT_TYPES = frozenset({"order_type", "limit_price", "stop_price", "trail_price", "trail_percent"})
_ABOUT_CLASSES = frozenset(
    {"order_class", "take_profit_limit_price", "stop_loss_stop_price", "stop_loss_limit_price"}
)
"""Where none of these is given, the defaults of type and class need no price."""
_UNNEEDED_BY_CANCELS = frozenset({"symbol", "side", "qty"})


@dataclass(frozen=True)
class Violation:
    """A rule and the rows that break it: ``rule`` ends the sentence "expected …", ``remedy`` is one."""

    field: str
    rule: str
    remedy: str
    rows: Mask


def violations(columns: Columns, rows: int) -> Iterator[Violation]:
    """Yield each broken rule with its rows; a field that no row has may be absent from ``columns``."""
    for violation in _all_rules(columns, rows):
        if violation.rows.any():
            yield violation


def created_ahead(columns: Columns, now_us: int | npt.NDArray[np.int64]) -> Iterator[Violation]:
    """Yield rows created after ``now_us`` (us since 1970 UTC, one or each) by more than clocks may differ."""
    created = columns.get("created_at")
    if not isinstance(created, TimeColumn):
        return
    ahead = created.given & ~created.bad & (created.us > now_us + round(CLOCK_SKEW_LIMIT_S * 1e6))
    yield Violation(
        "created_at",
        f"a time that has come, at most {CLOCK_SKEW_LIMIT_S:g} s after this machine's",
        "Correct the clock, or the zone, of what wrote it, and send the row again.",
        ahead,
    )


def is_well_formed(field: str, value: object) -> bool:
    """Return whether a value is text that the named text field may hold."""
    return isinstance(value, str) and _test_of(field)(value)


@cache
def _test_of(field: str) -> Callable[[str], bool]:
    """Return the test of a field's text; called per text of large columns, so it is made once."""
    texts = _texts_of(FIELD_BY_NAME[field])
    return texts[0].holds if len(texts) == 1 else lambda value: all(text.holds(value) for text in texts)


def _all_rules(columns: Columns, rows: int) -> Iterator[Violation]:
    is_cancel = _says(columns, rows, "action", "cancel")
    for field in INTENT_FIELDS:
        column = columns.get(field.name)
        if field.required and field.name != "qty":
            missing = ~_given(columns, rows, field.name)
            if field.name in _UNNEEDED_BY_CANCELS:
                missing &= ~is_cancel
            yield Violation(field.name, _texts_of(field)[0].rule, f"Add {field.name}.", missing)
        if column is not None:
            yield from _one_field(field, column)
    yield from _how_much(columns, rows, is_cancel)
    yield from _prices_of_types(columns, rows)
    yield from _legs_of_classes(columns, rows)
    target = _given(columns, rows, "target_intent_id")
    yield Violation(
        "target_intent_id",
        "the id of the intent to cancel",
        "Add target_intent_id, the client_intent_id of the order that is to be cancelled.",
        is_cancel & ~target,
    )
    yield Violation(
        "target_intent_id",
        "none, since action is new",
        "Set action to cancel, or leave target_intent_id out.",
        ~is_cancel & target,
    )


def _one_field(field: Field, column: Column) -> Iterator[Violation]:
    if isinstance(column, TextColumn):
        left = column.given()
        for text in _texts_of(field):
            holds = column.where(text.holds)
            yield Violation(field.name, text.rule, text.remedy, left & ~holds)
            left = left & holds
    elif isinstance(column, NumberColumn):
        yield from _number_rules(field, column)
    elif isinstance(column, TimeColumn):
        yield Violation(
            field.name,
            "a date and time with a zone",
            "Write it as 2026-03-02T14:30:00Z, or with an offset such as -05:00.",
            column.bad,
        )
    elif isinstance(column, JsonColumn):
        rule = "a JSON object that the ledger can keep (engine.model.keeping)"
        yield Violation(field.name, rule, "Correct it, or leave it out.", column.wrong)
    elif isinstance(column, FlagColumn):
        yield Violation(field.name, "true or false", "Write one of the two, or leave it out.", column.bad)


@cache
def _texts_of(field: Field) -> tuple[_Text, ...]:
    if not field.choices:
        return (_TEXTS[field.name],) if field.name in _TEXTS else _PLAIN_TEXT
    remedy = "Write one of these words"
    if not field.required:
        remedy += f", or leave it out for {field.default}"
    if field.name == "action":
        remedy += "; buy and sell belong under side"
    rule = ", ".join(field.choices[:-1]) + " or " + field.choices[-1]
    return (_Text(frozenset(field.choices).__contains__, rule, f"{remedy}."),)


def _number_rules(field: Field, column: NumberColumn) -> Iterator[Violation]:
    numbers = column.numbers
    if column.bad is not None:
        yield Violation(
            field.name,
            "a positive decimal number" if field.kind == "quantity" else "a decimal number",
            AS_DIGITS,
            column.bad,
        )
    given = column.are_numbers
    if not given.any():
        return
    if field.kind == "number":
        yield Violation(field.name, "a finite number", "Correct it, or leave it out.", np.isinf(numbers))
        return
    units = column.units
    if bool(((units > 0) == given).all()):
        return
    in_range = (numbers > 0) & (numbers < BOUND)
    yield Violation(
        field.name,
        "a number above 0 and below 1e9",
        "Write how much as a positive number; side says the direction."
        if field.name == "qty"
        else "Write a positive number, or leave it out.",
        given & ~in_range,
    )
    inexact = in_range & ((units == NOT_A_QUANTITY) | (units <= 0))
    yield Violation(field.name, f"a number of {DIGITS}", "Round it.", inexact)


def _how_much(columns: Columns, rows: int, is_cancel: Mask) -> Iterator[Violation]:
    qty = _given(columns, rows, "qty")
    notional = _given(columns, rows, "notional")
    yield Violation(
        "qty",
        "a positive number",
        "Add qty in shares, or notional in USD instead.",
        ~is_cancel & ~qty & ~notional,
    )
    yield Violation(
        "notional", "none, since there is a qty", "Leave out the one that is not meant.", qty & notional
    )


def _prices_of_types(columns: Columns, rows: int) -> Iterator[Violation]:
    if columns.keys().isdisjoint(_ABOUT_TYPES):
        return
    needs = {
        "limit_price": ("limit", "stop_limit"),
        "stop_price": ("stop", "stop_limit"),
    }
    for field, order_types in needs.items():
        given = _given(columns, rows, field)
        needed = _says(columns, rows, "order_type", *order_types)
        yield Violation(
            field,
            f"a price, since order_type is {' or '.join(order_types)}",
            f"Add {field}, or set order_type to one that needs none.",
            needed & ~given,
        )
        yield Violation(
            field,
            f"none unless order_type is {' or '.join(order_types)}",
            f"Set order_type to {order_types[0]}, or leave {field} out (reference_price is for comparing).",
            given & ~needed & _known_type(columns, rows),
        )
    trailing = _says(columns, rows, "order_type", "trailing_stop")
    price, percent = _given(columns, rows, "trail_price"), _given(columns, rows, "trail_percent")
    yield Violation(
        "trail_price",
        "either trail_price or trail_percent, since order_type is trailing_stop",
        "Give one of the two.",
        trailing & (price == percent),
    )
    for field, given in (("trail_price", price), ("trail_percent", percent)):
        yield Violation(
            field,
            "none unless order_type is trailing_stop",
            f"Set order_type to trailing_stop, or leave {field} out.",
            ~trailing & given & _known_type(columns, rows),
        )


def _legs_of_classes(columns: Columns, rows: int) -> Iterator[Violation]:
    if columns.keys().isdisjoint(_ABOUT_CLASSES):
        return
    legs = {name: _given(columns, rows, name) for name in ("take_profit_limit_price", "stop_loss_stop_price")}
    both = _says(columns, rows, "order_class", "bracket", "oco")
    one = _says(columns, rows, "order_class", "oto")
    simple = _says(columns, rows, "order_class", "simple")
    profit, loss = legs.values()
    for name, given in legs.items():
        yield Violation(
            name,
            "a price, since order_class is bracket or oco",
            f"Add {name}, or set order_class to oto or simple.",
            both & ~given,
        )
        yield Violation(
            name,
            "none, since order_class is simple",
            f"Set order_class to bracket, oto or oco, or leave {name} out.",
            simple & given,
        )
    yield Violation(
        "order_class",
        "either take_profit_limit_price or stop_loss_stop_price beside it",
        "Give one of the two, or set order_class to bracket.",
        one & (profit == loss),
    )
    yield Violation(
        "stop_loss_limit_price",
        "none without stop_loss_stop_price",
        "Add stop_loss_stop_price, or leave stop_loss_limit_price out.",
        _given(columns, rows, "stop_loss_limit_price") & ~loss,
    )


def _known_type(columns: Columns, rows: int) -> Mask:
    return _says(columns, rows, "order_type", *FIELD_BY_NAME["order_type"].choices)


def _given(columns: Columns, rows: int, name: str) -> Mask:
    column = columns.get(name)
    if column is None or isinstance(column, FlagColumn | JsonColumn):
        return np.zeros(rows, dtype=bool)
    return column.given if isinstance(column, TimeColumn) else column.given()


def _says(columns: Columns, rows: int, name: str, *words: str) -> Mask:
    """Return the mask of rows whose ``name`` is one of ``words``; a missing one has its default."""
    column = columns.get(name)
    by_default = FIELD_BY_NAME[name].default in words
    if not isinstance(column, TextColumn):
        return np.full(rows, by_default)
    says = column.where(frozenset(words).__contains__)
    return says | ~column.given() if by_default else says
