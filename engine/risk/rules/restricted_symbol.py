"""Rule: no order in a symbol that is restricted, or that an allow-list leaves out.

Every level holds: a symbol is refused where any level restricts it, or any level that has an allow-list lacks
it. Source: SEC Rule 15c3-5(c)(2)(ii), securities that the broker or customer is restricted from trading.
"""

from __future__ import annotations

from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Limit, Part, Rule
from engine.risk.verdicts import Verdicts, fail_where
from engine.settings.values import as_symbols


def judge_restricted(batch: Batch, inputs: RiskInputs, symbols: frozenset[str]) -> Verdicts:
    """Fail rows whose symbol is in ``symbols``."""
    return fail_where(batch.text("symbol").where(symbols.__contains__))


def judge_allowed(batch: Batch, inputs: RiskInputs, symbols: frozenset[str]) -> Verdicts:
    """Fail rows whose symbol is not in ``symbols``."""
    return fail_where(~batch.text("symbol").where(symbols.__contains__))


RULE = Rule(
    name="restricted_symbol",
    source="SEC Rule 15c3-5(c)(2)(ii)",
    explain="the symbol is restricted, or not in the list of allowed ones, by {limit_source}",
    limit=Limit(
        key="restricted_symbols",
        unit="",
        kind="names",
        parse=as_symbols,
        meaning="symbols that take no orders",
        env="EXEC_RESTRICTED_SYMBOLS",
        off=frozenset(),
        looser="fewer",
    ),
    judge=judge_restricted,
    more=(
        Part(
            limit=Limit(
                key="allowed_symbols",
                unit="",
                kind="names",
                parse=as_symbols,
                meaning="the only symbols that take orders",
                env="EXEC_ALLOWED_SYMBOLS",
                looser="more",
            ),
            judge=judge_allowed,
        ),
    ),
)
