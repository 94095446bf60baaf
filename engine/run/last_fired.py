"""When each limit last refused an order: in this run, or as the runs before it recorded."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pandas as pd

from engine.context import RunContext
from engine.errors import EngineError
from engine.record.run_folder import UTILISATION, RunFolder

RUNS, SESSIONS = 2, 10
"""The runs before this one that are read (each knows of those before it), and the sessions they are in."""

_LEVEL = ["rule", "level"]


def with_last_fired(used: pd.DataFrame, folder: RunFolder, context: RunContext) -> pd.DataFrame:
    """Return a run's utilisation with ``last_fired``: the session (ISO) of the latest refusal by the level.

    Missing where neither this run nor the last ``RUNS`` of its mode have one.
    """
    fired: dict[tuple[str, str], str] = {
        (rule, level): folder.trading_date.isoformat()
        for (rule, level), refused in used.groupby(_LEVEL)["refused"].sum().items()
        if refused
    }
    missing = set(used[_LEVEL].itertuples(index=False, name=None)) - set(fired)
    for before in _earlier(folder, context):
        if not missing:
            break
        known = before[before["last_fired"].notna()]
        for row in known[[*_LEVEL, "last_fired"]].drop_duplicates().itertuples(index=False, name=None):
            if row[:2] in missing:
                fired[row[:2]] = row[2]
                missing.discard(row[:2])
    levels = used[_LEVEL].itertuples(index=False, name=None)
    sessions = pd.Series([fired.get(level) for level in levels], index=used.index, dtype="str")
    return used.assign(last_fired=sessions)


def _earlier(folder: RunFolder, context: RunContext) -> Iterator[pd.DataFrame]:
    """Yield the utilisation of the last runs of the same mode before a run, newest first.

    A run that can't be read is left out: a figure of the past must not stop a run.
    """
    found = 0
    for runs in islice(context.runs.by_session(folder.trading_date), SESSIONS):
        for run in reversed(runs):
            if (run.trading_date, run.run_id) >= (folder.trading_date, folder.run_id):
                continue
            try:
                if UTILISATION not in run.names() or run.start["mode"] != folder.start["mode"]:
                    continue
                known = run.table(UTILISATION).to_pandas()
            except EngineError:
                continue
            yield known
            found += 1
            if found == RUNS:
                return
