"""``explain``: one intent's whole story, in sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
import pyarrow.compute as pc

from engine.errors import UsageError
from engine.risk import RULE_BOOK
from engine.stores.objects import LocalObjects
from engine.stores.runs import BATCH, COLLECTED, MANIFEST, RunFolder, RunFolders
from jobs import recorded
from jobs.order_life import life_of
from jobs.run import folder_path
from jobs.tables import say
from jobs.wording import moment, order, outcome, verdict, why_refused
from jobs.world import read_setup

_SHORTEST = 4


@dataclass(frozen=True)
class Story:
    """One intent in one run: ``row`` has its batch, decision and result columns."""

    folder: RunFolder
    place: int
    row: dict[str, Any]
    file: dict[str, Any]
    duplicates: list[dict[str, Any]]
    context: dict[str, Any]


def explain(intent_id: str, *, as_json: bool) -> int:
    """Print the story of an intent, of its latest run first; gives the exit code.

    Raises ``UsageError`` where no run, or more than one intent, answers to the id.
    """
    folders = RunFolders(LocalObjects(read_setup().data_dir)).all()
    stories = [story for folder in folders for story in _stories(folder, intent_id)]
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
        click.echo(
            json.dumps({"exit_code": 0, "stories": [_record(s) for s in reversed(stories)]}, default=str)
        )
        return 0
    for story in reversed(stories):
        _print(story)
    return 0


def _stories(folder: RunFolder, intent_id: str) -> list[Story]:
    if MANIFEST not in folder.names():
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
    context = recorded.context(folder)
    rows = recorded.rows(folder, places)
    return [
        Story(
            folder,
            place,
            row,
            files[row["source_file"]],
            [again for again in collected["duplicates"] if _same_intent(again, row)],
            context,
        )
        for place, row in zip(places, rows, strict=True)
    ]


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
        click.echo(json.dumps({"exit_code": 0, "stories": [], "set_aside": aside}))
        return 0
    for told in aside:
        say(f"Run {told['run_id']}: {told['what']}: {told['message']}")
    return 0


def _set_aside(folder: RunFolder, intent_id: str) -> list[dict[str, str]]:
    names = folder.names()
    if not {COLLECTED, BATCH} <= names:
        return []
    collected = folder.json(COLLECTED)
    refused = [row for row in collected["refused"] if str(row["raw"].get("client_intent_id")) == intent_id]
    again = [row for row in collected["duplicates"] if row["client_intent_id"] == intent_id]
    told = [("quarantined", row["message"]) for row in refused]
    told += [("duplicate", row["message"]) for row in again]
    if MANIFEST not in names:
        ids = folder.table(BATCH, ["client_intent_id"])["client_intent_id"].to_pylist()
        told += [("not decided yet", "the next run goes on with it")] * ids.count(intent_id)
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
    batched = folder.json(MANIFEST)["rows"]["batched"]
    told = f"Number {story.place + 1} of {batched} in run {folder.run_id}"
    say(f"  {told}, session {folder.trading_date}.")
    for again in story.duplicates:
        say(f"  Said again and not taken twice: {again['file']}:{again['row']}.")
    say()
    say(f"What the gate found, as of {moment(story.context['as_of'])}", bold=True)
    width = max(len(rule.name) for rule in RULE_BOOK)
    for rule in RULE_BOOK:
        answer = row[f"check_{rule.name}"]
        color = {"fail": "red", "unavailable": "yellow"}.get(answer)
        say(f"  {answer:<11} {rule.name:<{width}}  {verdict(rule.name, row, story.context)}", color=color)
    say()
    say("What became of it", bold=True)
    if row["allowed"]:
        say(f"  Allowed: {outcome(row)}.")
        for line in life_of(folder, row):
            say(f"  {line}")
    else:
        say(f"  Refused by {row['reason']}: {why_refused(row, story.context).rstrip('.')}.")
        say("  Result: rejected; nothing was sent.")
    say(f"  Record: {folder_path(folder)}")


def _record(story: Story) -> dict[str, Any]:
    row = dict(story.row)
    checks = {rule.name: row.pop(f"check_{rule.name}") for rule in RULE_BOOK}
    sentences = {rule.name: verdict(rule.name, story.row, story.context) for rule in RULE_BOOK}
    life = life_of(story.folder, story.row)
    return {"run_id": story.folder.run_id, **row, "checks": checks, "sentences": sentences, "life": life}
