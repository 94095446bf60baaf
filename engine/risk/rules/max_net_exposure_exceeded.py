"""Rule: the positions of an account, short ones subtracted, are worth no more than the limit, whatever fills.

The worst case of each direction: a buy is judged as if every working and allowed buy of the account had
filled and no sell, a sell the other way round. What can't be valued, in whatever symbol, makes the account's
exposure unknown. At the levels of a symbol or a strategy it is the symbol's, or the strategy's own. Source:
SEC Rule 15c3-5(c)(1)(i); RTS 6 Art. 15(2).
"""

from __future__ import annotations

from engine.model.money import usd_to_units
from engine.risk.rule import BY_SCOPE, OF_STRATEGIES, USD, Counter, Figure, Limit, Money, Rule, directed
from engine.risk.valuing import Valuation
from engine.risk.verdicts import Amounts
from engine.risk.worth import worst_of_side
from engine.settings.values import as_usd


def amount(valuation: Valuation) -> Amounts:
    """Return what each order is worth."""
    return valuation.order_notional


RULE = Rule(
    name="max_net_exposure_exceeded",
    source="SEC Rule 15c3-5(c)(1)(i); RTS 6 Art. 15(2)",
    explain=(
        "a net exposure of {net_exposure_usd:,.2f} USD in its direction if the worst fills, limit "
        "{net_exposure_limit_usd:,.2f} USD set by {limit_source}"
    ),
    limit=Limit(
        key="max_net_exposure_usd",
        unit=USD,
        parse=as_usd,
        meaning="worth of an account's positions, shorts subtracted; of a symbol or strategy in its section",
        env="EXEC_MAX_NET_EXPOSURE_USD",
    ),
    reads=("prices", "working_order_terms"),
    reads_by_level={"strategy_positions": OF_STRATEGIES},
    figures=(
        Figure("net_exposure_usd", "USD", "total"),
        Figure("net_exposure_limit_usd", "USD", "limit"),
    ),
    units=usd_to_units,
    counter=Counter(of=Money(amount=amount, used=worst_of_side), bases=directed(BY_SCOPE)),
)
