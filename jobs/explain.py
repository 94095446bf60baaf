"""``explain``: one intent's whole story, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from engine.errors import UsageError
from engine.log import wall_clock
from engine.model.calendar import trading_date
from engine.model.schema import FILE_ENDINGS
from engine.model.symbols import canonical_symbol
from engine.record.run_folder import (
    BATCH,
    COLLECTED,
    DECISIONS,
    MANIFEST,
    RunFolder,
    RunFolders,
)
from engine.risk import RULE_BOOK
from engine.risk.config import FIRST_BOOK
from engine.stores.protocols import LedgerStore
from jobs import recorded
from jobs.finding import SHORTEST, find, is_named
from jobs.listing import print_list
from jobs.order_later import later_of
from jobs.order_life import life_of, state_of
from jobs.run_files import folder_path
from jobs.sessions import session_named
from jobs.set_aside import aside_record, print_aside
from jobs.setup import Setup, read_setup
from jobs.stops_and_overrides import why_overridden
from jobs.tables import print_json, say
from jobs.wording import order, outcome, quotes, timestamp, verdict, why_refused

_CANDIDATES_SHOWN = 20
_FIRST_BOOK = tuple(
    rule
    for rule in RULE_BOOK
    if (rule.limit is None and not rule.where_priced) or (rule.limit and rule.limit.key in FIRST_BOOK)
)
"""Rules that every explanation names, on or off."""


@dataclass(frozen=True)
class Story:
    """One intent in one run: ``row`` has its batch, decision and result columns, as far as they exist.

    ``state`` is its state in an unfinished run, "" in a finished one. ``life`` is what happened during the
    run, ``later`` after it.
    """

    folder: RunFolder
    place: int
    row: dict[str, Any]
    file: dict[str, Any]
    duplicates: list[dict[str, Any]]
    context: dict[str, Any]
    state: str
    life: list[str]
    later: list[str]

    @property
    def is_decided(self) -> bool:
        """Return whether the intent is decided."""
        return "allowed" in self.row


def explain(what: str, *, day: str | None, as_json: bool) -> int:
    """Print the story of an id, or of a row of a file; list the intents of a strategy or a symbol.

    Returns the exit code. Raises ``UsageError`` where no run has it, or several ids begin with it.
    """
    setup = read_setup()
    only = None if day is None else session_named(day)
    newest = trading_date(wall_clock(), setup.settings.calendar)
    found = find(what, RunFolders(setup.objects), newest=newest, symbol=canonical_symbol(what), only=only)
    if not found:
        raise _unknown(what, found.missed, setup, only)
    if found.is_list:
        return print_list(what, found, as_json=as_json)
    stories = [
        story
        for folder, group in groupby(found.intents, key=lambda one: one[0])
        for story in _stories(folder, [place for _, place in group], setup.stores.ledger)
    ]
    ids = sorted({story.row["client_intent_id"] for story in stories})
    if len(ids) > 1 and all(one.startswith(what) for one in ids):
        more = "" if len(ids) <= _CANDIDATES_SHOWN else " …"
        raise UsageError(
            f"{what!r} is the beginning of {len(ids)} ids: {', '.join(ids[:_CANDIDATES_SHOWN])}{more}. "
            f"Write more characters."
        )
    if as_json:
        records = [_record(story) for story in stories]
        print_json({"exit_code": 0, "stories": records, "set_aside": [aside_record(a) for a in found.aside]})
        return 0
    for story in stories:
        _print(story)
    for aside in found.aside:
        print_aside(aside)
    return 0


def _unknown(what: str, missed: str, setup: Setup, only: date | None) -> UsageError:
    file_name = what if what.lower().removesuffix(".gz").endswith(FILE_ENDINGS) else what.rpartition(":")[0]
    waiting = [file.name for file in setup.inbox.find().files if is_named(file_name, file.name)]
    if waiting:
        return UsageError(f"{waiting[0]} still waits in the inbox: no run has collected it yet.")
    if missed:
        return UsageError(f"{what!r}: {missed}.")
    if file_name == what:
        return UsageError(f"{what!r} is a file's name; name one of its rows, too, as in {what}:6.")
    where = "no run" if only is None else f"no run of session {only}"
    return UsageError(
        f"{where} has an intent {what!r} (the first {SHORTEST} characters of an id are enough), nor a row of "
        f"a file (momentum.csv:6), a strategy or a symbol of that name. `execution-engine status` shows the "
        f"runs; ids are in their results.parquet, and refused rows below quarantine/."
    )


def _stories(folder: RunFolder, places: list[int], ledger: LedgerStore) -> list[Story]:
    names = folder.names()
    collected = folder.json(COLLECTED)
    files = {file["name"]: file for file in collected["files"]}
    is_finished, is_live = MANIFEST in names, folder.start["mode"] == "live"
    return [
        Story(
            folder,
            place,
            row,
            files[row["source_file"]],
            [again for again in collected["duplicates"] if _same_intent(again, row)],
            recorded.context(folder) if DECISIONS in names else {},
            state="" if is_finished else state_of(folder, row),
            life=life_of(folder, row) if is_live else [],
            later=later_of(folder, row, ledger) if is_finished and is_live else [],
        )
        for place, row in zip(places, recorded.rows_so_far(folder, places), strict=True)
    ]


def _same_intent(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("broker_account_id", "client_intent_id"))


def _print(story: Story) -> None:
    row, folder = story.row, story.folder
    root = getattr(folder.objects, "root", "")
    say()
    say(f"Intent {row['client_intent_id']}", bold=True)
    say(f"{row['strategy_id']} asked for {row['broker_account_id']}: {order(row)}, {row['time_in_force']}.")
    say()
    say("Where it came from", bold=True)
    say(f"  Row {row['source_row']} of {row['source_file']}, created {timestamp(row['created_at'])}.")
    say(f"  The file is kept as {root}/archive/{folder.trading_date}/{story.file['kept_as']}.")
    batched = len(folder.table(BATCH, ["client_intent_id"]))
    position = f"Number {story.place + 1} of {batched} in run {folder.run_id}"
    say(f"  {position}, session {folder.trading_date}.")
    for again in story.duplicates:
        say(f"  Dropped again and not taken twice: {again['file']}:{again['row']}.")
    if story.is_decided:
        _print_verdicts(story)
    say()
    say("What became of it", bold=True)
    if story.state:
        say(
            f"  The run is not finished; unless it is at work, the next run resumes it. So far {story.state}."
        )
    elif row["allowed"]:
        say(f"  Allowed: {outcome(row)}.")
    else:
        say(f"  Refused by {row['reason']}: {why_refused(row, story.context).rstrip('.')}.")
        say("  Result: rejected; nothing was sent.")
    for line in (*quotes(row), *story.life):
        say(f"  {line}")
    for line in story.later:
        say(f"  {line}")
    say(f"  Record: {folder_path(folder)}")


def _print_verdicts(story: Story) -> None:
    say()
    say(f"What each rule found, as of {timestamp(story.context['as_of'])}", bold=True)
    judged = [rule for rule in RULE_BOOK if f"check_{rule.name}" in story.row]
    shown = [rule for rule in judged if story.row[f"check_{rule.name}"] != "off" or rule in _FIRST_BOOK]
    width = max(len(rule.name) for rule in shown)
    for rule in shown:
        answer = story.row[f"check_{rule.name}"]
        color = {"fail": "red", "unavailable": "yellow"}.get(answer)
        sentence = verdict(rule.name, story.row, story.context)
        say(f"  {answer:<11} {rule.name:<{width}}  {sentence}", color=color)
    if len(judged) > len(shown):
        say(f"  {len(judged) - len(shown)} rules are off (`execution-engine limits show` lists them).")
    for text in why_overridden(story.row, story.context["overrides"]):
        say(f"  {text}", color="red")


def _record(story: Story) -> dict[str, Any]:
    row = dict(story.row)
    checks, sentences = {}, {}
    for rule in RULE_BOOK if story.is_decided else ():
        if f"check_{rule.name}" not in row:  # recorded by a version before it
            continue
        checks[rule.name] = row.pop(f"check_{rule.name}")
        sentences[rule.name] = verdict(rule.name, story.row, story.context)
    return {
        "run_id": story.folder.run_id,
        **row,
        "checks": checks,
        "sentences": sentences,
        "overridden_by": why_overridden(story.row, story.context["overrides"]) if story.is_decided else [],
        "state": story.state,
        "life": story.life,
        "later": story.later,
    }
