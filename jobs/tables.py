"""Tables for people, on a terminal or in a log."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import click

_WIDTH_OFF_TERMINAL = 140
_NARROWEST = 30


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """Print a table; the columns named in ``right`` are numbers, the last one is wrapped to fit the line."""
    from tabulate import tabulate

    cells = [[str(cell) for cell in row] for row in rows]
    before = sum(max(len(line[i]) for line in [list(columns), *cells]) + 2 for i in range(len(columns) - 1))
    room = max(_NARROWEST, shutil.get_terminal_size((_WIDTH_OFF_TERMINAL, 24)).columns - before)
    say()
    say(title, bold=True)
    click.echo(
        tabulate(
            cells,
            headers=columns,
            tablefmt="simple",
            disable_numparse=True,
            colalign=["right" if column in right else "left" for column in columns] if cells else None,
            maxcolwidths=[*[None] * (len(columns) - 1), room],
        )
    )


def say(text: str = "", *, bold: bool = False, color: str | None = None) -> None:
    """Print a line; off a terminal styles are left out."""
    click.echo(click.style(text, bold=bold, fg=color) if bold or color else text)
