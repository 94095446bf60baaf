"""The sources of the frames by strategy: holdings, trades, what they cost, and the terms of working orders.

A strategy's own book and trades come from the ledger in every mode; working orders are the broker's, and
there are none in a dry run. What is unknown of an account makes it unavailable, not flat, and no other
account. The same holds for a strategy whose name only looks like one that the ledger has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from engine.errors import AccountsInDoubt, EngineError
from engine.ledger.strategies import StrategyBook, identity, in_doubt
from engine.model.quantity import UNITS
from engine.model.schema import inputs_schemas
from engine.run.late_notional import cost_of_late_fills
from engine.run.reading import IDENTITIES, Reading
from engine.text.plain_text import is_plain
from engine.text.printable import shown
from engine.waiting.bounded import at_once

if TYPE_CHECKING:  # a dry run has no broker, and is short
    from engine.reconciliation.sync import Synced


def strategy_positions(reading: Reading) -> pd.DataFrame:
    """Return what the strategies of the batch hold: ``strategy_id, broker_account_id, symbol, qty``.

    An account of which nothing is known has a row without strategy and symbol. A strategy in doubt has a NaN
    for each symbol of the batch. The frame's ``attrs`` have the identity of the books that were read; where
    it fails, nothing is known of that account. Raises ``DataUnavailable`` where no account is known.
    """
    reading.check_same("ledger")
    reading.check_synced()
    books, failed = _books(reading)
    wrong = {account for account, book in books.items() if book.differing()}
    rows: list[tuple[str | None, str, str | None, float]] = []
    for account, book in books.items():
        if account in wrong:
            continue
        names = {*book.strategies, *_at_work(reading, account)}
        doubtful = _in_doubt(reading, account, names, "strategy_positions")
        for strategy in reading.strategies:
            held = {symbol: units / UNITS for symbol, units in book.held_by(strategy).items()}
            if strategy in doubtful:
                held = dict.fromkeys(reading.symbols, math.nan)
            rows += [(strategy, account, symbol, qty) for symbol, qty in held.items()]
    rows += [(None, account, None, math.nan) for account in (*reading.down, *failed, *sorted(wrong))]
    frame = _frame("strategy_positions", rows)
    frame.attrs[IDENTITIES] = [identity(books.values())]
    return frame


def strategy_trades(reading: Reading) -> pd.DataFrame:
    """Return this session's trades: ``strategy_id, broker_account_id, symbol, trades``.

    They are those of ``daily_trades``: without orders that count as working, and of every strategy, whether
    or not the batch has it. The strategy is missing where a trade names none, or none that an intent could
    have. What is in doubt has a NaN for each symbol of the batch, and for each of its strategies. Raises
    ``DataUnavailable`` where no account is known.
    """
    reading.check_same("ledger")
    reading.check_synced()
    found, unknown = _trades(reading)
    names: dict[str, set[str]] = {account: set(_at_work(reading, account)) for account in reading.known}
    counts: Counter[tuple[str | None, str, str]] = Counter()
    for (strategy, account, symbol), trades in found.items():
        names[account].add(strategy)
        counts[_named(strategy), account, symbol] += trades
    rows: list[tuple[str | None, str, str, float]] = [(*key, float(n)) for key, n in counts.items() if n]
    return _frame("strategy_trades", rows + _unknown(reading, "strategy_trades", names, unknown))


def traded_notional(reading: Reading) -> pd.DataFrame:
    """Return what this session's fills cost: ``strategy_id, broker_account_id, symbol, notional`` (USD).

    They are the ledger's, of every strategy; the strategy is missing as in ``strategy_trades``, and what is
    in doubt has a NaN as there. What fills today of an order that the ledger has in an earlier session is
    added (``late_notional``). Raises ``DataUnavailable`` where no account is known.
    """
    reading.check_same("ledger")
    reading.check_synced()
    frame, unknown = _of_ledger(reading, "traded_notional", reading.context.ledger.traded_notional)
    unknown = [*unknown, *_unbooked(reading)]
    names: dict[str, set[str]] = {account: set(_at_work(reading, account)) for account in reading.known}
    costs = {key: notional for *key_, notional in frame.itertuples(index=False) for key in [tuple(key_)]}
    for key, cost in cost_of_late_fills(reading).items():
        costs[key] = costs.get(key, 0.0) + cost
    for strategy, account, _ in costs:
        names[account].add(strategy)
    rows = [(_named(strategy), account, symbol, cost) for (strategy, account, symbol), cost in costs.items()]
    return _frame("traded_notional", rows + _unknown(reading, "traded_notional", names, unknown))


def _named(strategy: str) -> str | None:
    """Return the strategy that a ledger names, None for none, or for none that an intent could have."""
    return strategy if is_plain(strategy) and strategy else None


def _unknown(
    reading: Reading, frame: str, names: Mapping[str, Collection[str]], unknown: Collection[str]
) -> list[tuple[str | None, str, str, float]]:
    """Return rows with NaN for each symbol of what is unknown.

    These are all strategies of ``unknown`` accounts and of those that are down, and of other accounts those
    that its ``names`` leave in doubt.
    """
    doubtful = {account: _in_doubt(reading, account, names[account], frame) for account in reading.known}
    doubtful |= {account: set(reading.strategies) for account in (*reading.down, *unknown)}
    return [
        (strategy, account, symbol, math.nan)
        for account, strategies in doubtful.items()
        for strategy in sorted(strategies)
        for symbol in reading.symbols
    ]


def working_order_terms(reading: Reading) -> pd.DataFrame:
    """Return the working orders with strategy and terms, as ``RiskInputs`` has them; none in a dry run.

    The strategy is "", which could be any, where its name only looks like one of the batch.
    """
    reading.check_synced()
    found = [book.working_order_terms for book in _synced(reading).values()]
    found = [frame for frame in found if len(frame)]
    if not found:
        return _frame("working_order_terms", [])
    terms = pd.concat(found, ignore_index=True)
    alike = [name for name in terms["strategy_id"].dropna().unique() if in_doubt([name], reading.strategies)]
    return terms.assign(strategy_id=terms["strategy_id"].replace(dict.fromkeys(alike, "")))


def _books(reading: Reading) -> tuple[dict[str, StrategyBook], dict[str, Exception]]:
    """Return the accounts' books, and why others could not be read; raises where none could."""
    context = reading.context
    read = partial(context.ledger.strategy_book, today=reading.trading_date)
    works = {account: partial(read, account) for account in reading.known}
    answers = at_once(works, context.risk_data_timeout_s, bounded_within=True)
    failed = {account: answer.error for account, answer in answers.items() if answer.error is not None}
    if failed and len(failed) == len(answers):
        raise next(iter(failed.values()))
    for account, error in failed.items():
        _log(reading, "strategy_positions", f"of account {account}: {error}")
    return {account: answer.value for account, answer in answers.items() if account not in failed}, failed


def _trades(reading: Reading) -> tuple[Mapping[tuple[str, str, str], int], Collection[str]]:
    """Return the ledger's trades that don't count as working, and the accounts of which none are known."""
    frame, unknown = _of_ledger(reading, "strategy_trades", reading.context.ledger.strategy_trade_counts)
    accounts = reading.known
    unknown = [*unknown, *_unbooked(reading)]
    names = ("strategy_id", "broker_account_id", "symbol", "trades")
    trades = Counter({tuple(key): int(n) for *key, n in zip(*(frame[name] for name in names), strict=True)})
    for account, book in _synced(reading).items():
        at_work = book.trades_at_work.items()
        trades.subtract({(strategy, account, symbol): n for (strategy, symbol), n in at_work})
    known = set(accounts) - set(unknown)
    return {key: n for key, n in trades.items() if key[1] in known}, unknown


def _of_ledger(
    reading: Reading, name: str, read: Callable[[Sequence[str], date], pd.DataFrame]
) -> tuple[pd.DataFrame, list[str]]:
    """Return what a ledger reads of the session's trades, and the accounts of which nothing is known.

    Raises ``DataUnavailable`` where nothing is known of any.
    """
    try:
        return read(reading.known, reading.trading_date), []
    except AccountsInDoubt as error:
        others = [account for account in reading.known if account not in error.accounts]
        if not others:
            raise
        _log(reading, name, str(error))
        return read(others, reading.trading_date), list(error.accounts)


def _unbooked(reading: Reading) -> list[str]:
    """Return the accounts with trades that are in no ledger, which may be any strategy's."""
    books = _synced(reading).items()
    return [account for account, book in books if account in reading.known and book.unbooked_trades]


def _synced(reading: Reading) -> dict[str, Synced]:
    return {account: book for account, book in reading.synced.items() if not isinstance(book, EngineError)}


def _at_work(reading: Reading, account: str) -> list[str]:
    """Return the strategies of an account's working orders."""
    book = _synced(reading).get(account)
    return [] if book is None else book.working_order_terms["strategy_id"].dropna().unique().tolist()


def _in_doubt(reading: Reading, account: str, names: Collection[str], frame: str) -> set[str]:
    """Return the strategies of the batch of which an account's names leave nothing known; log why."""
    doubtful = in_doubt(names, reading.strategies)
    others = sorted(set(names) - set(reading.strategies))
    for strategy in sorted(doubtful):
        alike = ", ".join(shown(name) for name in others if in_doubt([name], [strategy]))
        _log(
            reading,
            frame,
            f"of strategy {strategy} in account {account}: there is also {alike}, whose name only looks like "
            f"it or could be any. Use one name; `positions show --by-strategy` lists them",
        )
    return doubtful


def _log(reading: Reading, name: str, why: str) -> None:
    text = f"{name} is unavailable: {why}"
    reading.context.log.event("risk_data_unavailable", text, severity="ERROR", source=name)


def _frame(name: str, rows: list[Any]) -> pd.DataFrame:
    """Return rows, sorted, as the recorded frame of that name."""
    schema = inputs_schemas()[name]
    ordered = sorted(rows, key=lambda row: tuple(cell or "" for cell in row[:3]))
    return pd.DataFrame(ordered, columns=schema.names) if rows else schema.empty_table().to_pandas()
