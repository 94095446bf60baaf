"""``day``: a session as its runs recorded it, on one screen, and as a blotter to compare with a statement."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from engine.errors import UsageError
from engine.ledger.documents import ADJUSTMENT
from engine.model.breaks import Break, breaks_table, shares
from engine.model.symbols import canonical_symbol
from engine.reconciliation.adjustments import accepted_in
from engine.reconciliation.break_files import breaks_found
from engine.record.late_fills import late_fills
from engine.record.run_folder import MANIFEST, RunFolders
from engine.routing.outcomes import NOT_WITHDRAWN
from engine.run.blotter import SESSION, Day, day_of
from engine.stores.protocols import LedgerStore
from engine.text.printable import csv_cell
from jobs.sessions import session_named
from jobs.setup import read_setup
from jobs.tables import print_json, print_table, say
from jobs.wording import counted, number

if TYPE_CHECKING:
    import pandas as pd

EXIT_DOES_NOT_ADD_UP = 4
_REJECTED_SHOWN, _ID_SHOWN = 20, 12


def day(text: str, *, as_json: bool) -> int:
    """Print a session and write its blotter; return the exit code: 4 where something does not add up."""
    session = session_named(text)
    setup = read_setup()
    runs = RunFolders(setup.objects).of_day(session)
    late = late_fills(setup.objects, session)
    if not (runs or late):
        raise UsageError(
            f"no run of the session {session} is in {setup.data_dir}; `status` shows those that are."
        )
    recorded = day_of(runs, late)
    place = setup.data_dir / "days" / session.isoformat()
    setup.modes.make_folder(place)
    for name, content in (
        ("blotter.csv", _csv(recorded.blotter)),
        ("blotter.parquet", recorded.blotter.to_parquet(index=False)),
        ("summary.csv", _csv(recorded.summary)),
    ):
        with open(place / name, "wb", opener=setup.modes.opener) as file:
            file.write(content)
    unfinished = [run.run_id for run in runs if MANIFEST not in run.names()]
    breaks = breaks_found(setup.objects, session)
    still_open = open_breaks(setup.stores.ledger, breaks, session)
    adds_up = recorded.adds_up and not unfinished and not still_open
    exit_code = 0 if adds_up else EXIT_DOES_NOT_ADD_UP
    if as_json:
        body = {"breaks": breaks_table(breaks).to_pylist(), "open_breaks": len(still_open)}
        body |= {"exit_code": exit_code, **_record(recorded, session), "unfinished": unfinished}
        print_json(body)
        return exit_code
    _print(recorded, session, unfinished)
    _print_breaks(breaks, still_open)
    say(f"Blotter: {place}/blotter.csv and .parquet; the table above: {place}/summary.csv")
    return exit_code


def open_breaks(ledger: LedgerStore, breaks: Sequence[Break], since: date) -> list[Break]:
    """Return the breaks that are neither repaired nor accepted; the ledger is read from a session on."""
    accounts = {one.broker_account_id for one in breaks if not one.is_repaired}
    documents = [one for account in accounts for one in ledger.account_documents(account, since=since)]
    return [one for one in breaks if not one.is_repaired and not _is_accepted(one, documents)]


def _is_accepted(found: Break, documents: list[dict[str, Any]]) -> bool:
    """Return whether a break was accepted: by its order or activities, else by kind and symbol."""
    about = found.broker_order_id or found.client_intent_id
    activities = set(found.activity_id.split())
    if not about and not activities:
        key = (found.broker_account_id, canonical_symbol(found.symbol), found.kind)
        return any(
            (one["broker_account_id"], canonical_symbol(str(one.get("symbol"))), one.get(ADJUSTMENT)) == key
            for one in documents
        )
    accepted = accepted_in(documents)
    return (found.kind, about) in accepted.orders or bool(activities and activities <= accepted.activities)


def _print_breaks(breaks: list[Break], still_open: list[Break]) -> None:
    """Print the session's differences between broker and ledger, and which are still open."""
    if not breaks:
        say("Broker and ledger agreed whenever they were compared.")
        return
    states = {id(one): "open" for one in still_open}
    rows = [
        (
            one.broker_account_id,
            one.kind,
            one.symbol,
            shares(one.difference_qty),
            states.get(id(one), "repaired" if one.is_repaired else "accepted"),
        )
        for one in breaks
    ]
    columns = ("account", "kind", "symbol", "shares", "state")
    print_table("Broker against ledger", columns, rows, right=("shares",))
    if still_open:
        say(f"OPEN: {len(still_open)}; `execution-engine sync` says what to do.", color="red")


def _print(recorded: Day, session: date, unfinished: list[str]) -> None:
    say()
    say(
        f"Session {session}: {counted(len(recorded.runs), 'live run')}, "
        f"{counted(len(recorded.blotter), 'execution')}",
        bold=True,
    )
    if len(recorded.summary):
        columns = list(recorded.summary.columns)
        rows = [[_cell(value) for value in row] for row in recorded.summary.itertuples(index=False)]
        print_table("By account and strategy", columns, rows, right=columns[2:])
    if len(recorded.refused):
        rows = [[_cell(value) for value in row] for row in recorded.refused.itertuples(index=False)]
        print_table("Refused", list(recorded.refused.columns), rows, right=["intents"])
    _print_rejected(recorded)
    _print_rows(recorded)
    say()
    broken = recorded.identities.loc[~recorded.identities["holds"]]
    for run_id, name, left, right, _ in broken.itertuples(index=False):
        where = "" if run_id == SESSION else f"run {run_id}: "
        say(f"DOES NOT ADD UP: {where}{name}: {left} and {right}", color="red")
    for run_id in unfinished:
        say(f"NOT FINISHED: run {run_id}; the next run ends it.", color="red")
    if not len(broken) and not unfinished:
        say(f"Every identity of every run holds ({len(recorded.identities)}).")


def _print_rejected(recorded: Day) -> None:
    """Print the orders that the broker refused, and cancels of no known order, each with its reason."""
    is_cancel_of_nothing = recorded.rejected["reason"].isin(NOT_WITHDRAWN)
    for title, found in (
        ("Refused by the broker", recorded.rejected[~is_cancel_of_nothing]),
        ("Cancels of no known order", recorded.rejected[is_cancel_of_nothing]),
    ):
        rows = [
            (account, strategy, intent_id[:_ID_SHOWN], symbol if action == "new" else action, why)
            for account, strategy, intent_id, action, symbol, reason, message in found.itertuples(index=False)
            for why in [f"{reason}: {message}"]
        ]
        if rows:
            more = f" (the first {_REJECTED_SHOWN} of {len(rows)})" if len(rows) > _REJECTED_SHOWN else ""
            columns = ("account", "strategy", "intent", "order", "why")
            print_table(title + more, columns, rows[:_REJECTED_SHOWN])


def _print_rows(recorded: Day) -> None:
    """Print the counts of the dropped rows by outcome, and their sum."""
    (dropped,) = recorded.identities.loc[recorded.identities["run_id"] == SESSION, "left"]
    rows = [(in_words(outcome), count) for outcome, count in recorded.rows.itertuples(index=False)]
    rows.append(("all that were dropped", dropped))
    print_table("What became of the rows", ("rows that are", "rows"), rows, right=["rows"])


def in_words(outcome: str) -> str:
    """Return the outcome of dropped rows in words."""
    words = {
        "rejected": "refused by a rule",
        "broker_rejected": "refused by the broker",
        "not_withdrawn": "cancels of no known order",
    }
    return words.get(outcome, outcome.replace("_", " "))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else number(round(value, 2))
    return str(value)


def _csv(frame: pd.DataFrame) -> bytes:
    """Return a frame as CSV in which no text is a formula; numbers and times are unchanged."""
    texts = frame.select_dtypes(exclude=["number", "bool", "datetime", "datetimetz"])
    safe = frame.assign(**{name: column.map(csv_cell) for name, column in texts.items()})
    content: str = safe.to_csv(index=False)
    return content.encode()


def _record(recorded: Day, session: date) -> dict[str, Any]:
    return {
        "trading_date": session.isoformat(),
        "runs": list(recorded.runs),
        "executions": len(recorded.blotter),
        "summary": json.loads(recorded.summary.to_json(orient="records")),
        "refused": json.loads(recorded.refused.to_json(orient="records")),
        "rejected": json.loads(recorded.rejected.to_json(orient="records")),
        "rows": dict(zip(recorded.rows["outcome"], recorded.rows["rows"].tolist(), strict=True)),
        "identities": json.loads(recorded.identities.to_json(orient="records")),
    }
