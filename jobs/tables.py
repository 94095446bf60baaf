"""All that commands print: lines and tables for people, JSON for machines.

Nothing else in this package writes to a terminal. Text of others (file names, ids, replies) is escaped here
and nowhere else, so that it can do no harm there. Secrets of the environment are masked.
"""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import click

from engine.settings.secrets import hider
from engine.text.printable import printable, printable_json

_WIDTH_OFF_TERMINAL = 140
_NARROWEST = 30
_HEADER_PADDING, _GAP = 2, 2  # as in tabulate's layout


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """Print a table; columns in ``right`` are right-aligned, the last column is wrapped to fit the line."""
    from tabulate import tabulate

    hide = hider(os.environ)
    cells = [[printable(hide(str(cell))) for cell in row] for row in rows]
    named = [len(column) + _HEADER_PADDING for column in columns]
    widths = [max([width, *(len(row[i]) for row in cells)]) for i, width in enumerate(named)]
    line = shutil.get_terminal_size((_WIDTH_OFF_TERMINAL, 24)).columns
    room = line - sum(widths[:-1]) - _GAP * (len(columns) - 1)
    say()
    say(title, bold=True)
    wraps = columns[-1] not in right
    if wraps and room < min(_NARROWEST, widths[-1]):
        for row in cells:
            say("  ".join(row[:-1]))
            for part in textwrap.wrap(row[-1], line - 4, initial_indent="    ", subsequent_indent="    "):
                say(part)
        return
    click.echo(
        tabulate(
            cells,
            headers=columns,
            tablefmt="simple",
            disable_numparse=True,
            colalign=["right" if column in right else "left" for column in columns] if cells else None,
            maxcolwidths=[*[None] * (len(columns) - 1), room if wraps else None],
        )
    )


def say(text: str = "", *, bold: bool = False, color: str | None = None, err: bool = False) -> None:
    """Print a line, to stderr where ``err``; styles only on a terminal."""
    line = printable(hider(os.environ)(text))
    click.echo(click.style(line, bold=bold or None, fg=color) if bold or color else line, err=err)


def print_list(title: str, messages: Sequence[str], *, at_most: int, more: str = "") -> None:
    """Print messages below a title with their count; ``more`` says where the rest beyond ``at_most`` is."""
    if not messages:
        return
    say()
    say(f"{title}: {len(messages)}", bold=True)
    for message in messages[:at_most]:
        say(f"  {message}")
    if len(messages) > at_most:
        say(f"  … and {len(messages) - at_most} more{more}")


def print_json(record: Mapping[str, Any]) -> None:
    """Print one JSON object on one line."""
    click.echo(hider(os.environ)(printable_json(json.dumps(record, default=str))))
