"""One intent's whole story as a run recorded it, in sentences: ``explain`` prints it, pages show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.record.run_folder import BATCH, COLLECTED, DECISIONS, MANIFEST, RunFolder
from engine.risk import RULE_BOOK
from engine.risk.config import FIRST_BOOK
from engine.stores.protocols import LedgerStore
from jobs import recorded
from jobs.order_later import Later
from jobs.order_life import Lives, state_of
from jobs.run_files import folder_path
from jobs.stops_and_overrides import why_overridden
from jobs.wording import order, outcome, quotes, timestamp, verdict, why_refused

_FIRST_BOOK = tuple(
    rule
    for rule in RULE_BOOK
    if (rule.limit is None and not rule.where_priced) or (rule.limit and rule.limit.key in FIRST_BOOK)
)
"""Rules that every explanation names, on or off."""


@dataclass(frozen=True)
class Story:
    """One intent in one run: ``row`` has its batch, decision and result columns, as far as they exist.

    ``place`` is its place in the batch, ``batched`` the number of intents there. ``state`` is its state in
    an unfinished run, "" in a finished one. ``life`` is what happened during the run, ``later`` after it.
    """

    folder: RunFolder
    place: int
    batched: int
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


def stories(folder: RunFolder, places: Sequence[int], ledger: LedgerStore) -> Iterator[Story]:
    """Yield the stories of the intents at some places of a run's batch."""
    names = folder.names()
    collected = folder.json(COLLECTED)
    files = {file["name"]: file for file in collected["files"]}
    batched = folder.table(BATCH, ["client_intent_id"]).num_rows
    context = recorded.context(folder) if DECISIONS in names else {}
    again: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in collected["duplicates"]:
        again.setdefault(_key(one), []).append(one)
    is_finished, is_live = MANIFEST in names, folder.start["mode"] == "live"
    lives = Lives(folder) if is_live else None
    later = Later(folder, ledger) if is_finished and is_live else None
    for place, row in zip(places, recorded.rows_so_far(folder, places), strict=True):
        yield Story(
            folder,
            place,
            batched,
            row,
            files[row["source_file"]],
            again.get(_key(row), []),
            context,
            state="" if is_finished else state_of(folder, row),
            life=lives.of(row) if lives is not None else [],
            later=later.of(row) if later is not None else [],
        )


def _key(one: Mapping[str, Any]) -> tuple[str, str]:
    return one["broker_account_id"], one["client_intent_id"]


def asked(story: Story) -> str:
    """Return who asked for what, as a sentence."""
    row = story.row
    return f"{row['strategy_id']} asked for {row['broker_account_id']}: {order(row)}, {row['time_in_force']}."


def origin(story: Story) -> list[str]:
    """Return where an intent came from: its row and file, and its place in the batch."""
    row, folder = story.row, story.folder
    root = getattr(folder.objects, "root", "")
    lines = [
        f"Row {row['source_row']} of {row['source_file']}, created {timestamp(row['created_at'])}.",
        f"The file is kept as {root}/archive/{folder.trading_date}/{story.file['kept_as']}.",
        f"Number {story.place + 1} of {story.batched} in run {folder.run_id}, session {folder.trading_date}.",
    ]
    again = (f"{one['file']}:{one['row']}" for one in story.duplicates)
    return [*lines, *(f"Dropped again and not taken twice: {place}." for place in again)]


def verdicts(story: Story) -> tuple[list[tuple[str, str, str]], int]:
    """Return answer, rule and sentence of each rule worth showing, and how many rules are off besides."""
    judged = [rule for rule in RULE_BOOK if f"check_{rule.name}" in story.row]
    shown = [rule for rule in judged if story.row[f"check_{rule.name}"] != "off" or rule in _FIRST_BOOK]
    found = [
        (story.row[f"check_{rule.name}"], rule.name, verdict(rule.name, story.row, story.context))
        for rule in shown
    ]
    return found, len(judged) - len(shown)


def overridden(story: Story) -> list[str]:
    """Return which overrides let an intent pass a rule that it fails, in words."""
    return why_overridden(story.row, story.context["overrides"]) if story.is_decided else []


def became(story: Story) -> list[str]:
    """Return what became of an intent: its decision, its order's life, and where the record is."""
    row = story.row
    if story.state:
        state = story.state
        lines = [f"The run is not finished; unless it is at work, the next run resumes it. So far {state}."]
    elif row["allowed"]:
        lines = [f"Allowed: {outcome(row)}."]
    else:
        lines = [
            f"Refused by {row['reason']}: {why_refused(row, story.context).rstrip('.')}.",
            "Result: rejected; nothing was sent.",
        ]
    return [*lines, *quotes(row), *story.life, *story.later, f"Record: {folder_path(story.folder)}"]
