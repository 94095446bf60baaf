"""The value at a key of a limits file: the TOML type that its limit takes, and its parsing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any

from engine.errors import ConfigurationError
from engine.risk.rule import Limit
from engine.settings.values import Choice, ListOf, as_flag
from engine.text.masking import shown_text, shown_word
from engine.text.printable import LONGEST_SHOWN


class FloatText(str):
    """A floating-point number as it is written, so that no digit is lost."""


def parsed_value(limit: Limit, name: str, value: object) -> Any:
    """Return the value of a limit. ``name``: its key, and where it stands, as messages name it.

    Numbers, booleans and lists are written as TOML writes them, never as text. Raises
    ``ConfigurationError``, which doesn't name the file.
    """
    return _form(limit.parse)(limit, name, value)


def _form(parse: Callable[[str, str], Any]) -> Callable[[Limit, str, object], Any]:
    if isinstance(parse, ListOf):
        return _a_list
    if isinstance(parse, Choice):
        return _a_word
    return _a_flag if parse is as_flag else _a_number


def _a_number(limit: Limit, name: str, value: object) -> Any:
    text = number_text(value)
    if text is None:
        raise _wrong_type(
            name, value, "a number", "Write it in digits and without quotes, such as 100 or 0.5."
        )
    return limit.parse(name, text)


def _a_flag(limit: Limit, name: str, value: object) -> Any:
    if not isinstance(value, bool):
        raise _wrong_type(name, value, "true or false", "Write it without quotes.")
    return limit.parse(name, str(value))


def _a_word(limit: Limit, name: str, value: object) -> Any:
    assert isinstance(limit.parse, Choice)
    if not is_text(value):
        raise _wrong_type(name, value, " or ".join(limit.parse.words), "Write it in quotes.")
    return limit.parse(name, str(value))


def _a_list(limit: Limit, name: str, value: object) -> Any:
    assert isinstance(limit.parse, ListOf)
    if not isinstance(value, list) or not all(map(is_text, value)):
        wrong = next((one for one in value if not is_text(one)), "") if isinstance(value, list) else value
        raise _wrong_type(name, wrong, "a list of text", 'Write it as ["A", "B"].')
    return limit.parse.of(name, value)


def is_text(value: object) -> bool:
    """Return whether a value of the document is text."""
    return isinstance(value, str) and not isinstance(value, FloatText)


def number_text(value: object) -> str | None:
    """Return a number of the document as it is written, without ``_`` and ``+``; None for anything else."""
    if isinstance(value, FloatText):
        return value.replace("_", "").removeprefix("+")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _wrong_type(name: str, value: object, expected: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"{name} is {shown_value(value)}; expected {expected}. {remedy}")


def shown_value(value: object) -> str:
    """Return a value of the document as a message shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return str(value)[:LONGEST_SHOWN] if isinstance(value, FloatText) else shown_text(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "a table"
    return "a list" if isinstance(value, list) else shown_word(value)
