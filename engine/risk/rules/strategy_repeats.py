"""Rule: a strategy whose intents are refused many times in a row is stopped until a person has looked at it.

RTS 6 asks for it by name: an algorithm that has been applied a set number of times is disabled until a
trader enables it again. The run sets the latch before it seals its results (``engine.run.latching``);
``enable-strategy`` clears it. Source: RTS 6 Art. 15(3), repeated automated execution throttles.
"""

from __future__ import annotations

from engine.risk.latched import latched_by
from engine.risk.levels import ALL, STRATEGY
from engine.risk.rule import Limit, Rule
from engine.settings.values import as_size

RULE = Rule(
    name="strategy_repeats",
    source="RTS 6 Art. 15(3)",
    explain="its strategy's intents were refused too often in a row; an operator has to enable it again",
    limit=Limit(
        key="max_refusals_in_a_row",
        unit="intents",
        parse=as_size,
        meaning="refused intents of a strategy in a row, after which it is stopped until it is enabled",
        env="EXEC_MAX_REFUSALS_IN_A_ROW",
        scopes=(ALL, STRATEGY),
    ),
    reads=("latches",),
    judge=latched_by("strategy_repeats"),
)
