"""Rule: the positions of an account are together worth no more than the limit, whatever fills.

Of each symbol the worse of two counts: all that is long or could become so, and all that is short or could.
So an order adds only what it makes its symbol worse. What can't be valued, in whatever symbol, makes the
account's exposure unknown. At the levels of a symbol or a strategy it is the symbol's, or the strategy's own.
Source: SEC Rule 15c3-5(c)(1)(i); RTS 6 Art. 15(2).
"""

from __future__ import annotations

from engine.model.money import usd_to_units
from engine.risk.rule import OF_STRATEGIES, USD, Counter, Figure, Limit, Money, Rule, books
from engine.risk.valuing import Valuation
from engine.risk.verdicts import Amounts
from engine.risk.worth import sides, worst_by_symbol
from engine.settings.values import as_usd


def amount(valuation: Valuation) -> Amounts:
    """Return what each order is worth."""
    return valuation.order_notional


RULE = Rule(
    name="max_gross_exposure_exceeded",
    source="SEC Rule 15c3-5(c)(1)(i); RTS 6 Art. 15(2)",
    explain=(
        "a gross exposure of {gross_exposure_usd:,.2f} USD if the worst fills, limit "
        "{gross_exposure_limit_usd:,.2f} USD set by {limit_source}"
    ),
    limit=Limit(
        key="max_gross_exposure_usd",
        unit=USD,
        parse=as_usd,
        meaning="worth of an account's positions, shorts added; of a symbol or strategy in its section",
        env="EXEC_MAX_GROSS_EXPOSURE_USD",
    ),
    reads=("prices", "working_order_terms"),
    reads_by_level={"strategy_positions": OF_STRATEGIES},
    figures=(
        Figure("gross_exposure_usd", "USD", "total"),
        Figure("gross_exposure_limit_usd", "USD", "limit"),
    ),
    units=usd_to_units,
    counter=Counter(
        of=Money(amount=amount, used=worst_by_symbol, worst_by=books(side=False), sides=sides),
    ),
)
