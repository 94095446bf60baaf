"""What came in and what became of it: conservation, limits, refusals, quarantine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isnan
from typing import Any

from engine.record.run_folder import COLLECTED, UTILISATION, RunFolder
from engine.run.blotter import SESSION
from jobs.day import in_words
from jobs.report_page.cells import Cell, Table, figure, figures, plain, prose, text
from jobs.report_page.explanations import Intents
from jobs.report_page.record import MODES, Record
from jobs.wording import number

_SUMMED = ("dropped", "batched", "quarantined", "duplicate")
_OF_A_CELL = ("rule", "level", "broker_account_id", "strategy_id", "symbol", "side")


def outcomes_table(record: Record) -> Table:
    """Return what became of all dropped rows, by outcome."""
    columns = [text("session"), text("runs"), text("rows that are"), figures("rows")]
    table = Table("outcomes", "What became of the rows", columns, source="collected.json, results.parquet")
    table.empty = "No row was dropped."
    for session, mode, day in record.days:
        for outcome, count in day.rows.itertuples(index=False):
            table.rows.append([plain(session), plain(MODES[mode]), plain(in_words(outcome)), figure(count)])
        own = day.identities
        (dropped,) = own.loc[own["run_id"] == SESSION, "left"]
        everything = plain("all that were dropped", tone="strong")
        table.rows.append([plain(session), plain(MODES[mode]), everything, figure(dropped)])
    return table


def identities_table(record: Record) -> Table:
    """Return every identity of every run with its two sides; those that do not hold come first."""
    columns = [text("run"), text("identity"), figures("left"), figures("right"), text("holds")]
    table = Table("identities", "Identities", columns, source="manifest.json")
    table.note = "Quantities are in units of 1e-9 shares, all others are counts of rows or intents."
    rows = [
        (run_id if run_id != SESSION else f"session {session}", name, left, right, holds)
        for session, _, day in record.days
        for run_id, name, left, right, holds in day.identities.itertuples(index=False)
    ]
    for run_id, name, left, right, holds in sorted(rows, key=lambda row: bool(row[4])):
        verdict = plain("holds") if holds else plain("DOES NOT HOLD", tone="bad")
        table.rows.append([plain(run_id), plain(name), figure(left), figure(right), verdict])
    return table


def files_table(record: Record) -> Table:
    """Return the files that came in, with their counts."""
    table = Table(
        "files",
        "Files that came in",
        [text("file"), text("run"), *(figures(name, "rows") for name in ("rows", *_SUMMED[1:]))],
        source="collected.json",
        empty="Nothing came in: the inbox held no file that was ready.",
    )
    for run, collected in _collected(record):
        for file in collected["files"]:
            counts = [figure(file[name]) for name in ("rows", *_SUMMED[1:])]
            table.rows.append([plain(file["name"]), plain(run.run_id), *counts])
    return table


def _collected(record: Record) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
    return ((run, run.json(COLLECTED)) for run in record.chosen.runs if COLLECTED in run.names())


def limits_table(record: Record) -> Table:
    """Return how much of each limit was used: of each cell the run that used most, the most used first."""
    columns = [
        *(text(name) for name in ("rule", "of")),
        figures("utilisation", "of the limit"),
        *(figures(name) for name in ("used", "limit", "nearest miss")),
        text("unit"),
        figures("refused", "orders"),
        text("last fired"),
        text("set by"),
        text("run"),
    ]
    table = Table("limits", "Limits", columns, source="utilisation.parquet")
    table.empty = "No limit was measured: nothing was decided on, or the runs are of a version before."
    table.note = (
        "Used: after the allowed orders, of the run that used most. Nearest miss: what the allowed orders "
        "left of the limit. Last fired: the session in which the limit last refused an order."
    )
    most: dict[tuple[str, ...], tuple[float, dict[str, Any], str]] = {}
    for run in record.finished:
        if UTILISATION not in run.names():
            continue
        for row in run.table(UTILISATION).to_pylist():
            cell = tuple(str(row[name]) for name in _OF_A_CELL)
            share = -1.0 if row["utilisation"] is None else row["utilisation"]
            if cell not in most or share >= most[cell][0]:
                most[cell] = (share, row, run.run_id)
    for _, row, run_id in sorted(most.values(), key=lambda one: -one[0]):
        table.rows.append(_limit_cells(row, run_id))
    return table


def _limit_cells(row: dict[str, Any], run_id: str) -> list[Cell]:
    about = " ".join(row[name] for name in _OF_A_CELL[2:] if row[name]) or "all orders"
    share = row["utilisation"]
    if share is None or isnan(share):
        bar = Cell("unknown", tone="unknown")
    elif share > 1e6:
        bar = Cell("over", sort=1e9, tone="bad", share=1.0)
    else:
        tone = "bad" if share >= 1 else "warn" if share >= 0.8 else ""
        bar = Cell(f"{share:.0%}", sort=round(share, 6), tone=tone, share=round(max(0.0, min(share, 1.0)), 4))
    numbers = [_amount(row[name]) for name in ("used", "limit", "nearest_miss")]
    fired = row.get("last_fired") or "not in the last runs"
    return [
        plain(row["rule"]),
        plain(about),
        bar,
        *numbers,
        plain(row["unit"]),
        figure(row["refused"]),
        plain(fired),
        plain(row["level"]),
        plain(run_id),
    ]


def _amount(value: float | None) -> Cell:
    if value is None or isnan(value):
        return Cell("unknown", tone="unknown")
    return Cell(number(value), sort=float(value))


def refusals_table(record: Record) -> Table:
    """Return the refusals by rule and strategy, each linked to its intents."""
    columns = [
        text("rule"),
        text("strategy"),
        text("account"),
        text("session"),
        figures("refused", "intents"),
    ]
    table = Table("refusals", "Refusals by rule and strategy", columns, source="decisions.parquet")
    table.empty = "No intent was refused."
    rows = [
        (count, reason, strategy, account, session)
        for session, _, day in record.days
        for account, strategy, reason, count in day.refused.itertuples(index=False)
    ]
    for count, reason, strategy, account, session in sorted(rows, key=lambda row: (-row[0], *row[1:4])):
        link = plain(reason, href=f"#refused?refused={reason}")
        cells = [link, plain(strategy), plain(account), plain(session), figure(count)]
        table.rows.append(cells)
    return table


def quarantine_table(record: Record) -> Table:
    """Return the rows and files that were set aside, each with what is wrong and what to do."""
    columns = [
        text("file"),
        text("row"),
        text("field"),
        prose("value"),
        prose("what is wrong, and the remedy"),
    ]
    columns.append(text("run"))
    table = Table(
        "quarantine", "Quarantine", columns, source="collected.json; quarantine/ has the rows themselves"
    )
    table.empty = "Nothing was quarantined."
    for run, collected in _collected(record):
        for one in sorted(collected["refused"], key=lambda refused: bool(refused["row"])):
            said = " ".join([one["message"], *one.get("also", [])])
            row = (
                Cell(f"{one['row']:,}", sort=one["row"])
                if one["row"]
                else plain("the whole file", tone="bad")
            )
            table.rows.append(
                [
                    plain(one["file"]),
                    row,
                    plain(one.get("field")),
                    plain(_value(one)),
                    plain(said),
                    plain(run.run_id),
                ]
            )
    return table


def _value(one: dict[str, Any]) -> str:
    value = one.get("value")
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def duplicates_table(record: Record, intents: Intents) -> Table:
    """Return the rows that were recognised as dropped before."""
    columns = [text("intent"), text("file"), text("row"), prose("why"), text("run")]
    table = Table(
        "duplicates", "Recognised as dropped before, not taken twice", columns, source="collected.json"
    )
    for run, collected in _collected(record):
        for one in collected["duplicates"]:
            href = intents.href(run.run_id, one["broker_account_id"], one["client_intent_id"])
            row = Cell(f"{one['row']:,}", sort=one["row"])
            cells = [plain(one["client_intent_id"], href=href), plain(one["file"]), row]
            table.rows.append([*cells, plain(one["message"]), plain(run.run_id)])
    return table
