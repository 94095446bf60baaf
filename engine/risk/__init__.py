"""The rule book: which intents are allowed, and the reason for each refusal.

``RULE_BOOK`` is the complete list, in order of precedence of the reasons. One name per rule: its file, its
function, its reason, its column ``check_<rule>``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.model.schema import VERDICTS
from engine.risk.account_not_configured import account_not_configured
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.intent_expired import intent_expired
from engine.risk.invalid_intent import invalid_intent
from engine.risk.kill_switch_enabled import kill_switch_enabled
from engine.risk.sequence import judge_in_sequence
from engine.risk.verdicts import FAIL, OFF, UNAVAILABLE, Verdicts, everywhere
from engine.settings.variables import RiskConfig

OK = "ok"
RISK_DATA_UNAVAILABLE = "risk_data_unavailable"


@dataclass(frozen=True)
class Rule:
    """One rule of the book.

    ``judge`` returns a verdict per row from that row alone; a rule without it depends on what was allowed
    before and is judged in ``engine.risk.scan``. ``faces_cancels``: the rule holds for cancels too.
    ``needs_data``: the rule reads a store, so ``fail_open`` may skip it while that store is unavailable.
    """

    name: str
    judge: Callable[[Batch, RiskInputs, RiskConfig], Verdicts] | None = None
    faces_cancels: bool = False
    needs_data: bool = False


RULE_BOOK = (
    Rule("kill_switch_enabled", kill_switch_enabled),
    Rule("invalid_intent", invalid_intent, faces_cancels=True),
    Rule("account_not_configured", account_not_configured, faces_cancels=True),
    Rule("duplicate_intent", faces_cancels=True),
    Rule("intent_expired", intent_expired),
    Rule("position_unreconciled", needs_data=True),
    Rule("max_daily_trades_exceeded", needs_data=True),
    Rule("max_position_size_exceeded", needs_data=True),
)
REASONS = (OK, *(rule.name for rule in RULE_BOOK), RISK_DATA_UNAVAILABLE)
_VERDICT_DTYPE = pd.CategoricalDtype(VERDICTS)


def evaluate(
    intents: pd.DataFrame,
    inputs: RiskInputs,
    config: RiskConfig,
    *,
    rule_book: tuple[Rule, ...] = RULE_BOOK,
) -> pd.DataFrame:
    """Return the decision on every intent of a batch. Pure: no clock, no I/O, inputs unchanged.

    ``intents``: one row per intent with the columns of ``schema.INTENT_FIELDS``, optional ones may be absent.

    Returns one row per intent, same index and order: ``client_intent_id``, ``allowed`` (bool), ``reason``
    (category: ``ok``, the first failing rule, or ``risk_data_unavailable``), ``check_<rule>`` (category:
    pass, fail, off, unavailable) per rule, and the figures ``current_qty, projected_qty,
    position_limit_qty, trades_today, trades_limit`` (float64, NaN where the data is unavailable).

    A rule that raises refuses all rows, ``fail_open`` or not; ``decisions.attrs["raised"]`` has the errors.
    """
    batch = Batch.of(intents)
    raised: dict[str, str] = {}
    verdicts: dict[str, Verdicts] = {}
    for rule in rule_book:
        if rule.judge is not None:
            try:
                verdicts[rule.name] = _of_right_size(rule.judge(batch, inputs, config), batch.rows)
            except Exception as error:
                raised[rule.name] = f"{type(error).__name__}: {error}"
                verdicts[rule.name] = everywhere(UNAVAILABLE, batch.rows)
            if not rule.faces_cancels:
                verdicts[rule.name] = np.where(batch.is_cancel, OFF, verdicts[rule.name]).astype(np.int8)
    open_row = np.ones(batch.rows, dtype=bool)
    for verdict in verdicts.values():
        open_row &= (verdict != FAIL) & (verdict != UNAVAILABLE)
    sequence = judge_in_sequence(batch, inputs, config, open_row)
    raised.update(sequence.raised)
    verdicts.update(sequence.verdicts)

    reason = np.zeros(batch.rows, dtype=np.int8)
    refused = np.zeros(batch.rows, dtype=bool)
    for rule in reversed(rule_book):
        verdict = verdicts[rule.name]
        fails = verdict == FAIL
        unknown = verdict == UNAVAILABLE
        if rule.needs_data and config.fail_open and rule.name not in raised:
            unknown = np.zeros(batch.rows, dtype=bool)
        reason[fails] = REASONS.index(rule.name)
        reason[unknown] = REASONS.index(RISK_DATA_UNAVAILABLE)
        refused |= fails | unknown
    allowed = ~refused
    if not np.array_equal(allowed, sequence.allowed):
        raise AssertionError("the scan and the rule book disagree on what is allowed")

    columns: dict[str, object] = {
        "client_intent_id": _ids(intents),
        "allowed": allowed,
        "reason": pd.Categorical.from_codes(reason, categories=list(REASONS)),
    }
    for rule in rule_book:
        columns[f"check_{rule.name}"] = pd.Categorical.from_codes(verdicts[rule.name], dtype=_VERDICT_DTYPE)
    columns.update(sequence.figures)
    decisions = pd.DataFrame(columns, index=intents.index, copy=False)
    if raised:
        decisions.attrs["raised"] = raised
    return decisions


def _ids(intents: pd.DataFrame) -> object:
    """Return the ids unchanged; a missing one is empty text, since no cell of a decision is missing."""
    if "client_intent_id" not in intents.columns:
        return np.full(len(intents), "", dtype=object)
    ids = intents["client_intent_id"]
    missing = ids.isna().to_numpy()
    if not missing.any():
        return ids
    filled = ids.astype(object).to_numpy(copy=True)
    filled[missing] = ""
    return filled


def _of_right_size(verdicts: Verdicts, rows: int) -> Verdicts:
    if verdicts.shape != (rows,) or not ((verdicts >= 0) & (verdicts <= UNAVAILABLE)).all():
        raise ValueError(f"a rule returned {verdicts.shape} verdicts for {rows} rows, or an invalid one")
    return verdicts
