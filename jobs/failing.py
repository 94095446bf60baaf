"""How a command that can't do its work ends: said once, in the log or to a person, and with an exit code."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from jobs.alarms import Alarm

SCHEDULED = ("run", "collect", "sync")
"""The commands that a scheduler starts, whose failures are alarms."""


def refuse(error: click.ClickException, *, wants_json: bool) -> NoReturn:
    """Print what is wrong with the command line, and how to get help."""
    from jobs.tables import print_json, say

    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not wants_json:
        for line in error.format_message().split("\n"):
            say(line, err=True)
        sys.exit(error.exit_code)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        for line in (
            *error.ctx.get_usage().split("\n"),
            f"Try '{error.ctx.command_path} --help' for help.",
            "",
        ):
            say(line, err=True)
    say(f"Error: {error.format_message()}", err=True)
    if wants_json:
        print_json({"error": error.format_message(), "exit_code": error.exit_code})
    sys.exit(error.exit_code)


def fail(
    *lines: str, exit_code: int, wants_json: bool, event: str = "run_failed", **fields: object
) -> NoReturn:
    """Report a failure in the log or to a person, as JSON where that was asked for, and as an alarm."""
    from jobs.tables import print_json, say

    message = "\n".join(lines)
    alarm = alarm_of(message, exit_code)
    if sys.stderr.isatty() or sys.argv[1:2] not in (["run"], ["collect"]):
        first, *others = lines
        say(f"error: {first}", err=True)
        for line in others:
            say(line, err=True)
    else:
        from engine.log import EventLog

        EventLog().event(event, message, severity="ALERT", exit_code=exit_code, **fields)
    if wants_json:
        print_json({"error": message, "exit_code": exit_code, **fields})
    if alarm is not None:
        from jobs.alarms import send_alarm

        send_alarm(alarm)
    sys.exit(exit_code)


def alarm_of(message: str, exit_code: int) -> Alarm | None:
    """Return the alarm of a scheduled command that failed; None for a command that was typed."""
    command = next(iter(sys.argv[1:2]), "")
    if command not in SCHEDULED:
        return None
    from jobs.alarms import Alarm, kind_of

    data_dir = Path(os.environ.get("EXEC_DATA_DIR") or "data")
    return Alarm(kind_of(exit_code), command, message, exit_code, data_dir)
