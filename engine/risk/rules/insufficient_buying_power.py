"""Rule: the opening orders of a batch cost no more than the account's buying power, less a buffer.

The broker's figure is without what its working orders reserve, so only the batch's own orders are subtracted
from it. A buy costs what it is worth; a sell that opens a short position the higher of its limit and 1.03
times the ask, a share (Alpaca's own formula). An order that reduces a position costs nothing, and frees
nothing before it has filled. Source: docs.alpaca.markets, Orders at Alpaca (buying power); SEC Rule
15c3-5(c)(1)(i), credit and capital thresholds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.model.columns import number_column
from engine.model.money import NOT_AN_AMOUNT, to_money
from engine.model.quantity import UNITS, Ints, Mask, shares_to_units
from engine.risk.cells import Cells
from engine.risk.levels import ACCOUNT, ALL
from engine.risk.rule import Counter, Figure, Limit, Money, Rule, Used
from engine.risk.valuing import Valuation
from engine.risk.verdicts import Amounts
from engine.settings.values import as_buffer

_SHORT_MARGIN_PCT = 3
_WHOLE = 100 * UNITS


def cost(valuation: Valuation) -> Amounts:
    """Return what each order costs if it opens a position."""
    ask, price, is_sell = valuation.ask, valuation.order_price, valuation.batch.side < 0
    dearer = ask.units - -ask.units * _SHORT_MARGIN_PCT // 100
    short = np.where(is_sell & ask.known, np.maximum(price.units, dearer), price.units)
    worth = valuation.worth(Amounts(short, price.known))
    by_notional = is_sell & worth.known & ~valuation.batch.qty.known
    margin = -(-np.where(by_notional, worth.units, 0) * _SHORT_MARGIN_PCT // 100)
    return Amounts(worth.units + margin, worth.known)


def nothing_yet(cells: Cells, valuation: Valuation) -> Used:
    """Return that the batch has used nothing, where the broker's figure is known."""
    _, known = _figures(cells, valuation)
    return Used(np.zeros(cells.count, dtype=np.int64), known)


def buying_power(cells: Cells, valuation: Valuation, buffer_pct: Any) -> Ints:
    """Return the broker's figure less the buffer, rounded down, per account; 0 where it is unknown."""
    units, known = _figures(cells, valuation)
    kept = _WHOLE - shares_to_units(buffer_pct)
    limits = [
        unit * kept // _WHOLE if is_known else 0
        for unit, is_known in zip(units.tolist(), known.tolist(), strict=True)
    ]
    return np.array(limits, dtype=np.int64)


def _figures(cells: Cells, valuation: Valuation) -> tuple[Ints, Mask]:
    """Return the broker's figures, and which are known: of an account there is one row."""
    frame = valuation.inputs.account_figures
    codes = None if frame is None else cells.codes(frame)
    figures, known = np.zeros(cells.count, dtype=np.int64), np.zeros(cells.count, dtype=bool)
    if frame is None or codes is None:
        return figures, known
    wanted = codes >= 0
    codes = codes[wanted]
    units = to_money(number_column(frame["buying_power"]).numbers[wanted])
    figures[codes] = units
    known[codes] = True
    known &= np.bincount(codes, minlength=cells.count) <= 1
    known[codes[units == NOT_AN_AMOUNT]] = False
    return figures, known


RULE = Rule(
    name="insufficient_buying_power",
    source="Alpaca, orders (buying power); SEC Rule 15c3-5(c)(1)(i)",
    explain=(
        "the opening orders of the batch cost {opening_cost_usd:,.2f} USD with it, and "
        "{buying_power_limit_usd:,.2f} USD may be used by {limit_source}, of the buying power that the "
        "account's working orders leave"
    ),
    limit=Limit(
        key="buying_power_buffer_pct",
        unit="%",
        parse=as_buffer,
        meaning="part of the broker's buying power that orders leave unused; 0 lets them use all of it",
        env="EXEC_BUYING_POWER_BUFFER_PCT",
        scopes=(ALL, ACCOUNT),
        looser="lower",
    ),
    reads=("prices", "account_figures"),
    figures=(
        Figure("opening_cost_usd", "USD", "total"),
        Figure("buying_power_limit_usd", "USD", "limit"),
    ),
    counter=Counter(of=Money(amount=cost, used=nothing_yet, limit=buying_power, only_opening=True)),
)
