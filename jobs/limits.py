"""``limits``: check a limits file, show which limits apply, compare two files, print a new one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from engine.log import wall_clock
from engine.model.calendar import check_calendar, trading_date
from engine.risk.book import RULE_BOOK
from engine.risk.levels import LimitsFile
from engine.risk.limits_file.checks import check_dates
from engine.risk.limits_file.difference import LOOSER, Change, differences
from engine.risk.limits_file.template import template
from engine.risk.limits_of_book import (
    KEYS,
    check_rules,
    keys_of_variables,
    limits_of,
    off,
    read_limits_file,
)
from engine.settings.variables import read_setting
from jobs.tables import print_json, print_table, say
from jobs.wording import counted

NOT_APPROVED = 2
"""The exit code of a comparison that has a looser line and no name for it."""


def check(path: str, *, as_json: bool) -> int:
    """Check a file as a run of this session would; return the exit code.

    Raises ``ConfigurationError`` with every fault.
    """
    file = read_limits_file(path, named_by="FILE", may_be_pipe=True)
    check_rules(file, os.environ)
    warnings = check_dates(file, today())
    rules = off(file, keys_of_variables(os.environ))
    if as_json:
        print_json({"exit_code": 0, **_summary(file), "off": rules, "warnings": warnings})
        return 0
    sections = (*file.sections, *file.temporary)
    limits = sum(len(section.values) for section in sections)
    say(
        f"{path} can be used: {counted(limits, 'limit')} in {counted(len(sections), 'section')}, "
        f"{len(file.temporary)} of them temporary; owner {file.owner}, to be reviewed by {file.review_by}."
    )
    _say_off(rules)
    for warning in warnings:
        say(f"Warning: {warning}", color="yellow")
    return 0


def diff(before: str, after: str, *, approved_by: str | None, as_json: bool) -> int:
    """Print what differs between two files; return the exit code.

    ``NOT_APPROVED`` where a line is looser and ``approved_by`` is empty. Raises ``ConfigurationError``.
    """
    files = [
        read_limits_file(path, named_by=name, may_be_pipe=True)
        for name, path in (("A", before), ("B", after))
    ]
    changes = differences(files[0], files[1], KEYS, on=today())
    looser = sum(change.mark == LOOSER for change in changes)
    wants_approval = bool(looser) and not approved_by
    exit_code = NOT_APPROVED if wants_approval else 0
    if as_json:
        lines = [asdict(change) for change in changes]
        found = {
            "lines": lines,
            "looser": looser,
            "approved_by": approved_by,
            "wants_approval": wants_approval,
        }
        print_json({"exit_code": exit_code, **found})
        return exit_code
    _print_changes(changes)
    if wants_approval:
        say()
        say(
            f"{counted(looser, 'line')} {'lets' if looser == 1 else 'let'} orders through that were refused "
            f"before. Run again with --approved-by NAME, the name of the person who approves it.",
            err=True,
        )
    elif looser:
        say(f"Approved by {approved_by}.")
    return exit_code


def print_template(*, as_json: bool) -> int:
    """Print a limits file with every rule; return the exit code."""
    rules = {rule.name: limits_of(rule) for rule in RULE_BOOK}
    of_rules = {limit.key for limits in rules.values() for limit in limits}
    others = [limit for key, limit in KEYS.items() if key not in of_rules]
    text = template(rules, others, off=off(None), on=today())
    if as_json:
        print_json({"exit_code": 0, "template": text})
        return 0
    for line in text.splitlines():
        say(line)
    return 0


def today() -> date:
    """Return the session that a run of now would belong to."""
    calendar = read_setting("EXEC_CALENDAR", os.environ)
    check_calendar(calendar)
    return trading_date(wall_clock(), calendar)


def _summary(file: LimitsFile) -> Mapping[str, Any]:
    return {
        "file": file.path,
        "owner": file.owner,
        "review_by": file.review_by,
        "sections": [section.source for section in file.sections],
        "temporary": [
            {"section": section.source, "until": section.until, "approved_by": section.approved_by}
            for section in file.temporary
        ],
    }


def _say_off(rules: Sequence[str]) -> None:
    if rules:
        say(f"Off, since nothing sets them: {', '.join(rules)}.")


def _print_changes(changes: Sequence[Change]) -> None:
    if not changes:
        say("No limit differs.")
        return
    rows = [
        (
            change.mark,
            change.section,
            change.key,
            change.before or "-",
            change.after or "-",
            change.place.rstrip(":"),
        )
        for change in changes
    ]
    print_table("Differences", ("", "section", "key", "before", "after", "line"), rows)
