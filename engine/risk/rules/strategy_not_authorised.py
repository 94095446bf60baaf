"""Rule: a strategy trades only where, and what, it is authorised for.

With ``require_authorised_strategies`` a strategy needs a section of its own in the limits file. The lists
of its section bind it in any case: accounts, symbols, sides and order types. Source: SEC Rule
15c3-5(c)(2)(iii), trading restricted to those authorised; RTS 6 Art. 5 (algorithms are approved before
they trade).
"""

from __future__ import annotations

from engine.model.schema import ORDER_TYPES, SIDES
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.levels import REQUIRE_AUTHORISED, STRATEGY
from engine.risk.limit_of_accounts import ACCOUNTS
from engine.risk.rule import EVERYWHERE_ONLY, Limit, Parse, Part, RowJudge, Rule
from engine.risk.verdicts import FAIL, Verdicts, everywhere, fail_where
from engine.settings.values import as_flag, as_symbols, some_of


def judge(batch: Batch, inputs: RiskInputs, is_on: bool) -> Verdicts:
    """Fail every row; ``LimitsFile.levels`` leaves out strategies that have a section of their own."""
    return everywhere(FAIL, batch.rows)


def _only(column: str) -> RowJudge:
    """Return a judge that fails rows whose text in a column is not in a list."""

    def judge_list(batch: Batch, inputs: RiskInputs, listed: frozenset[str]) -> Verdicts:
        return fail_where(~batch.text(column).where(listed.__contains__))

    return judge_list


_OWN = (STRATEGY,)


def _own_list(key: str, column: str, parse: Parse, what: str) -> Part:
    """Return the part that judges by one list of a strategy's section."""
    limit = Limit(
        key=key,
        unit="",
        kind="names",
        parse=parse,
        meaning=f"the only {what}",
        scopes=_OWN,
        looser="more",
    )
    return Part(limit=limit, judge=_only(column))


RULE = Rule(
    name="strategy_not_authorised",
    source="SEC Rule 15c3-5(c)(2)(iii); RTS 6 Art. 5",
    explain="the strategy is not authorised for it by {limit_source}",
    limit=Limit(
        key=REQUIRE_AUTHORISED,
        unit="",
        kind="flag",
        parse=as_flag,
        meaning="true: a strategy without a section of its own is refused",
        scopes=EVERYWHERE_ONLY,
        off=False,
        looser="lower",
    ),
    judge=judge,
    more=(
        Part(limit=ACCOUNTS, kinds=_OWN, judge=_only("broker_account_id")),
        _own_list("symbols", "symbol", as_symbols, "symbols that the strategy trades"),
        _own_list("sides", "side", some_of(*SIDES), "sides that the strategy trades"),
        _own_list("order_types", "order_type", some_of(*ORDER_TYPES), "order types that the strategy sends"),
    ),
)
