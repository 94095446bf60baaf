"""Kinds of options on the command line."""

from __future__ import annotations

import os
from typing import Any

import click

from engine.settings.paths import expanded, why_no_path


class Folder(click.Path):
    """A folder, with ``~`` expanded (no shell does in ``--out=~/x``), and refused as a setting's path is."""

    name = "directory"

    def __init__(self, *, exists: bool = False) -> None:
        super().__init__(exists=exists, file_okay=False)

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Return the folder's path. Raises ``click.BadParameter``."""
        text = os.fspath(value)
        why = why_no_path(text)
        if why:
            self.fail(f"{text!r}: {why}", param, ctx)
        return super().convert(expanded(text), param, ctx)
