"""The scan's arrays, built from batch, inputs and limits, and its results as columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from engine.model.quantity import NOT_A_QUANTITY, Floats, Ints, Mask, to_shares, to_units
from engine.risk.batch import Batch
from engine.risk.compiled import compiled, use_compiled
from engine.risk.duplicate_intent import allowed_before, first_rows
from engine.risk.inputs import RiskInputs
from engine.risk.keys import AccountKeys, PositionKeys
from engine.risk.max_daily_trades_exceeded import trades_so_far
from engine.risk.max_position_size_exceeded import Exposure, exposure
from engine.risk.position_unreconciled import nothing_known_of_breaks, open_breaks
from engine.risk.scan import scan
from engine.risk.verdicts import UNAVAILABLE, Verdicts
from engine.settings.variables import RiskConfig

T = TypeVar("T")
_STATEFUL = (
    "duplicate_intent",
    "position_unreconciled",
    "max_daily_trades_exceeded",
    "max_position_size_exceeded",
)


@dataclass(frozen=True)
class Sequence:
    """The scan's results: a verdict per rule and row, the figures, and the errors of rules that raised."""

    allowed: Mask
    verdicts: Mapping[str, Verdicts]
    figures: Mapping[str, Floats]
    raised: Mapping[str, str]


def judge_in_sequence(batch: Batch, inputs: RiskInputs, config: RiskConfig, open_row: Mask) -> Sequence:
    """Return the verdicts of the sequential rules. ``open_row``: rows that no other rule refuses."""
    raised: dict[str, str] = {}
    worst_case = config.position_projection == "worst_case"
    accounts = AccountKeys.of(batch)
    first_row = _attempt("duplicate_intent", lambda: first_rows(batch), raised)
    trades = _attempt("max_daily_trades_exceeded", lambda: trades_so_far(batch, inputs), raised)
    held = _attempt("max_position_size_exceeded", lambda: exposure(batch, inputs), raised)
    taken = _attempt("duplicate_intent", lambda: allowed_before(batch, inputs), raised)
    if first_row is None or taken is None:
        first_row = np.arange(batch.rows, dtype=np.int32)
        open_row, taken = np.zeros(batch.rows, dtype=bool), np.zeros(batch.rows, dtype=bool)
    if trades is None:
        trades = np.full(accounts.count, -1, dtype=np.int64)
    known = _nothing_known(batch.rows) if held is None else held
    breaks = _attempt("position_unreconciled", lambda: open_breaks(known, inputs), raised)
    if breaks is None:
        breaks = nothing_known_of_breaks(known.keys.count)
    buys, sells = known.buys, known.sells
    if not worst_case:
        buys, sells = buys - sells, np.zeros_like(sells)

    repeated, unreconciled, trades_verdict, position_verdict = (
        np.zeros(batch.rows, dtype=np.int8) for _ in range(4)
    )
    trades_before, projected = (np.full(batch.rows, NOT_A_QUANTITY, dtype=np.int64) for _ in range(2))
    allowed = np.zeros(batch.rows, dtype=bool)
    columns = (
        open_row,
        ~batch.is_cancel,
        first_row,
        breaks.watched,
        breaks.state,
        breaks.buys,
        breaks.sells,
        config.fail_open and "position_unreconciled" not in raised,
        accounts.account,
        trades,
        config.max_daily_trades,
        config.fail_open and "max_daily_trades_exceeded" not in raised,
        known.key,
        batch.side,
        batch.qty_units,
        known.position,
        buys,
        sells,
        known.known.copy(),
        int(to_units(np.array([config.max_position_qty], dtype=np.float64))[0]),
        worst_case,
        config.fail_open and "max_position_size_exceeded" not in raised,
        taken,
    )
    out = (repeated, unreconciled, trades_verdict, trades_before, position_verdict, projected, allowed)
    if _attempt("duplicate_intent", lambda: _run_scan(columns, out, batch.rows), raised) is None:
        allowed[:] = False
        raised.update(dict.fromkeys(_STATEFUL, raised["duplicate_intent"]))
    by_rule = (repeated, unreconciled, trades_verdict, position_verdict)
    verdicts = dict(zip(_STATEFUL, by_rule, strict=True))
    for rule in _STATEFUL:
        if rule in raised:
            verdicts[rule][:] = UNAVAILABLE
    return Sequence(allowed, verdicts, _figures(config, known, trades_before, projected), raised)


def _run_scan(columns: tuple[object, ...], out: tuple[np.ndarray, ...], rows: int) -> bool:
    if use_compiled(rows):
        compiled(scan)(*columns, *out)
        return True
    # Item by item, plain Python reads and writes lists several times faster than numpy arrays.
    lists = [column.tolist() for column in out]
    scan(*(c.tolist() if isinstance(c, np.ndarray) else c for c in columns), *lists)
    for column, values in zip(out, lists, strict=True):
        column[:] = values
    return True


def _figures(config: RiskConfig, held: Exposure, trades_before: Ints, projected: Ints) -> dict[str, Floats]:
    current_by_key = np.where(held.position_known, to_shares(held.position), np.nan)
    current_qty = np.append(current_by_key, np.nan)[held.key]
    projected_qty = np.where(projected == NOT_A_QUANTITY, np.nan, to_shares(projected))
    return {
        "current_qty": current_qty,
        "projected_qty": projected_qty,
        "position_limit_qty": np.full(len(projected), config.max_position_qty, dtype=np.float64),
        "trades_today": np.where(trades_before == NOT_A_QUANTITY, np.nan, trades_before),
        "trades_limit": np.full(len(projected), config.max_daily_trades, dtype=np.float64),
    }


def _nothing_known(rows: int) -> Exposure:
    ints, mask = np.zeros(0, np.int64), np.zeros(0, bool)
    no_keys = PositionKeys(np.full(rows, -1, np.int64), {}, {}, None, 0)
    return Exposure(no_keys, ints, mask, ints, ints, mask)


def _attempt(rule: str, prepare: Callable[[], T], raised: dict[str, str]) -> T | None:
    try:
        return prepare()
    except Exception as error:
        raised[rule] = f"{type(error).__name__}: {error}"
        return None
