"""Rule: no position in a symbol is worth more than the limit, whatever fills.

As for its size, the worst case of each side: a buy is judged as if every working and allowed buy had filled
and no sell. The position counts at the ask, orders at their own value (``engine.risk.valuing``). At the
levels of a strategy the position is the strategy's own. Source: SEC Rule 15c3-5(c)(1)(i), pre-set thresholds
in the aggregate; RTS 6 Art. 15(1)(b) and (2).
"""

from __future__ import annotations

from engine.model.money import usd_to_units
from engine.risk.rule import OF_STRATEGIES, USD, Counter, Figure, Limit, Money, Rule, books
from engine.risk.valuing import Valuation
from engine.risk.verdicts import Amounts
from engine.risk.worth import worst_of_side
from engine.settings.values import as_usd


def amount(valuation: Valuation) -> Amounts:
    """Return what each order is worth."""
    return valuation.order_notional


RULE = Rule(
    name="max_position_notional_exceeded",
    source="SEC Rule 15c3-5(c)(1)(i); RTS 6 Art. 15(1)(b) and (2)",
    explain=(
        "a position worth {projected_notional_usd:,.2f} USD if it fills, limit "
        "{position_notional_limit_usd:,.2f} USD set by {limit_source}"
    ),
    limit=Limit(
        key="max_position_notional_usd",
        unit=USD,
        parse=as_usd,
        meaning="worth of a position in a symbol, long or short; in sections of strategies, of their own",
        env="EXEC_MAX_POSITION_NOTIONAL_USD",
    ),
    reads=("prices", "working_order_terms"),
    reads_by_level={"strategy_positions": OF_STRATEGIES},
    figures=(
        Figure("projected_notional_usd", "USD", "total"),
        Figure("position_notional_limit_usd", "USD", "limit"),
    ),
    units=usd_to_units,
    counter=Counter(of=Money(amount=amount, used=worst_of_side), bases=books(side=True)),
)
