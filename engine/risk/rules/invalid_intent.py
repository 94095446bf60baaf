"""Rule: a row that breaks the intent contract is never sent, whatever the source of the frame.

Source: DESIGN, contract of an intent; FIA 2024 (pre-trade controls apply to every order path).
"""

from __future__ import annotations

from engine.model.columns import is_missing, microseconds
from engine.model.contract import created_ahead, violations
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Rule
from engine.risk.verdicts import Verdicts, fail_where


def judge(batch: Batch, inputs: RiskInputs, limit: None) -> Verdicts:
    """Fail rows that break any rule of ``engine.model.contract``, or have no valid ``client_intent_id``.

    Metadata that the ledger can't keep is one of these rules (``engine.model.keeping``): an order that can't
    be booked must not be sent. So is a ``created_at`` further ahead of ``as_of``, or of when a resumed run
    read its inputs, than clocks may differ.
    """
    breach = ~batch.identity.valid
    for violation in violations(batch.columns, batch.rows):
        breach |= violation.rows
    now = [
        microseconds(timestamp) for timestamp in (inputs.as_of, inputs.read_at) if not is_missing(timestamp)
    ]
    for violation in created_ahead(batch.columns, max(now)) if now else ():
        breach |= violation.rows
    return fail_where(breach)


RULE = Rule(
    name="invalid_intent",
    source="DESIGN (contract of an intent); FIA 2024 (every order path)",
    explain="the row breaks the intent contract",
    faces_cancels=True,
    overridable=False,
    judge=judge,
)
