"""The decision function once more, slow and plain: one intent after the other, in exact decimals.

Written from the words of the design and from nothing else, to be read rather than to be fast. It takes the
batch as a list of dicts and returns what ``evaluate`` must answer, row by row; None is NaN there.
"""

from __future__ import annotations

from tests.engine.risk.oracle.contract import PRICES
from tests.engine.risk.oracle.judge import FIRST_RULES as RULES
from tests.engine.risk.oracle.judge import JUDGES, SKIPPED_BY_FAIL_OPEN, expected_decisions
from tests.engine.risk.oracle.known import Known, position_held, working_quantities
from tests.engine.risk.oracle.words import exact, is_cancel, is_intent_id, is_missing, key_of, rows_of

__all__ = [
    "JUDGES",
    "PRICES",
    "RULES",
    "SKIPPED_BY_FAIL_OPEN",
    "Known",
    "exact",
    "expected_decisions",
    "is_cancel",
    "is_intent_id",
    "is_missing",
    "key_of",
    "position_held",
    "rows_of",
    "working_quantities",
]
