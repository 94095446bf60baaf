"""A finished run as frames for people: its rows side by side, and what they were judged by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from engine.deciding import as_of_of
from engine.stores.runs import BATCH, DECISIONS, INPUTS, RESULTS, RunFolder


def intents(folder: RunFolder) -> pd.DataFrame:
    """Give batch, decisions and results of a run side by side, in the sealed order."""
    decisions = folder.table(DECISIONS).to_pandas().drop(columns="client_intent_id")
    results = folder.table(RESULTS).to_pandas().drop(columns=["client_intent_id", "reason"])
    return pd.concat([folder.table(BATCH).to_pandas(), decisions, results], axis=1)


def rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Give a frame's rows, few as they are by now, as dictionaries."""
    yield from frame.to_dict(orient="records")


def context(folder: RunFolder) -> dict[str, Any]:
    """Give what the rows of a run were judged by, as ``jobs.wording`` needs it."""
    inputs = folder.json(INPUTS)
    return {
        "as_of": as_of_of(folder),
        "config": folder.start["config"],
        "kill_switch_why": inputs["kill_switch_why"],
        "unavailable": inputs["unavailable"],
    }
