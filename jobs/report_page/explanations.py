"""Every intent of a page in one table, and what ``explain`` says of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.record.run_folder import BATCH, DECISIONS, MANIFEST, RESULTS, RunFolder
from engine.stores.protocols import LedgerStore
from jobs.report_page.cells import Cell, Table, plain, prose, text
from jobs.story import Story, asked, became, origin, overridden, stories, verdicts
from jobs.wording import order, outcome, timestamp, why_refused

MOST_INTENTS = 10_000
"""Intents of a page, those that were not simply sent first; the others are for ``explain``."""

Key = tuple[str, int]
"""A run and a place in its batch."""


@dataclass
class Intents:
    """The intents of a page: ``table`` of all, ``refused`` those that a rule refused.

    ``told``: of each, what ``explain`` says, as titles (with ``#`` before them) and lines. ``number``: the
    number of each by run and place, ``by_id`` by run, account and id. ``left_out``: how many the page lacks.
    """

    table: Table
    refused: Table
    told: list[list[str]] = field(default_factory=list)
    number: dict[Key, int] = field(default_factory=dict)
    by_id: dict[tuple[str, str, str], int] = field(default_factory=dict)
    left_out: int = 0

    def href(self, run_id: str, account: str, intent_id: str) -> str:
        """Return the link to an intent's explanation, "" where the page has none."""
        found = self.by_id.get((run_id, account, intent_id))
        return "" if found is None else f"#i{found}"


def intents_of(runs: Sequence[RunFolder], ledger: LedgerStore) -> Intents:
    """Return the intents of runs, each with its story."""
    columns = [text(name) for name in ("intent", "run", "strategy", "account", "order", "decision")]
    columns.append(prose("outcome"))
    source = "intents.parquet, decisions.parquet, results.parquet"
    found = Intents(
        Table("intents", "Intents", columns, source=source, empty="No intent came in."),
        Table(
            "refused",
            "Refused intents, with the figures",
            [*(text(name) for name in ("intent", "rule", "strategy", "account", "order")), prose("why")],
            source=source,
            empty="No intent was refused.",
        ),
    )
    for run in runs:
        if BATCH not in run.names():
            continue
        places = _places(run)
        room = MOST_INTENTS - len(found.told)
        found.left_out += max(0, len(places) - room)
        for story in stories(run, sorted(places[:room]), ledger):
            _add(found, story)
    if found.left_out:
        found.table.note = (
            f"{found.left_out:,} more intents are not in this page, which has {MOST_INTENTS:,}, those that "
            f"were refused, unresolved or not sent first; `execution-engine explain` shows them."
        )
    return found


def _places(run: RunFolder) -> list[int]:
    """Return the places of a run's intents, those first that were not simply sent."""
    names = run.names()
    batched = run.table(BATCH, ["client_intent_id"]).num_rows
    if not names >= {DECISIONS, RESULTS}:
        return list(range(batched))
    status = run.table(RESULTS, ["status"])["status"].cast(pa.string())
    is_usual = pc.is_in(status, pa.array(["placed", "dry_run", "canceled"])).to_numpy()
    return [*np.flatnonzero(~is_usual).tolist(), *np.flatnonzero(is_usual).tolist()]


def _add(found: Intents, story: Story) -> None:
    row, run_id = story.row, story.folder.run_id
    number = len(found.told)
    intent_id, account = row["client_intent_id"], row["broker_account_id"]
    found.number[run_id, story.place] = number
    found.by_id[run_id, account, intent_id] = number
    link = plain(intent_id, href=f"#i{number}")
    decision, end = _decision_and_outcome(story)
    what = plain(order(row))
    found.table.rows.append(
        [link, plain(run_id), plain(row["strategy_id"]), plain(account), what, decision, end]
    )
    if story.is_decided and not row["allowed"]:
        why = plain(why_refused(row, story.context))
        found.refused.rows.append(
            [link, plain(row["reason"]), plain(row["strategy_id"]), plain(account), what, why]
        )
    found.told.append(list(_told(story)))


def _decision_and_outcome(story: Story) -> tuple[Cell, Cell]:
    row = story.row
    if not story.is_decided:
        return plain("not decided", tone="warn"), plain(story.state)
    decision = plain("allowed") if row["allowed"] else plain(row["reason"], tone="warn")
    if story.state:
        return decision, plain(story.state, tone="warn")
    if not row["allowed"]:
        return decision, plain("rejected; nothing was sent")
    tone = "bad" if row["status"] in {"unresolved", "broker_rejected", "halted", "expired"} else ""
    return decision, plain(outcome(row), tone=tone)


def _told(story: Story) -> Iterator[str]:
    """Yield what ``explain`` says of an intent."""
    yield f"#Intent {story.row['client_intent_id']}"
    yield asked(story)
    yield "#Where it came from"
    yield from origin(story)
    if story.is_decided:
        yield f"#What each rule found, as of {timestamp(story.context['as_of'])}"
        shown, off = verdicts(story)
        yield from (f"{answer} · {rule} · {sentence}" for answer, rule, sentence in shown)
        if off:
            yield f"{off} rules are off (`execution-engine limits show` lists them)."
        yield from overridden(story)
    yield "#What became of it"
    yield from became(story)


def packed(told: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return explanations as JSON values in which each different line is kept once."""
    numbers: dict[str, int] = {}
    intents = [[numbers.setdefault(line, len(numbers)) for line in lines] for lines in told]
    return {"lines": list(numbers), "intents": intents}


def is_finished(run: RunFolder) -> bool:
    """Return whether a run has its manifest."""
    return MANIFEST in run.names()
