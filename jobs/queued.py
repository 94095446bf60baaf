"""Market orders sent after the close: they wait for the next open, at an unknown price."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import ConfigurationError
from engine.model.calendar import queued_until
from engine.model.orders import FINAL_STATUSES
from engine.model.symbols import is_currency_pair
from engine.record.run_folder import ATTEMPTS, BATCH, RESULTS, RunFolder
from jobs.wording import counted

_SYMBOLS_SHOWN = 5


def queued_orders(folder: RunFolder) -> list[str]:
    """Return a sentence for each open that market orders of a finished run wait for.

    An order of a live run counts by the time it was sent, one of a dry run by the run's time.
    """
    symbols = _market_orders(folder)
    if not symbols:
        return []
    live = folder.start["mode"] == "live"
    sent = sent_at(folder) if live else dict.fromkeys(symbols, folder.start["as_of"])
    waiting: dict[datetime, list[str]] = {}
    for row, symbol in symbols.items():
        opens = _queued_until(sent.get(row), folder.start["settings"]["calendar"])
        if opens is not None:
            waiting.setdefault(opens, []).append(symbol)
    return [_sentence(opens, waiting[opens], live=live) for opens in sorted(waiting)]


def _market_orders(folder: RunFolder) -> dict[int, str]:
    """Return the symbols of market orders that were placed, or would be, and have not traded, by row."""
    results = folder.table(RESULTS, ["status", "order_status", "filled_qty"])
    batch = folder.table(BATCH, ["action", "order_type", "time_in_force", "symbol"])
    words = {name: batch[name].cast(pa.string()) for name in ("action", "order_type", "time_in_force")}
    status, order_status = (results[name].cast(pa.string()) for name in ("status", "order_status"))
    is_final = pc.fill_null(pc.is_in(order_status, pa.array(sorted(FINAL_STATUSES))), fill_value=False)
    is_sent = pc.is_in(status, pa.array(["placed", "dry_run"]))
    waits = pc.and_(pc.and_(is_sent, pc.invert(is_final)), pc.equal(results["filled_qty"], 0.0))
    is_market = pc.and_(pc.equal(words["order_type"], "market"), pc.equal(words["action"], "new"))
    is_usual = pc.invert(pc.is_in(words["time_in_force"], pa.array(["opg", "cls"])))  # meant for an auction
    rows = pc.indices_nonzero(pc.and_(pc.and_(waits, is_market), is_usual)).to_pylist()
    symbols = batch["symbol"].cast(pa.string()).take(pa.array(rows, pa.int64())).to_pylist()
    return {row: symbol for row, symbol in zip(rows, symbols, strict=True) if not is_currency_pair(symbol)}


def sent_at(folder: RunFolder) -> Mapping[int, str]:
    """Return when each order of a run was about to be sent (ISO, UTC), by row."""
    names = sorted(name for name in folder.names() if name.startswith(ATTEMPTS))
    chunks = [folder.json(name) for name in names]
    return {int(order["row"]): str(chunk["at"]) for chunk in chunks for order in chunk["orders"]}


def _queued_until(at: str | None, calendar: str) -> datetime | None:
    try:
        return None if at is None else queued_until(datetime.fromisoformat(at), calendar)
    except ConfigurationError:  # the calendar ends there
        return None


def _sentence(opens: datetime, symbols: list[str], *, live: bool) -> str:
    named = list(dict.fromkeys(symbols))
    more = ", …" if len(named) > _SYMBOLS_SHOWN else ""
    orders = f"{counted(len(symbols), 'market order')} ({', '.join(named[:_SYMBOLS_SHOWN])}{more})"
    when = f"the open of {opens:%Y-%m-%d} at {opens:%H:%M} New York, at a price that is not known yet"
    if live:
        return (
            f"{orders} came after the close, and the broker queues what it has not traded by now for {when}. "
            f"To withdraw: execution-engine cancel-all --symbol SYMBOL."
        )
    return f"{orders} came after the close: sent live, the broker would queue what it can't trade for {when}."
