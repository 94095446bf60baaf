"""The rows of a run, joined from its tables, and the inputs of its decisions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from engine.record.run_folder import BATCH, DECISIONS, INPUTS, RESULTS, RunFolder
from engine.record.sealed_limits import config_of
from engine.run.risk_inputs import as_of_of
from jobs.quote_words import unvalued
from jobs.stops_and_overrides import overrides_of, states_of


def rows(folder: RunFolder, places: Sequence[int]) -> list[dict[str, Any]]:
    """Return intents of a run: batch, decision and result columns of the rows at ``places``.

    ``reason`` is the decision's, ``outcome_reason`` the result's.
    """
    wanted = pa.array(places, type=pa.int64())
    parts = [folder.table(name).take(wanted).to_pylist() for name in (RESULTS, BATCH, DECISIONS)]
    return [
        {**result, **intent, **decision, "outcome_reason": result["reason"]}
        for result, intent, decision in zip(*parts, strict=True)
    ]


def rows_so_far(folder: RunFolder, places: Sequence[int]) -> list[dict[str, Any]]:
    """Return intents of a run, finished or not, with the columns that exist; see ``rows``."""
    names = folder.names()
    if names >= {RESULTS, DECISIONS}:
        return rows(folder, places)
    wanted = pa.array(places, type=pa.int64())
    parts = [folder.table(name).take(wanted).to_pylist() for name in (BATCH, DECISIONS) if name in names]
    return [{name: value for part in row for name, value in part.items()} for row in zip(*parts, strict=True)]


def judged(folder: RunFolder, *, allowed: bool, at_most: int) -> tuple[list[dict[str, Any]], int]:
    """Return the first allowed or refused intents of a run, and their number."""
    verdicts = folder.table(DECISIONS, ["allowed"])["allowed"].to_numpy()
    places = np.flatnonzero(verdicts == allowed)
    return rows(folder, places[:at_most].tolist()), len(places)


def context(folder: RunFolder) -> dict[str, Any]:
    """Return the inputs of a run's decisions, as ``jobs.wording`` needs them."""
    inputs = folder.json(INPUTS)
    return {
        "as_of": as_of_of(folder),
        "config": folder.start["config"],
        "limits": config_of(folder),
        "kill_switch": inputs["kill_switch"],
        "kill_switch_why": inputs["kill_switch_why"],
        "unavailable": inputs["unavailable"],
        "down": inputs.get("down", {}),
        "trading_states": states_of(folder),
        "overrides": overrides_of(folder),
        "unvalued": cache(lambda: unvalued(folder)),
    }
