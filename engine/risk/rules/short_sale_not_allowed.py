"""Rule: where short sales are not allowed, a sell is covered by the long position, whatever else fills.

A sell passes up to the position less working and allowed sells; at the levels of a strategy, of the
strategy's own position. Source: Regulation SHO (17 CFR 242.200, 203), short sales and the duty to locate.
"""

from __future__ import annotations

from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import OF_STRATEGIES, Limit, Rule
from engine.risk.verdicts import Verdicts, fail_where
from engine.settings.values import as_flag


def judge(batch: Batch, inputs: RiskInputs, may_short: bool) -> Verdicts:
    """Fail sells; one that reduces a long position passes all the same. Called only where they are off."""
    return fail_where(batch.side < 0)


RULE = Rule(
    name="short_sale_not_allowed",
    source="Regulation SHO (17 CFR 242.200, 203)",
    explain="the sell is not covered by the long position, and {limit_source} allows no short sale",
    limit=Limit(
        key="allow_short",
        unit="",
        kind="flag",
        parse=as_flag,
        meaning="false: sells only up to the long position",
        env="EXEC_ALLOW_SHORT",
        off=True,
        looser="higher",
    ),
    reads_by_level={"strategy_positions": OF_STRATEGIES, "working_order_terms": OF_STRATEGIES},
    reducing="pass_if_known",
    own_book=True,
    judge=judge,
)
