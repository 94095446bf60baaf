"""The limits on quotes, which every rule in money asks for: how old and how wide one may be.

They are keys of the rule ``unpriced``. ``engine.risk.quotes`` judges quotes by them.
"""

from __future__ import annotations

from engine.risk.rule import Limit
from engine.settings.values import as_quantity, as_seconds

MAX_QUOTE_AGE_S = Limit(
    key="max_quote_age_s",
    unit="seconds",
    parse=as_seconds,
    meaning="oldest quote that a limit in money may use",
    env="EXEC_MAX_QUOTE_AGE_S",
    default=60.0,
)
MAX_SPREAD_PCT = Limit(
    key="max_spread_pct",
    unit="%",
    parse=as_quantity,
    meaning="widest quote that a limit in money may use: ask less bid, in percent of their mid",
    env="EXEC_MAX_SPREAD_PCT",
    default=5.0,
)
QUOTE_LIMITS = (MAX_QUOTE_AGE_S, MAX_SPREAD_PCT)
