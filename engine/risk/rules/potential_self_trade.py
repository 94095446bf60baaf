"""Rule: no order that could trade with another one of the same account.

A buy at or above the lowest price of the account's working and allowed sells, or a sell the other way
round; market, stop and trailing orders meet every order of the other side. A group counts its entry, and
its own legs never meet it. Source: Alpaca, orders (wash trades are rejected); FINRA Rule 5210.02,
self-trades. ``engine.risk.self_trade`` has the prices, ``engine.risk.scan`` compares them.
"""

from __future__ import annotations

from engine.risk.rule import Limit, Rule
from engine.settings.values import as_flag

RULE = Rule(
    name="potential_self_trade",
    source="FINRA Rule 5210.02; Alpaca, orders",
    explain="it could trade with a working or allowed order of the same account",
    limit=Limit(
        key="block_self_trades",
        unit="",
        kind="flag",
        parse=as_flag,
        meaning="true: no order that could trade with another one of the account",
        env="EXEC_BLOCK_SELF_TRADES",
        off=False,
        looser="lower",
    ),
    reads=("working_order_terms",),
    blocks_self_trades=True,
)
