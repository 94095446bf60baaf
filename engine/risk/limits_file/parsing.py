"""The text of a limits file -> ``LimitsFile``, or every fault with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from engine.errors import ConfigurationError
from engine.risk.levels import LimitsFile
from engine.risk.limits_file.faults import Faults, place
from engine.risk.limits_file.lines import toml_text
from engine.risk.limits_file.names import did_you_mean, section_name
from engine.risk.limits_file.sections import HEAD, KINDS, WARN_AT, Reading
from engine.risk.limits_file.temporary import as_date, as_words, temporary_sections
from engine.risk.limits_file.values import FloatText, is_text, number_text, shown_value
from engine.risk.rule import Limit
from engine.settings.toml_lines import DEEPEST, KeyLines, key_lines
from engine.text.masking import looks_secret, shown_text

VERSION = 1
ALL_RULES = "*"
_WHERE = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)$")
_WORDS = re.compile(r"[^\s\"'=,\[\]{}]+")
_LONGEST_NUMBER = re.compile(r"[0-9_]{4000,}")
_ABOUT = {
    "version": f"version = {VERSION}",
    "owner": 'owner = "risk desk", who answers for these limits',
    "review_by": "review_by = 2027-03-31, when they are to be reviewed",
    "acknowledged_off": 'acknowledged_off = [], the rules that no limit switches on ("*" for all)',
}
_REMEDIES = {
    "Expected newline or end of document after a statement": "Write one key = value on a line; numbers "
    "without commas, as 25000 or 25_000.",
    "Expected ']' at the end of a table declaration": "Write names with blanks or dots in quotes, as in "
    '[symbol."BRK.B"].',
    "Expected '=' after a key in a key/value pair": "Write key = value, as in max_position_qty = 100.",
    "Invalid value": "Write numbers in digits, true or false in small letters, dates as 2027-03-31, and text "
    "in quotes.",
    "Invalid date or datetime": "Write a date that the calendar has, as 2027-03-31.",
}


def parse_limits_file(content: str, *, path: str, known: Mapping[str, Limit]) -> LimitsFile:
    """Return the limits of a file. ``path``: as messages name it; ``known``: every limit by its key.

    Raises ``ConfigurationError``: not TOML, an unknown key or section, a value that is none, a limit where it
    may not stand, and whatever is written twice or lacks. Dates are compared by ``checks``.
    """
    text = toml_text(content)
    lines = key_lines(text)
    document = _document(text, lines, path)
    faults = Faults(path, lines)
    reading = Reading(known, faults)
    _check_version(document, faults)
    _check_words(document, reading)
    limits = reading.table(document, ("limits",))
    head = _head(document, reading)
    sections, warn_at = reading.sections(document, limits), reading.warn_at(limits)
    temporary = temporary_sections(reading, document)
    faults.raise_if_any()
    return LimitsFile(
        path=path,
        content=content,
        version=VERSION,
        warn_at=warn_at,
        sections=sections,
        temporary=temporary,
        **head,
    )


def _document(text: str, lines: KeyLines, path: str) -> dict[str, Any]:
    if lines.too_deep is not None:
        raise ConfigurationError(
            f"{place(path, lines.too_deep)} names or arrays are nested deeper than {DEEPEST}; expected "
            f"sections as in [strategy.NAME.symbol.NAME]. Correct the line."
        )
    try:
        return tomllib.loads(text, parse_float=FloatText)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(text, lines, path, str(error)) from None
    except (ValueError, RecursionError):
        number = _LONGEST_NUMBER.search(text)
        line = text.count("\n", 0, number.start()) + 1 if number else 1
        raise ConfigurationError(
            f"{place(path, line)} a number has thousands of digits; expected at most 15. Correct it."
        ) from None


def _not_toml(text: str, lines: KeyLines, path: str, message: str) -> ConfigurationError:
    found = _WHERE.search(message)
    line = int(found[1]) if found and found[1] else text.rstrip("\n").count("\n") + 1
    reason = message[: found.start()] if found else message
    twice = next((one for one in lines.repeated if one[2] <= line), None)
    if twice is not None and reason.startswith("Cannot"):
        where, first, second = twice
        name = shown_text(".".join(map(str, where)))
        return ConfigurationError(
            f"{place(path, second)} {name} is written a second time; the first is in line {first}. Keep one "
            f"of them, and put the keys of a section together."
        )
    stands = text.split("\n")[line - 1].strip()
    shown = "the line" if any(map(looks_secret, _WORDS.findall(stands))) else shown_text(stands)
    remedy = _REMEDIES.get(reason, "Correct the line, or compare it with `execution-engine limits template`.")
    if found and not found[1]:
        remedy = "The file ends too early: close the list, table or text that is still open there."
    return ConfigurationError(f"{place(path, line)} {shown} is not TOML ({reason}). {remedy}")


def _check_version(document: Mapping[str, Any], faults: Faults) -> None:
    """Check the version first: what the rest of another version means is unknown."""
    if "version" in document and (
        number_text(document["version"]) != str(VERSION) or not isinstance(document["version"], int)
    ):
        faults.add(
            ("version",),
            f"version is {shown_value(document['version'])}; expected {VERSION}, the version of limits files "
            f"that this engine reads. Write version = {VERSION}, or run the engine that the file is for.",
        )
        faults.raise_if_any()


def _check_words(document: Mapping[str, Any], reading: Reading) -> None:
    """Check the keys and the first words of sections."""
    for key, value in document.items():
        if key in HEAD or key in KINDS:
            continue
        if key in reading.known or key == WARN_AT:
            text = f"{key} stands above the first section; expected it in one. Move it below [limits]."
        elif isinstance(value, dict):
            hint = did_you_mean(key, KINDS, otherwise=f"Sections begin with {', '.join(KINDS)}.")
            text = f"{section_name(key)} is no section of a limits file. {hint}"
        else:
            hint = did_you_mean(key, (*HEAD, *reading.known), otherwise=f"Expected one of {', '.join(HEAD)}.")
            text = f"{shown_text(key)} is no key of a limits file. {hint}"
        reading.faults.add((key,), text)


def _head(document: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    """Return what stands above the sections; what is missing or wrong is a fault."""
    for key in HEAD:
        if key not in document:
            reading.faults.add_at(
                1, f"{key} is missing; expected {_ABOUT[key]}. Add it above the first section."
            )
    found: dict[str, Any] = {}
    if "owner" in document:
        found["owner"] = as_words(reading, "owner", "", document["owner"], ("owner",))
    if "review_by" in document:
        found["review_by"] = as_date(reading, "review_by", "", document["review_by"], ("review_by",))
    if "acknowledged_off" in document:
        found["acknowledged_off"] = _acknowledged(document["acknowledged_off"], reading.faults)
    return found


def _acknowledged(value: object, faults: Faults) -> frozenset[str]:
    names = [ALL_RULES] if value == ALL_RULES else value
    if not isinstance(names, list) or not all(map(is_text, names)):
        faults.add(
            ("acknowledged_off",),
            f"acknowledged_off is {shown_value(value)}; expected a list of names of rules. Write it as "
            f'["max_order_qty_exceeded"], or ["{ALL_RULES}"] for all.',
        )
        return frozenset()
    for number, name in enumerate(names):
        if name in names[:number]:
            faults.add(
                ("acknowledged_off", number), f"acknowledged_off has {shown_text(name)} twice. Leave it once."
            )
    return frozenset(names)
