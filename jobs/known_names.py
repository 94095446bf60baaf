"""The names that intents of the latest runs had, to warn of one that none of them had."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from difflib import get_close_matches
from itertools import islice

import pyarrow as pa

from engine.errors import EngineError
from engine.record.objects import Objects
from engine.record.run_folder import BATCH, RunFolder, RunFolders
from engine.safety.trading_states import Scope, Scoped

RUNS_READ = 20
_COLUMNS = {Scope.STRATEGY: "strategy_id", Scope.SYMBOL: "symbol", Scope.ACCOUNT: "broker_account_id"}


def remark_on(scoped: Scoped, objects: Objects) -> str:
    """Return a warning where no intent of the latest runs had a name, "" where one had it.

    It is "" as well where there are no such runs, or where they can't be read.
    """
    if not scoped.name:
        return ""
    column = _COLUMNS[scoped.scope]
    try:
        known = set().union(*_names(objects, column))
    except (EngineError, OSError):
        return ""
    if not known or scoped.name in known:
        return ""
    by_fold = {name.casefold(): name for name in known}
    close = get_close_matches(scoped.name.casefold(), list(by_fold), n=1)
    hint = f"Did you mean {by_fold[close[0]]}?" if close else f"They have {_some(known)}."
    return f"No intent of the latest runs names {scoped}. {hint} Names count exactly as they are written."


def _names(objects: Objects, column: str) -> Iterator[set[str]]:
    batches = (folder for folder in _newest_first(objects) if BATCH in folder.names())
    for folder in islice(batches, RUNS_READ):
        values = folder.table(BATCH, [column])[column].unique().cast(pa.string()).to_pylist()
        yield {value for value in values if value}


def _newest_first(objects: Objects) -> Iterator[RunFolder]:
    runs = RunFolders(objects)
    for session in sorted(objects.folders("runs/"), reverse=True):
        try:
            day = date.fromisoformat(session)
        except ValueError:
            continue
        yield from reversed(runs.of_day(day))


def _some(known: set[str]) -> str:
    first = sorted(known)[:5]
    return ", ".join(first) + (", …" if len(known) > len(first) else "")
