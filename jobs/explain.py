"""``explain``: one intent's whole story, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import UsageError
from engine.risk import RULE_BOOK
from engine.stores.objects import LocalObjects
from engine.stores.protocols import LedgerStore
from engine.stores.runs import (
    BATCH,
    COLLECTED,
    DECISIONS,
    MANIFEST,
    RESULTS,
    RunFolder,
    RunFolders,
)
from jobs import recorded
from jobs.order_later import later_of
from jobs.order_life import life_of, state_of
from jobs.run import folder_path
from jobs.tables import print_json, say
from jobs.wording import moment, order, outcome, verdict, why_refused
from jobs.world import read_setup

_SHORTEST = 4


@dataclass(frozen=True)
class Story:
    """One intent in one run: ``row`` has its batch, decision and result columns, as far as there are any.

    ``state`` says how it stands where the run is not over, and is "" where it is. ``life`` is what happened,
    and ``later`` what became of it after the end of its run.
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
        """Tell whether the gate has judged it."""
        return "allowed" in self.row


def explain(intent_id: str, *, as_json: bool) -> int:
    """Print the story of an intent, of its latest run first, finished or not; gives the exit code.

    Raises ``UsageError`` where no run, or more than one intent, answers to the id.
    """
    setup = read_setup()
    folders = RunFolders(LocalObjects(setup.data_dir)).all()
    stories = [story for folder in folders for story in _stories(folder, intent_id, setup.stores.ledger)]
    if not stories:
        return _explain_set_aside(intent_id, folders, as_json=as_json)
    exact = [story for story in stories if story.row["client_intent_id"] == intent_id]
    stories = exact or stories  # an id may be the beginning of another run's ids
    ids = sorted({story.row["client_intent_id"] for story in stories})
    if len(ids) > 1:
        raise UsageError(
            f"{intent_id!r} is the beginning of {len(ids)} ids: {', '.join(ids[:5])} … Write more of it."
        )
    if as_json:
        print_json({"exit_code": 0, "stories": [_record(s) for s in reversed(stories)]})
        return 0
    for story in reversed(stories):
        _print(story)
    return 0


def _stories(folder: RunFolder, intent_id: str, ledger: LedgerStore) -> list[Story]:
    names = folder.names()
    if not {COLLECTED, BATCH} <= names:
        return []
    ids = folder.table(BATCH, ["client_intent_id"])["client_intent_id"]
    found = pc.equal(ids, intent_id)
    if not pc.any(found).as_py() and len(intent_id) >= _SHORTEST:
        found = pc.starts_with(ids, intent_id)
    places = [place for place, is_it in enumerate(found.to_pylist()) if is_it]
    if not places:
        return []
    collected = folder.json(COLLECTED)
    files = {file["name"]: file for file in collected["files"]}
    is_over, is_live = MANIFEST in names, folder.start["mode"] == "live"
    return [
        Story(
            folder,
            place,
            row,
            files[row["source_file"]],
            [again for again in collected["duplicates"] if _same_intent(again, row)],
            recorded.context(folder) if DECISIONS in names else {},
            state="" if is_over else state_of(folder, row),
            life=life_of(folder, row) if is_live else [],
            later=later_of(folder, row, ledger) if is_over and is_live else [],
        )
        for place, row in zip(places, _rows(folder, names, places), strict=True)
    ]


def _rows(folder: RunFolder, names: set[str], places: list[int]) -> list[dict[str, Any]]:
    """Give intents as far as their run has come with them."""
    if names >= {RESULTS, DECISIONS}:
        return recorded.rows(folder, places)
    wanted = pa.array(places, type=pa.int64())
    parts = [folder.table(name).take(wanted).to_pylist() for name in (BATCH, DECISIONS) if name in names]
    return [{name: value for part in row for name, value in part.items()} for row in zip(*parts, strict=True)]


def _same_intent(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("broker_account_id", "client_intent_id"))


def _explain_set_aside(intent_id: str, folders: list[RunFolder], *, as_json: bool) -> int:
    """Tell what became of an id that no finished run decided on. Raises ``UsageError`` where none has it."""
    aside = [told for folder in folders for told in _set_aside(folder, intent_id)]
    if not aside:
        raise UsageError(
            f"no run has an intent {intent_id!r} (the first {_SHORTEST} characters of an id will do). "
            f"`execution-engine status` shows the runs; their ids are in results.parquet, what is "
            f"wrong with rows that have none is below quarantine/."
        )
    if as_json:
        print_json({"exit_code": 0, "stories": [], "set_aside": aside})
        return 0
    for told in aside:
        say(f"Run {told['run_id']}: {told['what']}: {told['message']}")
    return 0


def _set_aside(folder: RunFolder, intent_id: str) -> list[dict[str, str]]:
    if not {COLLECTED, BATCH} <= folder.names():
        return []
    collected = folder.json(COLLECTED)
    refused = [row for row in collected["refused"] if str(row["raw"].get("client_intent_id")) == intent_id]
    again = [row for row in collected["duplicates"] if row["client_intent_id"] == intent_id]
    told = [("quarantined", row["message"]) for row in refused]
    told += [("duplicate", row["message"]) for row in again]
    return [{"run_id": folder.run_id, "what": what, "message": message} for what, message in told]


def _print(story: Story) -> None:
    row, folder = story.row, story.folder
    root = getattr(folder.objects, "root", "")
    say()
    say(f"Intent {row['client_intent_id']}", bold=True)
    say(f"{row['strategy_id']} asked for {row['broker_account_id']}: {order(row)}, {row['time_in_force']}.")
    say()
    say("Where it came from", bold=True)
    say(f"  Row {row['source_row']} of {row['source_file']}, created {moment(row['created_at'])}.")
    say(f"  The file is kept as {root}/archive/{folder.trading_date}/{story.file['kept_as']}.")
    batched = len(folder.table(BATCH, ["client_intent_id"]))
    told = f"Number {story.place + 1} of {batched} in run {folder.run_id}"
    say(f"  {told}, session {folder.trading_date}.")
    for again in story.duplicates:
        say(f"  Said again and not taken twice: {again['file']}:{again['row']}.")
    if story.is_decided:
        _print_verdicts(story)
    say()
    say("What became of it", bold=True)
    if story.state:
        say(f"  The run is not over; if none is at work, the next one goes on. So far {story.state}.")
    elif row["allowed"]:
        say(f"  Allowed: {outcome(row)}.")
    else:
        say(f"  Refused by {row['reason']}: {why_refused(row, story.context).rstrip('.')}.")
        say("  Result: rejected; nothing was sent.")
    for line in story.life:
        say(f"  {line}")
    for line in story.later:
        say(f"  {line}")
    say(f"  Record: {folder_path(folder)}")


def _print_verdicts(story: Story) -> None:
    say()
    say(f"What the gate found, as of {moment(story.context['as_of'])}", bold=True)
    width = max(len(rule.name) for rule in RULE_BOOK)
    for rule in RULE_BOOK:
        answer = story.row[f"check_{rule.name}"]
        color = {"fail": "red", "unavailable": "yellow"}.get(answer)
        said = verdict(rule.name, story.row, story.context)
        say(f"  {answer:<11} {rule.name:<{width}}  {said}", color=color)


def _record(story: Story) -> dict[str, Any]:
    row = dict(story.row)
    checks, sentences = {}, {}
    for rule in RULE_BOOK if story.is_decided else ():
        checks[rule.name] = row.pop(f"check_{rule.name}")
        sentences[rule.name] = verdict(rule.name, story.row, story.context)
    return {
        "run_id": story.folder.run_id,
        **row,
        "checks": checks,
        "sentences": sentences,
        "state": story.state,
        "life": story.life,
        "later": story.later,
    }
