"""The temporary sections of a limits file: limits that stand in the place of others until a date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from engine.risk.levels import Scope, TemporarySection
from engine.risk.limits_file.names import did_you_mean, parts_of_scope, section_name
from engine.risk.limits_file.sections import NO_LIMIT, Reading
from engine.risk.limits_file.values import is_text, shown_value
from engine.settings.toml_lines import Path
from engine.text.plain_text import VISIBLE, is_visible, trimmed

REQUIRED = ("scope", "until", "approved_by", "why")
LONGEST_TEXT = 1_000
_SCOPES = '"limits", "account.NAME", "symbol.NAME", "strategy.NAME" or "strategy.NAME.symbol.NAME"'
_ABOUT = {
    "scope": f"scope = {_SCOPES}",
    "until": "until = 2026-12-18, the last session in which it holds",
    "approved_by": 'approved_by = "ann"',
    "why": 'why = "index rebalance"',
}


def temporary_sections(reading: Reading, document: Mapping[str, Any]) -> tuple[TemporarySection, ...]:
    """Return the temporary sections in the order in which they are written."""
    found: list[TemporarySection] = []
    written: dict[tuple[Scope, str], int] = {}
    for name, table, where in reading.named_tables(document, ("temporary",)):
        section = _section(reading, name, table, where)
        if section is None:
            continue
        for key in section.values:
            line = reading.faults.lines.line((*where, key))
            if (first := written.setdefault((section.scope, key), line)) != line:
                reading.faults.add_at(
                    line,
                    f"{key} in {section.source} has a temporary limit of the same scope already: line "
                    f"{first}. Keep one of them.",
                )
        found.append(section)
    return tuple(found)


def _section(reading: Reading, name: str, table: Mapping[str, Any], where: Path) -> TemporarySection | None:
    source = section_name("temporary", name)
    faults = reading.faults
    if not is_visible(name) or not trimmed(name):
        faults.add(where, f"{source} is no name; expected {VISIBLE}. Type it anew.")
        return None
    for key in REQUIRED:
        if key not in table:
            faults.add(where, f"{source} has no {key}; expected {_ABOUT[key]}. Add it.")
    scope = _scope(reading, source, table["scope"], (*where, "scope")) if "scope" in table else None
    until = as_date(reading, "until", source, table["until"], (*where, "until")) if "until" in table else None
    texts = {
        key: as_words(reading, key, source, table[key], (*where, key))
        for key in ("approved_by", "why")
        if key in table
    }
    limits = {key: value for key, value in table.items() if key not in REQUIRED}
    if not limits:
        faults.add(where, f"{source} sets no limit; expected at least one. Add it, or take the section out.")
    values = _values(reading, limits, scope, where, source)
    if scope is None or until is None or not all(map(texts.get, ("approved_by", "why"))):
        return None
    return TemporarySection(
        source=source,
        scope=scope,
        values=values,
        until=until,
        approved_by=str(texts["approved_by"]),
        why=str(texts["why"]),
    )


def _values(
    reading: Reading, limits: Mapping[str, Any], scope: Scope | None, where: Path, source: str
) -> dict[str, Any]:
    """Return the parsed limits; a misspelt key may also be one of those that every such section has."""
    for key in limits:
        if key not in reading.known and not isinstance(limits[key], dict):
            hint = did_you_mean(key, (*REQUIRED, *reading.known), otherwise=NO_LIMIT)
            reading.faults.add((*where, key), f"{shown_value(key)} in {source} is no limit. {hint}")
    known = {key: value for key, value in limits.items() if key in reading.known or isinstance(value, dict)}
    return {} if scope is None else reading.values(known, scope, where, source)


def _scope(reading: Reading, source: str, value: object, where: Path) -> Scope | None:
    parts = parts_of_scope(str(value)) if is_text(value) else None
    if parts is None:
        reading.faults.add(
            where,
            f"scope in {source} is {shown_value(value)}; expected {_SCOPES}. Write the name of the section "
            f"whose limit it replaces, without brackets.",
        )
        return None
    return reading.scope_of(parts, where) if len(parts) > 1 else Scope()


def as_date(reading: Reading, key: str, source: str, value: object, where: Path) -> date | None:
    """Return a date of TOML; anything else is a fault. ``source``: the section, "" for none."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    place = f"{key} in {source}" if source else key
    reading.faults.add(
        where,
        f"{place} is {shown_value(value)}; expected a date. Write it without quotes and time, as in "
        f"{key} = 2027-03-31.",
    )
    return None


def as_words(reading: Reading, key: str, source: str, value: object, where: Path) -> str | None:
    """Return text of one line that is not blank, trimmed; anything else is a fault."""
    words = trimmed(str(value)) if is_text(value) else ""
    if words and len(words) <= LONGEST_TEXT and is_visible(words):
        return words
    place = f"{key} in {source}" if source else key
    reading.faults.add(
        where,
        f"{place} is {shown_value(value)}; expected 1 to {LONGEST_TEXT} characters on one line, {VISIBLE}. "
        f"Write it in quotes.",
    )
    return None
