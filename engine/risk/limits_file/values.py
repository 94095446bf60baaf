"""The value at a key of a limits file: the TOML type that its limit takes, and its parsing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any

from engine.errors import ConfigurationError
from engine.risk.rule import Kind, Limit
from engine.text.masking import shown_text, shown_word
from engine.text.printable import LONGEST_SHOWN


class FloatText(str):
    """A floating-point number as it is written, so that no digit is lost."""


def parsed_value(limit: Limit, name: str, value: object) -> Any:
    """Return the value of a limit. ``name``: its key, and where it stands, as messages name it.

    Numbers, booleans and lists are written as TOML writes them, never as text. Raises
    ``ConfigurationError``, which doesn't name the file; ``wrong_element`` finds the wrong one of a list.
    """
    return _FORMS[limit.kind](limit, name, value)


def wrong_element(limit: Limit, value: object) -> int | None:
    """Return the number of the first wrong element of a list, None for other values."""
    if limit.kind != "names" or not isinstance(value, list):
        return None
    parsed: dict[Any, object] = {}
    for number, element in enumerate(value):
        try:
            _add_element(limit, limit.key, element, parsed)
        except ConfigurationError:
            return number
    return None


def _a_number(limit: Limit, name: str, value: object) -> Any:
    text = number_text(value)
    if text is None:
        remedy = "Write it in digits and without quotes, such as 100 or 0.5."
        raise _wrong_type(name, value, "a number", remedy)
    return limit.parse(name, text)


def _a_flag(limit: Limit, name: str, value: object) -> Any:
    if not isinstance(value, bool):
        raise _wrong_type(name, value, "true or false", "Write it without quotes.")
    return limit.parse(name, str(value))


def _a_word(limit: Limit, name: str, value: object) -> Any:
    if not is_text(value):
        raise _wrong_type(name, value, "a word", "Write it in quotes.")
    return limit.parse(name, str(value))


def _a_list(limit: Limit, name: str, value: object) -> Any:
    if not isinstance(value, list):
        raise _wrong_type(name, value, "a list of text", 'Write it as ["A", "B"].')
    parsed: dict[Any, object] = {}
    for element in value:
        _add_element(limit, name, element, parsed)
    return limit.parse(name, value)


def _add_element(limit: Limit, name: str, element: object, parsed: dict[Any, object]) -> None:
    """Parse one element of a list; it may not mean the same as an earlier one."""
    if not is_text(element):
        raise _wrong_type(name, element, "a list of text", 'Write it as ["A", "B"].')
    meant = limit.parse(name, [element])
    if meant in parsed:
        first, second = shown_text(str(parsed[meant])), shown_text(str(element))
        raise ConfigurationError(
            f"{name} has {first} and {second}, which are the same. Leave one of them out."
        )
    parsed[meant] = element


_FORMS: Mapping[Kind, Callable[[Limit, str, object], Any]] = {
    "number": _a_number,
    "flag": _a_flag,
    "word": _a_word,
    "names": _a_list,
}


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
