"""Rule: orders are sent only while the session that they are for takes them.

Regular hours of the exchange, half days included; orders with ``extended_hours`` also before and after.
For the opening auction (opg) the venue takes orders until 2 minutes before the open, for the closing
auction (cls) until 10 minutes before the close, and both again from 19:00 New York, an hour before the
extended session ends. Source: RTS 6 Art. 15 (orders outside the hours of trading); Alpaca, orders (opg
refused 9:28 to 19:00, cls 15:50 to 19:00).
"""

from __future__ import annotations

from typing import TypeGuard

import numpy as np
import pandas as pd

from engine.model.columns import FlagColumn, is_missing
from engine.model.quantity import Mask
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Limit, Rule
from engine.risk.verdicts import FAIL, PASS, UNAVAILABLE, Verdicts, everywhere
from engine.settings.values import as_flag

OPG_ENDS_BEFORE = pd.Timedelta(minutes=2)
CLS_ENDS_BEFORE = pd.Timedelta(minutes=10)
AUCTIONS_AGAIN_BEFORE_EXTENDED_END = pd.Timedelta(hours=1)


def judge(batch: Batch, inputs: RiskInputs, is_on: bool) -> Verdicts:
    """Fail orders outside the hours of their kind; without the session's hours they are unavailable."""
    hours, now = inputs.session_hours, inputs.as_of
    if hours is None or len(hours) != 1 or is_missing(now):
        return everywhere(UNAVAILABLE, batch.rows)
    times = hours.iloc[0]
    regular = _within(now, times["opens_at"], times["closes_at"])
    extended = _within(now, times["extended_opens_at"], times["extended_closes_at"])
    again = _since(now, times["extended_closes_at"], AUCTIONS_AGAIN_BEFORE_EXTENDED_END)
    opening = _either(_until(now, times["opens_at"], OPG_ENDS_BEFORE), again)
    closing = _either(_until(now, times["closes_at"], CLS_ENDS_BEFORE), again)
    verdicts = everywhere(regular, batch.rows)
    verdicts[_is_extended(batch)] = extended
    time_in_force = batch.text("time_in_force")
    verdicts[time_in_force.where("opg".__eq__)] = opening
    verdicts[time_in_force.where("cls".__eq__)] = closing
    return verdicts


def _is_extended(batch: Batch) -> Mask:
    column = batch.columns.get("extended_hours")
    return column.flags if isinstance(column, FlagColumn) else np.zeros(batch.rows, dtype=bool)


def _within(now: pd.Timestamp, opens_at: object, closes_at: object) -> int:
    if not _is_time(opens_at) or not _is_time(closes_at):
        return UNAVAILABLE
    return PASS if opens_at <= now < closes_at else FAIL


def _until(now: pd.Timestamp, end: object, before: pd.Timedelta) -> int:
    if not _is_time(end):
        return UNAVAILABLE
    return PASS if now < end - before else FAIL


def _since(now: pd.Timestamp, end: object, before: pd.Timedelta) -> int:
    if not _is_time(end):
        return UNAVAILABLE
    return PASS if now >= end - before else FAIL


def _either(one: int, other: int) -> int:
    """Return PASS where either passes, UNAVAILABLE where neither does and one is unavailable."""
    if PASS in (one, other):
        return PASS
    return UNAVAILABLE if UNAVAILABLE in (one, other) else FAIL


def _is_time(value: object) -> TypeGuard[pd.Timestamp]:
    return isinstance(value, pd.Timestamp) and not is_missing(value) and value.tzinfo is not None


RULE = Rule(
    name="session_closed",
    source="RTS 6 Art. 15; Alpaca, orders (hours of day, opg and cls)",
    explain="the session was closed for this kind of order",
    limit=Limit(
        key="require_open_session",
        unit="",
        kind="flag",
        parse=as_flag,
        meaning="true: orders only in the hours that their kind is for",
        env="EXEC_REQUIRE_OPEN_SESSION",
        off=False,
        looser="lower",
    ),
    reads=("session_hours",),
    judge=judge,
)
