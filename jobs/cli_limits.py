"""The commands ``limits``."""

from __future__ import annotations

import sys

import click

from engine.text.plain_text import trimmed
from jobs.cli_books import JSON


@click.group()
def limits() -> None:
    """The limits file (EXEC_LIMITS_FILE, TOML): check it, show what applies, compare two, print a new one."""


@limits.command("check")
@click.argument("file", type=click.Path())
@JSON
def check_limits(file: str, *, as_json: bool) -> None:
    """Check FILE as a run of today would; exits with 2 where it can't be used, naming every fault."""
    from jobs.limits import check

    sys.exit(check(file, as_json=as_json))


@limits.command("show")
@click.option("--account", type=trimmed, metavar="TEXT", help="Only limits that hold for this account.")
@click.option("--strategy", type=trimmed, metavar="TEXT", help="Only limits that hold for this strategy.")
@click.option("--symbol", type=trimmed, metavar="TEXT", help="Only limits that hold for this symbol.")
@JSON
def show_limits(*, account: str | None, strategy: str | None, symbol: str | None, as_json: bool) -> None:
    """Show which limits apply and where each is set, temporary ones, and the rules that are off."""
    from jobs.limits_in_force import show

    sys.exit(show(account=account, strategy=strategy, symbol=symbol, as_json=as_json))


@limits.command("diff")
@click.argument("before", metavar="A", type=click.Path())
@click.argument("after", metavar="B", type=click.Path())
@click.option("--approved-by", type=trimmed, metavar="NAME", help="Who approves the lines that are LOOSER.")
@JSON
def diff_limits(before: str, after: str, *, approved_by: str | None, as_json: bool) -> None:
    """Compare the limits files A and B, each line marked LOOSER, TIGHTER or CHANGED.

    LOOSER lets some order through that was refused before; such a line wants --approved-by, without which
    the exit code is 2. CHANGED is neither.
    """
    from jobs.limits import diff

    sys.exit(diff(before, after, approved_by=approved_by, as_json=as_json))


@limits.command("template")
@JSON
def template_of_limits(*, as_json: bool) -> None:
    """Print a limits file with every rule, commented; it passes `limits check` as it is."""
    from jobs.limits import print_template

    sys.exit(print_template(as_json=as_json))
