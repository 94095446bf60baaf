"""Rule: only configured accounts trade.

Source: SEC Rule 15c3-5(c)(2)(iii), trading restricted to authorised accounts.
"""

from __future__ import annotations

from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.levels import VARIABLE
from engine.risk.limit_of_accounts import ACCOUNTS
from engine.risk.rule import Rule
from engine.risk.verdicts import OFF, Verdicts, everywhere, fail_where


def judge(batch: Batch, inputs: RiskInputs, accounts: frozenset[str] | None) -> Verdicts:
    """Fail rows whose account is not in ``accounts``; off where any account may trade."""
    if not accounts:
        return everywhere(OFF, batch.rows)
    return fail_where(~batch.text("broker_account_id").where(accounts.__contains__))


RULE = Rule(
    name="account_not_configured",
    source="SEC Rule 15c3-5(c)(2)(iii)",
    explain="the account is not one of those that may trade",
    limit=ACCOUNTS,
    kinds=(VARIABLE,),
    judges_unset=True,
    faces_cancels=True,
    overridable=False,
    judge=judge,
)
