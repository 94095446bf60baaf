"""Rule: an intent is not sent after it has expired.

``valid_until`` is the strategy's own limit, exact to the microsecond; ``intent_max_age_s`` is the
operator's. Source: FIA 2024 (stale orders and data block).
"""

from __future__ import annotations

import numpy as np

from engine.model.columns import is_missing, microseconds
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Limit, Rule
from engine.risk.verdicts import FAIL, PASS, UNAVAILABLE, Verdicts, everywhere
from engine.settings.values import as_seconds


def judge(batch: Batch, inputs: RiskInputs, max_age_s: float | None) -> Verdicts:
    """Fail rows past ``valid_until``, or created more than ``max_age_s`` before ``as_of``.

    Unavailable are a timestamp without a zone, with an age limit a row without ``created_at``, and every row
    where ``as_of`` is missing.
    """
    if is_missing(inputs.as_of):
        return everywhere(UNAVAILABLE, batch.rows)
    as_of_us = microseconds(inputs.as_of)
    verdicts = everywhere(PASS, batch.rows)
    if max_age_s is not None:
        created = batch.time("created_at")
        verdicts[:] = UNAVAILABLE
        if created is not None:
            known = created.given & ~created.bad
            young = created.us >= as_of_us - np.int64(round(max_age_s * 1e6))
            verdicts[known] = np.where(young[known], PASS, FAIL)
    valid_until = batch.time("valid_until")
    if valid_until is not None:
        verdicts[valid_until.bad & (verdicts == PASS)] = UNAVAILABLE
        verdicts[valid_until.given & ~valid_until.bad & (valid_until.us < as_of_us)] = FAIL
    return verdicts


RULE = Rule(
    name="intent_expired",
    source="FIA 2024 (stale orders and data block)",
    explain="the intent was past its valid_until, or older than the limit",
    limit=Limit(
        key="intent_max_age_s",
        unit="seconds",
        parse=as_seconds,
        meaning="refuse intents created longer ago than this",
        env="EXEC_INTENT_MAX_AGE_S",
    ),
    judges_unset=True,
    judge=judge,
)
