"""A dry run: everything except sending."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from engine.model.quantity import Mask
from engine.model.schema import RESULT_STATUSES, results_schema
from engine.routing.outcomes import nothing_sent, refusal_messages
from engine.safety.kill_switch import KillSwitchState

ORDERS_AT_ONCE = 64
SWITCH_READS_AT_MOST = 100
"""The limit in a dry run: reading a switch that is a document takes a request, and nothing is sent anyway."""


@dataclass(frozen=True)
class Outcome:
    """A possible outcome of an intent; ``reason`` None keeps the decision's."""

    status: str
    reason: str | None
    message: str


OUTCOMES = (
    Outcome("rejected", None, ""),
    Outcome("dry_run", None, "would be sent; this was a dry run"),
    Outcome("halted", "kill_switch_enabled", "not sent: the kill switch went on before its turn"),
    Outcome("expired", "decision_expired", "not sent: its session is over, or its decision too old by now"),
    Outcome("expired", "intent_expired", "not sent: it was too old, or past its valid_until, by its turn"),
)
REJECTED, DRY_RUN, HALTED, DECISION_EXPIRED, INTENT_EXPIRED = range(len(OUTCOMES))


def dry_run(
    intents: pa.Table,
    decisions: pd.DataFrame,
    *,
    lapsed: Mask,
    decision_expired: bool,
    kill_switch: Callable[[], KillSwitchState],
) -> pa.Table:
    """Return the outcome that each intent would have had: one row per decision, in its order.

    ``intents`` needs ``action``. ``lapsed``: the rows that have expired by now. ``decision_expired``: the
    session is over, or the decisions are older than a resumed run may act on. The kill switch is read at
    least before every ``ORDERS_AT_ONCE`` orders, but at most ``SWITCH_READS_AT_MOST`` times; cancels pass it.
    """
    allowed = decisions["allowed"].to_numpy()
    is_order = ~_is_cancel(intents)
    outcome = np.where(allowed, DRY_RUN, REJECTED)
    outcome[allowed & is_order & lapsed] = INTENT_EXPIRED
    if decision_expired:
        outcome[allowed & is_order] = DECISION_EXPIRED
    turns = np.flatnonzero((outcome == DRY_RUN) & is_order)
    step = max(ORDERS_AT_ONCE, -(-len(turns) // SWITCH_READS_AT_MOST))
    for start in range(0, len(turns), step):
        switch = kill_switch()
        if switch.on:
            outcome[turns[start:]] = HALTED
            return _results(decisions, outcome, halted_by=switch.why)
    return _results(decisions, outcome)


def lapsed(intents: pa.Table, now: datetime, max_age_s: float | None) -> Mask:
    """Return the rows past ``valid_until`` or older than ``max_age_s``, as a resumed run may reach them late.

    ``intents`` needs ``created_at`` and ``valid_until``.
    """
    over = np.asarray((intents["valid_until"].to_pandas() < pd.Timestamp(now)).to_numpy(dtype=bool))
    if max_age_s is not None:
        oldest = pd.Timestamp(now) - pd.Timedelta(seconds=max_age_s)
        over = over | ~(intents["created_at"].to_pandas() >= oldest).to_numpy(dtype=bool)
    return over


def _is_cancel(intents: pa.Table) -> Mask:
    return np.asarray(intents["action"].cast(pa.string()).to_numpy(zero_copy_only=False) == "cancel")


def _results(decisions: pd.DataFrame, outcome: npt.NDArray[np.int64], *, halted_by: str = "") -> pa.Table:
    reasons = list(decisions["reason"].cat.categories)
    reason = decisions["reason"].cat.codes.to_numpy().copy()
    for code, kind in enumerate(OUTCOMES):
        if kind.reason is not None:
            if kind.reason not in reasons:
                reasons.append(kind.reason)
            reason[outcome == code] = reasons.index(kind.reason)
    status = np.array([RESULT_STATUSES.index(kind.status) for kind in OUTCOMES], dtype=np.int8)[outcome]
    messages = [kind.message for kind in OUTCOMES]
    messages[HALTED] = f"{messages[HALTED]}. {halted_by}"
    codes, texts = refusal_messages(decisions)
    said = np.where((outcome == REJECTED) & (codes > 0), len(messages) + codes, outcome)
    messages += texts
    rows, schema = len(decisions), results_schema()
    coded = pa.DictionaryArray.from_arrays
    columns = {
        "client_intent_id": pa.array(decisions["client_intent_id"]).cast(pa.string()),
        "status": coded(pa.array(status), list(RESULT_STATUSES)),
        "reason": coded(pa.array(reason), reasons),
        **nothing_sent(rows),
        "message": coded(pa.array(said.astype(np.int32)), messages),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
