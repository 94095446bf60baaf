"""The tables of a page: captions with sources, columns with units, cells with what they sort by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobs.wording import number, timestamp

UNKNOWN = "unknown"
_DECIMALS = {"bp": 1, "USD": 2}


@dataclass(frozen=True)
class Cell:
    """A cell: ``sort`` is what it sorts by where that is not its text, ``share`` draws a bar (1: full).

    ``href``: a place in the page. ``tone``: bad, warn or good; the text says it, too.
    """

    text: str
    sort: float | None = None
    href: str = ""
    tone: str = ""
    share: float | None = None

    def packed(self) -> Any:
        """Return it as short JSON: its text, or a list of its parts without the last that are empty."""
        parts = [self.text, self.sort, self.href, self.tone, self.share]
        while len(parts) > 1 and parts[-1] in (None, ""):
            parts.pop()
        return parts[0] if len(parts) == 1 else parts


@dataclass(frozen=True)
class Column:
    """A column: its unit is shown in its heading; numbers are aligned to the right, sentences are wrapped."""

    name: str
    unit: str = ""
    is_number: bool = False
    is_prose: bool = False

    @property
    def style(self) -> str:
        """Return the class of its cells in the page."""
        return "n" if self.is_number else "p" if self.is_prose else ""


@dataclass
class Table:
    """A table: ``note`` says how its figures are computed, ``source`` which files they are from.

    ``empty``: what is shown instead of a table without rows.
    """

    key: str
    caption: str
    columns: Sequence[Column]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""
    source: str = ""
    empty: str = "None."


def text(name: str) -> Column:
    """Return a column of text."""
    return Column(name)


def prose(name: str) -> Column:
    """Return a column of sentences."""
    return Column(name, is_prose=True)


def figures(name: str, unit: str = "") -> Column:
    """Return a column of numbers with a unit, which is not repeated where the name says it."""
    return Column(name, "" if unit == name else unit, is_number=True)


def plain(value: object, *, tone: str = "", href: str = "") -> Cell:
    """Return a cell of text; empty where there is none."""
    return Cell("" if value is None else str(value), tone=tone, href=href)


def figure(value: float | None, unit: str = "", *, tone: str = "") -> Cell:
    """Return a cell with a number, rounded as its unit is; what is missing is unknown, never 0."""
    if value is None or math.isnan(value):
        return Cell(UNKNOWN, tone="unknown")
    if math.isinf(value):
        return Cell("no limit" if value > 0 else "-∞", sort=value if value < 0 else 1e300, tone=tone)
    decimals = _DECIMALS.get(unit)
    shown = number(value) if decimals is None else f"{value:,.{decimals}f}"
    return Cell("0" if shown.strip("-0.") == "" else shown, sort=float(value), tone=tone)


def at(value: Any) -> Cell:
    """Return a cell with a timestamp in UTC."""
    if not isinstance(value, datetime) or value != value:  # NaT differs from itself  # noqa: PLR0124
        return Cell(UNKNOWN, tone="unknown")
    return Cell(timestamp(value), sort=value.timestamp())
