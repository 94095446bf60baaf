"""Rule: no more than so many trades per session.

The count is today's ledger documents, working orders and the intents allowed before in the batch. Counting
fills only would let any number of unfilled orders through (SEC 34-70694 on Knight Capital, ¶22); RTS 6
Art. 15(2): sent orders count at once. Which trades are added up follows from where the limit is set
(``engine.risk.rule.BY_SCOPE``): those of the account, or of a symbol, strategy or strategy's symbol in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from engine.model.columns import number_column
from engine.model.quantity import Ints, Mask
from engine.risk.cells import BY_ACCOUNT, Cells, names_every
from engine.risk.held import with_strategy
from engine.risk.inputs import RiskInputs
from engine.risk.rule import NOT_OF_ACCOUNTS, Counter, Figure, Limit, Rule, Used
from engine.settings.values import as_count

_LARGEST = 2.0**53


def trades_so_far(cells: Cells, inputs: RiskInputs, settings: Mapping[str, Any]) -> Used:
    """Return the trades before the batch: today's in the ledger, and the working orders."""
    if cells.basis == BY_ACCOUNT:
        ledger, orders = inputs.daily_trades, inputs.working_orders
    else:
        ledger, orders = inputs.strategy_trades, inputs.working_order_terms
    if cells.basis.strategy:
        ledger, orders = with_strategy(ledger), with_strategy(orders)
    nothing = np.zeros(cells.count, dtype=np.int64)
    working = None if orders is None else cells.codes(orders)
    if ledger is None or orders is None or working is None or not names_every(orders, "symbol"):
        return Used(nothing, np.zeros(cells.count, dtype=bool))
    trades, known = _ledger_trades(cells, ledger)
    return Used(trades + np.bincount(working[working >= 0], minlength=cells.count), known)


def _ledger_trades(cells: Cells, counts: pd.DataFrame) -> tuple[Ints, Mask]:
    """Return the ledger's trades by cell. Of an account there is one row, of a strategy one per symbol."""
    codes = cells.codes(counts)
    if codes is None:
        return np.zeros(cells.count, dtype=np.int64), np.zeros(cells.count, dtype=bool)
    numbers = number_column(counts["trades"]).numbers if len(counts) else np.zeros(0)
    wanted = codes >= 0
    codes, numbers = codes[wanted], numbers[wanted]
    countable = (numbers >= 0) & (numbers < _LARGEST) & (np.floor(numbers) == numbers)
    trades = np.zeros(cells.count, dtype=np.int64)
    np.add.at(trades, codes[countable], numbers[countable].astype(np.int64))
    known = np.ones(cells.count, dtype=bool)
    if cells.basis == BY_ACCOUNT:
        known = np.bincount(codes, minlength=cells.count) <= 1
    known[codes[~countable]] = False
    return trades, known


RULE = Rule(
    name="max_daily_trades_exceeded",
    source="SEED (max daily trades); RTS 6 Art. 15(2); SEC 34-70694 ¶22",
    explain="{trades_today:g} trades before it, limit {trades_limit:g} set by {limit_source}",
    limit=Limit(
        key="max_daily_trades",
        unit="trades",
        parse=as_count,
        meaning="trades per session of an account; in sections of symbols and strategies, of these in it",
        env="EXEC_MAX_DAILY_TRADES",
        default=50,
    ),
    reads_by_level={"strategy_trades": NOT_OF_ACCOUNTS, "working_order_terms": NOT_OF_ACCOUNTS},
    figures=(Figure("trades_today", "trades", "used"), Figure("trades_limit", "trades", "limit")),
    needs_data=True,
    counter=Counter(of="order", used=trades_so_far),
)
