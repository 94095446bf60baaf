"""The intents of a strategy or a symbol in a session, one line each."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from engine.record.run_folder import MANIFEST, RunFolder
from jobs import recorded
from jobs.finding import Found
from jobs.order_life import state_of
from jobs.set_aside import aside_record, line_of
from jobs.tables import print_json, print_table, say
from jobs.wording import counted, order, outcome

_SHOWN = 50
_ID_SHOWN = 12
_OF_JSON = (
    "client_intent_id", "strategy_id", "broker_account_id", "symbol", "side", "qty", "notional",
    "source_file", "source_row",
)  # fmt: skip


def print_list(what: str, found: Found, *, as_json: bool) -> int:
    """Print the intents that were found, newest run first; return the exit code."""
    if as_json:
        matches = [_record(folder, row) for folder, row in _rows(found, at_most=None)]
        set_aside = [aside_record(aside) for aside in found.aside]
        print_json({"exit_code": 0, "stories": [], "matches": matches, "set_aside": set_aside})
        return 0
    session = (found.intents[0][0] if found.intents else found.aside[0].folder).trading_date
    rows = [
        (
            row["client_intent_id"][:_ID_SHOWN],
            f"{row['source_file']}:{row['source_row']}",
            row["strategy_id"],
            row["broker_account_id"],
            order(row),
            _became(folder, row),
        )
        for folder, row in _rows(found, at_most=_SHOWN)
    ]
    count = len(found.intents)
    first = f" (the first {_SHOWN})" if count > _SHOWN else ""
    title = f"{what} in session {session}: {counted(count, 'intent')}{first}, newest run first"
    if rows:
        print_table(title, ("intent", "row", "strategy", "account", "order", "what became of it"), rows)
    else:
        say()
        say(title, bold=True)
    if found.aside:
        say()
        say(f"In no batch: {len(found.aside)}", bold=True)
        for aside in found.aside[:_SHOWN]:
            say(f"  {line_of(aside)}")
    say("The whole story of one: execution-engine explain INTENT, or FILE:ROW as in file.csv:6")
    return 0


def _rows(found: Found, *, at_most: int | None) -> list[tuple[RunFolder, dict[str, Any]]]:
    return [
        (folder, row)
        for folder, group in groupby(found.intents[:at_most], key=lambda one: one[0])
        for row in recorded.rows_so_far(folder, [place for _, place in group])
    ]


def _became(folder: RunFolder, row: dict[str, Any]) -> str:
    if MANIFEST not in folder.names():
        return f"its run is not finished: {state_of(folder, row)}"
    return outcome(row) if row["allowed"] else f"refused: {row['reason']}"


def _record(folder: RunFolder, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "run_id": folder.run_id,
        **{name: row[name] for name in _OF_JSON},
        "status": row.get("status"),
        "reason": row.get("outcome_reason"),
        "what_became_of_it": _became(folder, row),
    }
