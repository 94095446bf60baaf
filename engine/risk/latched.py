"""Strategies and accounts that a rule has latched: refused until an operator enables them again."""

from __future__ import annotations

import pandas as pd

from engine.model.columns import text_column
from engine.risk.batch import Batch
from engine.risk.cells import names_every
from engine.risk.inputs import RiskInputs
from engine.risk.rule import RowJudge
from engine.risk.verdicts import UNAVAILABLE, Verdicts, everywhere, fail_where
from engine.text.plain_text import trimmed


def latched_by(rule: str) -> RowJudge:
    """Return a judge that fails the rows of strategies that ``rule`` has latched."""

    def judge(batch: Batch, inputs: RiskInputs, limit: int) -> Verdicts:
        return are_latched(batch, inputs, rule, "strategy_id")

    return judge


def are_latched(batch: Batch, inputs: RiskInputs, rule: str, column: str) -> Verdicts:
    """Fail the rows whose strategy or account ``rule`` has latched. ``column``: which of the two it stops."""
    names = _names(inputs.latches, rule, column)
    if names is None:
        return everywhere(UNAVAILABLE, batch.rows)
    return fail_where(batch.text(column).where(names.__contains__))


def _names(latches: pd.DataFrame | None, rule: str, column: str) -> frozenset[str] | None:
    """Return what a rule has latched, None where that is unknown."""
    if latches is None or not names_every(latches, "rule"):
        return None
    own = latches[latches["rule"] == rule]
    if not len(own):
        return frozenset()
    if column not in own.columns or not names_every(own, column):
        return None
    return frozenset(trimmed(str(name)) for name in text_column(own[column]).values)
