"""The two kinds of flips as frames: other decisions, and other outcomes of the same decision.

An order that was placed and is now ``expired`` was allowed both times: the limit on the age of intents, for
example, is checked again just before an order is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from engine.model.quantity import Ints, Mask, round_to_units
from engine.model.schema import FIGURES
from replay.context import CONTEXT, context
from replay.recorded import Recording

_OUTCOME = ("status", "reason", "order_status", "filled_qty")
_TEXTS = _OUTCOME[:3]


@cache
def flips_schema() -> pd.DataFrame:
    """Return an empty ``flips``."""
    figures = [name for figure in FIGURES for name in (figure, f"recorded_{figure}")]
    return _empty(
        {
            **CONTEXT,
            **dict.fromkeys(["direction", "rule", "cause"], "str"),
            **dict.fromkeys(["allowed", "recorded_allowed"], "bool"),
            **dict.fromkeys(["reason", "recorded_reason"], "str"),
            **dict.fromkeys(["limit_source", "recorded_limit_source"], "str"),
            **dict.fromkeys(figures, "float64"),
        }
    )


@cache
def outcome_flips_schema() -> pd.DataFrame:
    """Return an empty ``outcome_flips``."""
    names = [name for one in _OUTCOME for name in (one, f"recorded_{one}")]
    types = {name: "float64" if name.endswith("filled_qty") else "str" for name in names}
    return _empty({**CONTEXT, "outcome": "str", "cause": "str", **types, "source": "str"})


def outcome_differs(results: pd.DataFrame) -> Mask:
    """Return the rows whose status, order status or filled quantity isn't the recorded one."""
    differs = np.zeros(len(results), dtype=bool)
    for name in ("status", "order_status"):
        differs |= results[name].to_numpy() != results[f"recorded_{name}"].to_numpy()
    now, then = (results[name].to_numpy(dtype=float) for name in ("filled_qty", "recorded_filled_qty"))
    return np.asarray(differs | (round_to_units(now) != round_to_units(then)))


def outcome_flips(
    recordings: Sequence[Recording], results: pd.DataFrame, rows: Ints, causes: Any
) -> pd.DataFrame:
    """Return ``Comparison.outcome_flips`` for the intents at ``rows``, from their ``results``."""
    results = results.reset_index(drop=True)
    then, now = (_status_text(results, prefix) for prefix in ("recorded_", ""))
    columns = {
        **context(recordings, rows),
        "outcome": then + " -> " + now,
        "cause": causes,
        **{name: results[name] for one in _OUTCOME for name in (one, f"recorded_{one}")},
        "source": results["source"],
    }
    return pd.DataFrame(columns)


def _status_text(results: pd.DataFrame, prefix: str) -> pd.Series:
    """Return each status; of a placed order with the order's own status: ``placed (filled)``."""
    status = results[f"{prefix}status"].astype("str")
    order = results[f"{prefix}order_status"].astype("str")
    return status.where((status != "placed") | (order == ""), status + " (" + order + ")")


def _empty(types: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in types.items()})
