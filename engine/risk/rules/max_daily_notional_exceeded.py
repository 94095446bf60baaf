"""Rule: no more than so much is traded per session, both sides added.

Counted is what today's fills cost, what the working orders are worth, and the orders allowed before in the
batch. An order that reduces a position passes, and counts like any other. Which orders are added up follows
from where the limit is set, as for the number of trades. Source: SEC Rule 15c3-5(c)(1)(i); RTS 6 Art. 15(2);
SEC 34-70694 on Knight Capital (capital limits that saw no order before its fill).
"""

from __future__ import annotations

import numpy as np

from engine.model.columns import number_column
from engine.model.money import NOT_AN_AMOUNT, sums_of, to_money, usd_to_units
from engine.risk.cells import Cells
from engine.risk.held import with_strategy
from engine.risk.rule import USD, Counter, Figure, Limit, Money, Rule, Used
from engine.risk.valuing import Valuation
from engine.risk.verdicts import Amounts
from engine.risk.worth import working_notional
from engine.settings.values import as_usd


def amount(valuation: Valuation) -> Amounts:
    """Return what each order is worth."""
    return valuation.order_notional


def traded_so_far(cells: Cells, valuation: Valuation) -> Used:
    """Return what today's fills cost, and what the working orders are worth."""
    working, known = working_notional(cells, valuation)
    frame = valuation.inputs.traded_notional
    if cells.basis.strategy:
        frame = with_strategy(frame)
    codes = None if frame is None else cells.codes(frame)
    if frame is None or codes is None:
        return Used(working, np.zeros(cells.count, dtype=bool))
    wanted = codes >= 0
    codes = codes[wanted]
    units = to_money(number_column(frame["notional"]).numbers[wanted])
    usable = (units != NOT_AN_AMOUNT) & (units >= 0)
    traded, fits = sums_of(codes[usable], units[usable], cells.count)
    total, both_fit = sums_of(np.tile(np.arange(cells.count), 2), np.append(traded, working), cells.count)
    known = known & fits & both_fit
    known[codes[~usable]] = False
    return Used(total, known)


RULE = Rule(
    name="max_daily_notional_exceeded",
    source="SEC Rule 15c3-5(c)(1)(i); RTS 6 Art. 15(2); SEC 34-70694",
    explain=(
        "{daily_notional_usd:,.2f} USD traded with it, limit {daily_notional_limit_usd:,.2f} USD "
        "set by {limit_source}"
    ),
    limit=Limit(
        key="max_daily_notional_usd",
        unit=USD,
        parse=as_usd,
        meaning="worth of an account's orders per session; of a symbol or strategy in its section",
        env="EXEC_MAX_DAILY_NOTIONAL_USD",
    ),
    reads=("prices", "working_order_terms", "traded_notional"),
    figures=(
        Figure("daily_notional_usd", "USD", "total"),
        Figure("daily_notional_limit_usd", "USD", "limit"),
    ),
    units=usd_to_units,
    counter=Counter(of=Money(amount=amount, used=traded_so_far)),
)
