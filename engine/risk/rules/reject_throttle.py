"""Rule: a strategy whose orders the broker rejected several times in a row sends no more until it is enabled.

The run sets the latch before it seals its results (``engine.run.latching``); an operator clears it
(``enable-strategy``). Source: RTS 6 Art. 15(4) and 16 (throttles on repeated messages); FIA 2024 (message
throttles).
"""

from __future__ import annotations

from engine.risk.latched import latched_by
from engine.risk.levels import ALL, STRATEGY
from engine.risk.rule import Limit, Rule
from engine.settings.values import as_size

RULE = Rule(
    name="reject_throttle",
    source="RTS 6 Art. 15(4), 16; FIA 2024",
    explain="the broker rejected its strategy's orders too often in a row; an operator has to enable it",
    limit=Limit(
        key="max_broker_rejects_in_a_row",
        unit="orders",
        parse=as_size,
        meaning="broker rejects of a strategy in a row, after which it is stopped until it is enabled",
        env="EXEC_MAX_BROKER_REJECTS_IN_A_ROW",
        scopes=(ALL, STRATEGY),
    ),
    reads=("latches",),
    judge=latched_by("reject_throttle"),
)
