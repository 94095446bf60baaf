"""What was traded: executions, what they cost, and the positions after them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date
from typing import Any

import pandas as pd

from engine.errors import EngineError
from engine.ledger.strategies import IDENTITY, NO_STRATEGY
from engine.model.breaks import Break
from engine.model.quantity import NOT_A_QUANTITY, UNITS, round_to_units
from engine.model.symbols import canonical_symbol
from engine.record.run_folder import INPUTS, RunFolder
from engine.run.execution_quality import METHODS, totals
from jobs.report_page.cells import Cell, Column, Table, at, figure, figures, plain, text
from jobs.report_page.explanations import Intents
from jobs.report_page.record import MODES, Record
from jobs.wording import number

_BPS = ("spread_bps", "slippage_bps", "shortfall_bps")
_QUALITY = (
    ("orders", "orders"), ("known", "orders"), ("traded_usd", "USD"), ("spread_bps", "bp"),
    ("slippage_bps", "bp"), ("arrival_cost_usd", "USD"), ("executed_usd", "USD"), ("unfilled_usd", "USD"),
    ("shortfall_usd", "USD"), ("shortfall_bps", "bp"),
)  # fmt: skip
_NAMES = {
    "orders": "orders",
    "known": "shortfall known",
    "traded_usd": "traded",
    "spread_bps": "spread at arrival",
    "slippage_bps": "slippage",
    "arrival_cost_usd": "cost against arrival",
    "executed_usd": "shortfall, filled part",
    "unfilled_usd": "shortfall, unfilled part",
    "shortfall_usd": "implementation shortfall",
    "shortfall_bps": "implementation shortfall",
}


_NO_ARRIVAL = (
    "The largest cost against the arrival price is unknown: no order has a quote of its sending "
    "(EXEC_PRICES=alpaca records them)."
)


def summary_table(record: Record) -> Table:
    """Return counts and sums by account and strategy, as ``day`` prints them."""
    counts = (("intents", "intents"), ("allowed", "intents"), ("orders", "orders"), ("cancels", "cancels"))
    sums = (("fills", "executions"), ("bought_usd", "USD"), ("sold_usd", "USD"), ("turnover_usd", "USD"))
    columns = [text(name) for name in ("session", "runs", "account", "strategy")]
    columns += [figures(name.removesuffix("_usd"), unit) for name, unit in (*counts, *sums)]
    columns.append(figures("against reference_price", "bp"))
    table = Table(
        "summary", "By account and strategy", columns, source="intents, decisions, results, fills.parquet"
    )
    table.note = (
        "Against reference_price: average fill price less the price that the strategy named, positive for a "
        "cost."
    )
    table.empty = "Nothing was decided on."
    for session, mode, day in record.days:
        for row in day.summary.to_dict("records"):
            cells = [figure(row[name], unit if unit == "USD" else "") for name, unit in (*counts, *sums)]
            head = [
                plain(session),
                plain(MODES[mode]),
                plain(row["broker_account_id"]),
                plain(row["strategy_id"]),
            ]
            table.rows.append([*head, *cells, figure(row["slippage_bps"], "bp")])
    return table


def fills_table(record: Record, intents: Intents) -> Table:
    """Return every execution."""
    columns = [text("filled"), text("intent"), text("strategy"), text("account"), text("order")]
    columns += [figures("price", "USD"), figures("worth", "USD"), text("run")]
    table = Table(
        "fills", "Executions", columns, source="fills.parquet, late_fills/", empty="Nothing was executed."
    )
    for row in record.blotter.to_dict("records"):
        link = intents.href(row["run_id"], row["broker_account_id"], row["client_intent_id"])
        table.rows.append(
            [
                at(row["filled_at"]),
                plain(row["client_intent_id"], href=link),
                plain(row["strategy_id"]),
                plain(row["broker_account_id"]),
                plain(f"{row['side']} {number(row['qty'])} {row['symbol']}"),
                figure(row["price"]),
                figure(row["notional_usd"], "USD"),
                plain(row["run_id"]),
            ]
        )
    return table


def quality_table(record: Record, by: str, caption: str) -> Table:
    """Return the execution quality by strategy, or by symbol."""
    columns = [text(caption), *(figures(_NAMES[name], unit) for name, unit in _QUALITY)]
    table = Table(f"quality_by_{caption}", f"Execution quality by {caption}", columns)
    table.source, table.empty = "results.parquet, fills.parquet", "No order was sent."
    for row in totals(record.quality, [by]).to_dict("records") if len(record.quality) else ():
        cells = [figure(row[name], unit) for name, unit in _QUALITY]
        table.rows.append([plain(row[by]), *cells])
    return table


def orders_table(record: Record, intents: Intents) -> Table:
    """Return the execution quality of each order, the largest cost against the arrival price first."""
    columns = [text(name) for name in ("intent", "strategy", "order")]
    columns += [figures("filled", "shares"), figures("decision price", "USD"), text("decision price from")]
    columns += [
        figures("arrival price", "USD"),
        figures("average fill", "USD"),
        figures("spread at arrival", "bp"),
    ]
    columns += [
        figures("slippage", "bp"),
        figures("cost against arrival", "USD"),
        figures("unfilled", "shares"),
    ]
    columns += [
        figures("last price", "USD"),
        figures("shortfall", "USD"),
        figures("shortfall", "bp"),
        text("state"),
    ]
    table = Table("orders", "Execution quality of each order", columns)
    table.source, table.empty = "results.parquet, fills.parquet", "No order was sent."
    orders = record.quality.sort_values(
        "arrival_cost_usd", ascending=False, na_position="last", kind="stable"
    )
    for row in orders.to_dict("records"):
        link = intents.href(row["run_id"], row["broker_account_id"], row["client_intent_id"])
        table.rows.append(
            [
                plain(row["client_intent_id"], href=link),
                plain(row["strategy_id"]),
                plain(f"{row['side']} {_shares(row['wanted_qty'])} {row['symbol']}"),
                figure(row["filled_qty"]),
                figure(row["decision_price"]),
                plain(row["decision_from"]),
                figure(row["arrival_price"]),
                _not_traded(row, "filled_price"),
                figure(row["spread_bps"], "bp"),
                _not_traded(row, "slippage_bps", "bp"),
                figure(row["arrival_cost_usd"], "USD"),
                figure(row["unfilled_qty"]),
                _not_needed(row, "last_price"),
                figure(row["shortfall_usd"], "USD"),
                figure(row["shortfall_bps"], "bp"),
                plain("working" if row["is_working"] else "terminal"),
            ]
        )
    return table


def _shares(qty: float) -> str:
    return "unknown" if math.isnan(qty) else number(round(qty, 9))


def _not_traded(row: dict[str, Any], name: str, unit: str = "") -> Cell:
    """Return a figure of what was filled; "-" where nothing was."""
    return plain("-") if row["filled_qty"] == 0 else figure(row[name], unit)


def _not_needed(row: dict[str, Any], name: str) -> Cell:
    """Return the last price; "-" where nothing was left unfilled."""
    return plain("-") if row["unfilled_qty"] == 0 else figure(row[name])


def largest_loss(record: Record, intents: Intents) -> tuple[str, str]:
    """Return the largest cost against the arrival price and what it is made of, and the intent's link."""
    orders = record.quality
    known = orders[orders["arrival_cost_usd"].notna()]
    filled = orders[~(orders["filled_qty"] == 0)]
    if not len(filled):
        return "Nothing was filled, so no order has a cost against its arrival price.", ""
    if not len(known):
        return (
            _NO_ARRIVAL,
            "",
        )
    row = known.loc[known["arrival_cost_usd"].idxmax()]
    missing = len(filled) - len(known)
    but = f" Of {missing} of {len(filled)} filled orders it is unknown." if missing else ""
    cost = row["arrival_cost_usd"]
    if cost <= 0:
        return f"No order whose arrival price is known was filled worse than it.{but}", ""
    what = f"{row['side']} {_shares(row['filled_qty'])} {row['symbol']} of {row['strategy_id']}"
    said = (
        f"Largest cost against the arrival price: {cost:,.2f} USD ({row['slippage_bps']:,.1f} bp), {what}. "
    )
    return said + why_it_cost(row) + but, intents.href(
        row["run_id"], row["broker_account_id"], row["client_intent_id"]
    )


def why_it_cost(row: pd.Series) -> str:
    """Return why an order was filled worse than the middle of the quote at its sending."""
    cost, half = row["arrival_cost_usd"], row["half_spread_usd"]
    beyond = cost - half
    touch = "ask" if row["side"] == "buy" else "bid"
    if beyond <= half * 1e-9 + 0.005:
        return (
            f"No more than half the spread, which was {half:,.2f} USD ({row['spread_bps'] / 2:,.1f} bp): it "
            f"was filled at the {touch} or better."
        )
    return (
        f"Half the spread is {half:,.2f} USD of it; {beyond:,.2f} USD are beyond the {touch}: the price "
        f"moved before the fill, or the order took more than was offered there."
    )


def methods() -> list[tuple[str, str]]:
    """Return how each figure of execution quality is computed, in one sentence."""
    return list(METHODS.items())


def positions_table(record: Record) -> Table:
    """Return the positions as each account's last run read them, against the ledger, and what was traded."""
    columns = [
        text("account"),
        text("symbol"),
        figures("at the broker", "shares"),
        figures("in the ledger", "shares"),
    ]
    columns += [figures("difference", "shares"), figures("traded in the run", "shares")]
    columns += [figures("expected after it", "shares"), text("compared"), text("run")]
    table = Table("positions", "Positions against the broker, when the run began", columns)
    table.source = "positions.parquet, reconciliation.parquet, fills.parquet"
    table.empty = "No account of these runs had a position, or traded."
    table.note = (
        "Expected: at the broker when the run began, and its own executions; of each account its last run."
    )
    for run, account in _last_runs(record).items():
        for one in account:
            table.rows += _positions_of(run, one)
    return table


def _last_runs(record: Record) -> dict[RunFolder, list[str]]:
    """Return of each account the last finished run that read its positions; live runs, if there are any."""
    mode = record.modes[0] if record.modes else "live"
    last: dict[str, RunFolder] = {}
    for run in record.finished:
        if run.start["mode"] == mode and "positions.parquet" in run.names():
            read = run.table("positions.parquet")["broker_account_id"].to_pylist()
            traded = run.table("fills.parquet")["broker_account_id"].to_pylist() if mode == "live" else []
            compared = run.json(INPUTS).get("compared", {})
            last |= dict.fromkeys([*read, *traded, *compared], run)
    runs: dict[RunFolder, list[str]] = {}
    for account, run in sorted(last.items()):
        runs.setdefault(run, []).append(account)
    return runs


def _positions_of(run: RunFolder, account: str) -> Iterator[list[Cell]]:
    from engine.model.breaks import breaks_in

    names, inputs = run.names(), run.json(INPUTS)
    frame = run.table("positions.parquet").to_pandas()
    own = frame[frame["broker_account_id"] == account]
    held_units = round_to_units(own["qty"].to_numpy(dtype=float)).tolist()
    held = dict(zip(map(canonical_symbol, own["symbol"]), held_units, strict=True))
    breaks: dict[str, Break] = {}
    if "reconciliation.parquet" in names:
        found = breaks_in(run.table("reconciliation.parquet"))
        breaks = {
            one.symbol: one for one in found if one.broker_account_id == account and not one.is_repaired
        }
    traded: dict[str, int] = {}
    if "fills.parquet" in names:
        fills = run.table("fills.parquet").to_pandas()
        fills = fills[(fills["broker_account_id"].astype("str") == account)]
        executed = pd.Series(round_to_units(fills["qty"].to_numpy()), index=fills.index)
        signed = executed.where(fills["side"].astype("str") == "buy", -executed)
        traded = signed.groupby(fills["symbol"].astype("str").map(canonical_symbol)).sum().to_dict()
    is_compared = account in inputs.get("compared", {})
    is_read = "positions" not in inputs["unavailable"] and account not in inputs.get("down", {})
    for symbol in sorted({*held, *breaks, *traded}):
        units = held.get(symbol, 0) if is_read else NOT_A_QUANTITY
        difference = breaks.get(symbol)
        verdict = _compared(run, difference, is_compared=is_compared)
        at_broker = None if units == NOT_A_QUANTITY else units
        in_ledger = difference.ledger_qty if difference is not None else at_broker if is_compared else None
        after = traded.get(symbol, 0)
        numbers = (at_broker, in_ledger, _less(at_broker, in_ledger), after, _less(at_broker, -after))
        shares = (None if one is None else one / UNITS for one in numbers)
        yield [plain(account), plain(symbol), *map(figure, shares), verdict, plain(run.run_id)]


def _less(units: int | None, others: int | None) -> int | None:
    return None if units is None or others is None else units - others


def _compared(run: RunFolder, found: Break | None, *, is_compared: bool) -> Cell:
    if not is_compared:
        is_dry = run.start["mode"] == "dry"
        return plain("not compared: dry run" if is_dry else "not compared", tone="warn")
    return plain("agrees") if found is None else plain("DIFFERS", tone="bad")


def strategies_table(record: Record, today: date) -> Table:
    """Return what each strategy holds by the ledger when the page is made."""
    columns: list[Column] = [text("strategy"), text("account"), text("symbol"), figures("held", "shares")]
    table = Table("by_strategy", "Positions by strategy, by the ledger now", columns)
    table.source = f"the ledger, as it was at {record.made_at:%Y-%m-%d %H:%M:%S} UTC when this page was made"
    accounts = sorted({account for runs in _last_runs(record).values() for account in runs})
    try:
        books = {account: record.ledger.strategy_book(account, today=today) for account in accounts}
    except EngineError as error:
        table.empty = f"Unknown: the ledger can't be read: {error}"
        return table
    table.empty = "The ledger holds no position of these accounts."
    for account, book in books.items():
        for (strategy, symbol), units in sorted(book.by_strategy.items()):
            name = "(the rest)" if strategy == NO_STRATEGY else strategy
            table.rows.append([plain(name), plain(account), plain(symbol), figure(units / UNITS)])
    broken = [f"{account} {symbol}" for account, book in books.items() for symbol in book.differing()]
    table.note = f"{IDENTITY[:1].upper()}{IDENTITY[1:]}: " + (
        f"DOES NOT HOLD for {', '.join(broken)}." if broken else "it holds."
    )
    return table
