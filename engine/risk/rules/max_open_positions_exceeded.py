"""Rule: no more than so many symbols with a position, or an order that may make one.

A second order in a symbol adds nothing. Source: FIA 2024 (position limits by number of instruments); RTS 6
Art. 15(2), risk limits as appropriate to the strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from engine.model.columns import text_column
from engine.model.quantity import NOT_A_QUANTITY, round_to_units
from engine.model.symbols import canonical_symbol
from engine.risk.cells import BY_ACCOUNT, BY_STRATEGY, BY_STRATEGY_AND_SYMBOL, BY_SYMBOL, Cells, names_every
from engine.risk.held import book, numbers
from engine.risk.inputs import RiskInputs
from engine.risk.levels import ACCOUNT, ALL, STRATEGY, VARIABLE
from engine.risk.rule import Counter, Entered, Figure, Limit, Rule, Used
from engine.settings.values import as_count


def open_symbols(cells: Cells, inputs: RiskInputs, settings: Mapping[str, Any]) -> Used:
    """Return the number of symbols per cell with a position that isn't flat, or a working order."""
    unknown = Used(np.zeros(cells.count, dtype=np.int64), np.zeros(cells.count, dtype=bool))
    positions, orders = inputs.positions, inputs.working_orders
    if cells.basis.strategy:
        positions, orders = inputs.strategy_positions, inputs.working_order_terms
        orders = None if orders is None else orders[orders["strategy_id"].notna()]
    if positions is None or orders is None or not names_every(orders, "symbol"):
        return unknown
    doubtful, positions = cells.accounts_in_doubt(positions)
    held, working = cells.codes(positions), cells.codes(orders)
    if doubtful is None or held is None or working is None:
        return unknown
    units = round_to_units(numbers(positions, "qty")) if len(positions) else np.zeros(0, dtype=np.int64)
    known = np.ones(cells.count, dtype=bool)
    known[held[(held >= 0) & (units == NOT_A_QUANTITY)]] = False
    known[cells.of_accounts(doubtful)] = False
    pairs = pd.DataFrame(
        {
            "cell": np.concatenate([held[units != 0], working]),
            "symbol": [*_symbols(positions[units != 0]), *_symbols(orders)],
        }
    ).drop_duplicates()
    found = pairs["cell"].to_numpy(dtype=np.int64)
    return Used(np.bincount(found[found >= 0], minlength=cells.count), known)


def _symbols(frame: pd.DataFrame) -> list[str]:
    column = text_column(frame["symbol"])
    forms = [canonical_symbol(str(value)) for value in column.values]
    return [forms[code] for code in column.codes.tolist()]


def entered(cells: Cells, inputs: RiskInputs) -> Entered:
    """Return which symbols are open before the batch."""
    found = book(cells, inputs)
    return Entered((found.position != 0) | (found.buys > 0) | (found.sells > 0), found.known)


RULE = Rule(
    name="max_open_positions_exceeded",
    source="FIA 2024; RTS 6 Art. 15(2)",
    explain="{open_positions:g} symbols open before it, limit {open_positions_limit:g} set by {limit_source}",
    limit=Limit(
        key="max_open_positions",
        unit="symbols",
        parse=as_count,
        meaning="symbols of an account with a position or an open order; of a strategy in its section",
        env="EXEC_MAX_OPEN_POSITIONS",
        scopes=(ALL, ACCOUNT, STRATEGY),
    ),
    reads_by_level={"strategy_positions": (STRATEGY,), "working_order_terms": (STRATEGY,)},
    figures=(Figure("open_positions", "symbols", "used"), Figure("open_positions_limit", "symbols", "limit")),
    counter=Counter(
        of="order",
        used=open_symbols,
        bases={VARIABLE: BY_ACCOUNT, ALL: BY_ACCOUNT, ACCOUNT: BY_ACCOUNT, STRATEGY: BY_STRATEGY},
        once_per={VARIABLE: BY_SYMBOL, ALL: BY_SYMBOL, ACCOUNT: BY_SYMBOL, STRATEGY: BY_STRATEGY_AND_SYMBOL},
        entered=entered,
    ),
)
