"""``explain``: one intent's whole story, in sentences."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import click
import pyarrow.compute as pc

from engine.errors import UsageError
from engine.risk import RULE_BOOK
from engine.stores.objects import LocalObjects
from engine.stores.runs import BATCH, COLLECTED, MANIFEST, RunFolder, RunFolders
from jobs import recorded
from jobs.run import folder_path
from jobs.tables import say
from jobs.wording import moment, order, verdict, why_refused
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
    objects = LocalObjects(read_setup().data_dir)
    stories = [story for folder in RunFolders(objects).all() for story in _stories(folder, intent_id)]
    if not stories:
        raise UsageError(
            f"no finished run has an intent {intent_id!r}. `execution-engine status` shows the runs, whose "
            f"results.parquet has the ids; quarantined and duplicate rows are not among them."
        )
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
            [
                again
                for again in collected["duplicates"]
                if again["client_intent_id"] == row["client_intent_id"]
            ],
            context,
        )
        for place, row in zip(places, rows, strict=True)
    ]


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
        say(f"  Allowed. Result: {row['status']} ({row['message']}).")
    else:
        say(f"  Refused by {row['reason']}: {why_refused(row, story.context)}.")
        say("  Result: rejected; nothing was sent.")
    say(f"  Record: {folder_path(folder)}")


def _record(story: Story) -> dict[str, Any]:
    row = dict(story.row)
    checks = {rule.name: row.pop(f"check_{rule.name}") for rule in RULE_BOOK}
    sentences = {rule.name: verdict(rule.name, story.row, story.context) for rule in RULE_BOOK}
    return {"run_id": story.folder.run_id, **row, "checks": checks, "sentences": sentences}
