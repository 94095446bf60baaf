"""What stood beside the limits in a run: trading states and overrides, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from engine.errors import RecordError
from engine.record.run_folder import RunFolder
from engine.safety.trading_states import HALTED, REDUCING, TradingState

_ABOUT = ("client_intent_id", "strategy_id", "symbol")


def states_of(folder: RunFolder) -> list[TradingState]:
    """Return the trading states in a run's recorded inputs."""
    rows = _rows(folder, "trading_states")
    return [TradingState(**{**row, "since": row["since"].isoformat()}) for row in rows]


def overrides_of(folder: RunFolder) -> list[Any]:
    """Return the overrides (``engine.risk.override_file.Override``) in a run's recorded inputs."""
    rows = _rows(folder, "overrides")
    if not rows:
        return []
    from engine.risk.override_file import Override

    found = []
    for row in rows:
        about = next((name for name in _ABOUT if row[name]), _ABOUT[0])
        texts = {name: str(row[name]) for name in ("rule", "approved_by", "why", "file")}
        session = date.fromisoformat(row["expires_on"])
        found.append(Override(about=about, name=str(row[about]), expires_on=session, **texts))
    return found


def expired_of(folder: RunFolder) -> list[str]:
    """Return the overrides that a run set aside, in words."""
    return [str(one["text"]) for one in folder.start.get("expired_overrides", ())]


def record_of(folder: RunFolder) -> dict[str, Any]:
    """Return the overrides of a run for machines."""
    return {
        "overrides": [one.row() for one in overrides_of(folder)],
        "expired_overrides": folder.start.get("expired_overrides", []),
    }


def why_overridden(row: Mapping[str, Any], overrides: list[Any]) -> list[str]:
    """Return which overrides let an intent pass a rule that it fails, in words."""
    waived = str(row.get("overridden") or "")
    return [
        f"Overridden: {one}"
        for one in overrides
        if waived and one.rule == waived and str(row[one.about]) == one.name
    ]


def why_halted(row: Mapping[str, Any], states: list[TradingState]) -> str:
    """Return which halted scope an intent is in, "" where it is in none."""
    return next((f"{one}; {one.remedy} ends that" for one in _in_scope(row, states, HALTED)), "")


def why_reducing(row: Mapping[str, Any], states: list[TradingState]) -> str:
    """Return which reducing scope an intent is in that does not reduce a position, "" where it is in none."""
    found = (f"{one}, and it does not reduce a position" for one in _in_scope(row, states, REDUCING))
    return next(found, "")


def _in_scope(row: Mapping[str, Any], states: list[TradingState], state: str) -> list[TradingState]:
    order = {"account": row["broker_account_id"], "symbol": row["symbol"], "strategy": row["strategy_id"]}
    return [one for one in states if one.state == state and one.of.has(**order)]


def _rows(folder: RunFolder, name: str) -> list[dict[str, Any]]:
    if f"{name}.parquet" not in folder.names():
        return []
    try:
        rows: list[dict[str, Any]] = folder.table(f"{name}.parquet").to_pylist()
    except RecordError:  # the other files of the run are reported as damaged
        return []
    return rows
