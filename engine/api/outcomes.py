"""The outcomes of intents, as a frame for the strategies that dropped them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.errors import UsageError
from engine.log import wall_clock
from engine.model.orders import FINAL_STATUSES
from engine.model.quantity import UNITS, round_to_units, to_shares
from engine.record.late_fills import late_fills_of
from engine.record.objects import LocalObjects, Objects
from engine.record.open_orders import left_open
from engine.record.run_folder import BATCH, COLLECTED, DECISIONS, FILLS, RESULTS, RunFolder, RunFolders
from engine.settings.paths import expanded
from engine.settings.variables import read_setting

OUTCOME_COLUMNS = {
    "client_intent_id": "str",
    "strategy_id": "str",
    "broker_account_id": "str",
    "symbol": "str",
    "side": "str",
    "qty": "float64",
    "status": "str",
    "reason": "str",
    "message": "str",
    "is_open": "bool",
    "order_status": "str",
    "filled_qty": "float64",
    "filled_avg_price": "float64",
    "broker_order_id": "str",
    "trading_date": "str",
    "run_id": "str",
    "mode": "str",
    "source_file": "str",
    "source_row": "int64",
}
"""The columns of ``outcomes`` and their dtypes, in order."""
_ELSE = {"is_open": False, "filled_qty": 0.0, "source_row": 0}
_KEY = ["broker_account_id", "client_intent_id"]
_SHORTEST_BEGINNING, _AS_TABLES_PRINT = 4, 12
"""Characters of an id's prefix: the fewest, and the number at which the search ends with the first match."""
_IDS_SHOWN = 5
_OF_BATCH = [
    *_KEY, "strategy_id", "symbol", "side", "qty", "action", "target_intent_id", "source_file", "source_row",
]  # fmt: skip
_OF_RESULTS = [
    "status", "reason", "message", "order_status", "filled_qty", "filled_avg_price", "broker_order_id",
]  # fmt: skip
_OF_FILLS = [*_KEY, "fill_id", "broker_order_id", "side", "qty", "price", "run_id"]


def outcomes(
    strategy_id: str | None = None,
    *,
    ids: Iterable[str] | None = None,
    trading_date: date | str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Return the recorded outcomes of the intents that runs have read.

    One row per intent (account, id and mode), from the newest run that has it; one per quarantined row, and
    one per duplicate. Sorted by run (oldest first), file and row. Columns (text is ``str``, missing is NaN):

    - ``client_intent_id``, ``strategy_id``, ``broker_account_id``, ``symbol``, ``side``, ``qty`` (float64,
      shares; NaN for an order by notional): the intent; for a quarantined row, as far as it can be read. A
      duplicate has the id of the order that it repeats.
    - ``status``: ``rejected``, ``dry_run``, ``placed``, ``broker_rejected``, ``halted``, ``expired``,
      ``unresolved``, ``canceled``, ``cancel_requested``, ``too_late`` as in ``results.parquet``; ``pending``
      in an unfinished run; ``quarantined``; ``duplicate``. ``reason``: ``ok``, or what refused it; for a
      quarantined row the field at fault. ``message``: the explanation as text.
    - ``is_open`` (bool): the next sync or live run looks the order up again. ``order_status``: the broker's
      last reported status.
    - ``filled_qty`` (float64, shares, 0 until something fills), ``filled_avg_price`` (float64, NaN until
      then): including executions after the run, without those of exit legs. ``broker_order_id``.
    - ``trading_date`` (ISO text), ``run_id`` and ``mode`` (``dry`` or ``live``) of the run;
      ``source_file``, ``source_row`` (int64, 0 for a whole file): the place of the row.

    ``strategy_id``: only this strategy. ``ids``: only these, each searched from the newest session back; an
    id, or at least its first 4 characters, where no other id of that session begins with them.
    ``trading_date``: only this session; default: the newest with a run. ``data_dir``: default
    ``EXEC_DATA_DIR``. Intents that no run has read yet have no row: ``execution-engine status`` names their
    files.

    Reads the data folder only, and may be called during a run. Raises ``UsageError`` for a missing data
    folder, and for a prefix of several ids; ``RecordError`` for a damaged record.
    """
    asked = None if ids is None else _AskedIds.of(ids)
    folders = RunFolders(LocalObjects(_data_dir(data_dir)))
    if trading_date is not None:
        sessions = iter([folders.of_day(_session(trading_date))])
    else:
        sessions = folders.by_session(wall_clock().date())
    found: list[pd.DataFrame] = []
    for runs in sessions:
        frame = _of_session(runs, folders.objects)
        if strategy_id is not None:
            frame = frame[frame["strategy_id"] == strategy_id]
        if asked is not None:
            frame = frame[frame["client_intent_id"].isin(asked.found_among(frame["client_intent_id"]))]
        found.insert(0, frame)
        if asked is None or not asked.missing:
            break
    frame = pd.concat(found, ignore_index=True) if found else _empty()
    if asked is None:
        return frame
    return frame[frame["client_intent_id"].isin(asked.meant())].reset_index(drop=True)


@dataclass
class _AskedIds:
    """The ids of a query; ``missing``: those that were not found yet.

    A prefix counts only where no session has it as a whole id, unless it is as long as tables print it.
    ``whole``: ids that were found; ``begun``: by prefix, its ids in the newest session that has any.
    """

    missing: set[str]
    whole: set[str] = field(default_factory=set)
    begun: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, ids: Iterable[str]) -> _AskedIds:
        """Return a query for one id or several."""
        return cls({ids} if isinstance(ids, str) else {str(one) for one in ids})

    def found_among(self, ids: Iterable[object]) -> set[str]:
        """Return the ids of a session that match, and record them."""
        known = {one for one in ids if isinstance(one, str)}
        whole = self.missing & known
        self.whole |= whole
        self.missing = self.missing - whole
        found = set(whole)
        for start in sorted(self.missing):
            if len(start) < _SHORTEST_BEGINNING or start in self.begun:
                continue
            if meant := {one for one in known if one.startswith(start)}:
                self.begun[start] = meant
                found |= meant
                if len(start) >= _AS_TABLES_PRINT:
                    self.missing = self.missing - {start}
        return found

    def meant(self) -> set[str]:
        """Return the matching ids, once all sessions are read.

        Raises ``UsageError`` for a prefix of several ids.
        """
        meant = set(self.whole)
        for start, ids in self.begun.items():
            if start in self.whole:
                continue
            if len(ids) > 1:
                more = "" if len(ids) <= _IDS_SHOWN else " …"
                some = ", ".join(sorted(ids)[:_IDS_SHOWN])
                raise UsageError(
                    f"{start!r} is the beginning of {len(ids)} ids: {some}{more}. Give more characters."
                )
            meant |= ids
        return meant


def _data_dir(data_dir: str | os.PathLike[str] | None) -> Path:
    place = Path(
        read_setting("EXEC_DATA_DIR", os.environ) if data_dir is None else expanded(os.fspath(data_dir))
    )
    if not place.is_dir():
        raise UsageError(
            f"there is no data folder {str(place)!r}. Name that of the runs as data_dir, or in EXEC_DATA_DIR."
        )
    return place


def _session(text: date | str) -> date:
    try:
        return date.fromisoformat(str(text)[:10])
    except ValueError:
        raise UsageError(f"trading_date is {text!r}; expected a session such as 2026-03-02.") from None


def _of_session(runs: Sequence[RunFolder], objects: Objects) -> pd.DataFrame:
    """Return the outcomes of a session's runs, oldest first."""
    collected = [(run, run.names()) for run in runs]
    collected = [(run, names) for run, names in collected if {COLLECTED, BATCH} <= names]
    intents = _typed([_of_run(run, names) for run, names in collected], ["action", "target_intent_id"])
    newest = intents.drop_duplicates([*_KEY, "mode"], keep="last", ignore_index=True)
    intents = _as_of_now(newest, objects)
    aside = [_set_aside(run, intents) for run, _ in collected]
    frame = _typed([intents, *aside], [])
    order = frame["run_id"].map({run.run_id: place for place, (run, _) in enumerate(collected)})
    frame = frame.assign(order=order).sort_values(["order", "source_file", "source_row"], kind="stable")
    return frame[list(OUTCOME_COLUMNS)].reset_index(drop=True)


def _of_run(run: RunFolder, names: set[str]) -> pd.DataFrame:
    """Return a run's intents with their results, or with what an unfinished run has recorded so far."""
    frame = run.table(BATCH, _OF_BATCH).to_pandas()
    if RESULTS in names:
        results = run.table(RESULTS, _OF_RESULTS).to_pandas()
        frame = pd.concat([frame, results], axis=1)
    elif DECISIONS in names:
        decisions = run.table(DECISIONS, ["allowed", "reason"]).to_pandas()
        status = np.where(decisions["allowed"], "pending", "rejected")
        message = np.where(
            decisions["allowed"], "allowed; its run is not finished", "refused; nothing is sent"
        )
        frame = frame.assign(status=status, reason=decisions["reason"], message=message)
    else:
        frame = frame.assign(status="pending", message="not decided yet")
    return frame.assign(**_of_start(run))


def _of_start(run: RunFolder) -> dict[str, str]:
    """Return the columns that are the same for all rows of a run."""
    return {"run_id": run.run_id, "trading_date": run.trading_date.isoformat(), "mode": run.start["mode"]}


def _typed(frames: Sequence[pd.DataFrame], also: list[str]) -> pd.DataFrame:
    """Return the concatenated frames with the typed columns of the contract and ``also`` (text)."""
    types = {**OUTCOME_COLUMNS, **dict.fromkeys(also, "str")}
    typed = []
    for frame in frames:
        whole = frame.reindex(columns=list(types)).astype("object")
        filled = {name: whole[name].where(whole[name].notna(), value) for name, value in _ELSE.items()}
        whole = whole.assign(**filled)
        typed.append(whole.astype(types))
    return pd.concat(typed, ignore_index=True) if typed else _empty(types)


def _empty(types: dict[str, str] | None = None) -> pd.DataFrame:
    types = OUTCOME_COLUMNS if types is None else types
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in types.items()})


def _as_of_now(intents: pd.DataFrame, objects: Objects) -> pd.DataFrame:
    """Return intents with what later syncs and cancels found for orders that their run left open."""
    was_open = (intents["status"] == "unresolved") | (
        (intents["status"] == "placed") & ~intents["order_status"].isin(FINAL_STATUSES)
    )
    if not intents["status"].isin(["placed", "unresolved"]).any():
        return intents
    looked_for = {
        (left.run_id, one.intent.broker_account_id, one.intent.client_intent_id)
        for left in left_open(objects)
        for one in left.orders
    }
    keys = zip(*(intents[name] for name in ("run_id", *_KEY)), strict=True)
    intents = intents.assign(is_open=[key in looked_for for key in keys])
    intents = _with_late_fills(intents, was_open, objects)
    canceled = intents[(intents["action"] == "cancel") & (intents["status"] == "canceled")]
    withdrawn = set(zip(canceled["broker_account_id"], canceled["target_intent_id"], strict=True))
    keys = zip(*(intents[name] for name in _KEY), strict=True)
    is_withdrawn = np.array([key in withdrawn for key in keys])
    intents.loc[was_open & is_withdrawn & (intents["order_status"] != "filled"), "order_status"] = "canceled"
    return intents


def _with_late_fills(intents: pd.DataFrame, was_open: pd.Series, objects: Objects) -> pd.DataFrame:
    """Return intents with the executions that came after their run, where its results lack them."""
    run_ids = set(intents.loc[was_open, "run_id"])
    tables = [table.select(_OF_FILLS).to_pandas() for table in late_fills_of(objects, run_ids)]
    if not tables:
        return intents
    own = _recorded_fills(objects, intents[intents["run_id"].isin(run_ids)])
    text = dict.fromkeys([*_KEY, "fill_id", "broker_order_id", "side", "run_id"], "str")
    fills = pd.concat([*own, *tables], ignore_index=True).astype(text).drop_duplicates("fill_id")
    orders = intents.loc[was_open, [*_KEY, "run_id", "side", "broker_order_id"]].reset_index(names="place")
    late = fills.merge(orders, on=[*_KEY, "run_id", "side"], suffixes=("", "_known"))
    late = late[
        late["broker_order_id_known"].isna() | (late["broker_order_id_known"] == late["broker_order_id"])
    ]
    late = late.assign(units=round_to_units(late["qty"].to_numpy()), paid=late["qty"] * late["price"])
    asked, recorded = (round_to_units(intents[name].to_numpy()) for name in ("qty", "filled_qty"))
    for place, group in late.groupby("place"):
        units = group["units"].sum()
        if units <= recorded[place]:
            continue
        intents.at[place, "filled_qty"] = to_shares(np.array([units]))[0]
        intents.at[place, "filled_avg_price"] = group["paid"].sum() / units * UNITS
        intents.at[place, "broker_order_id"] = group["broker_order_id"].iloc[0]
        intents.at[place, "status"], intents.at[place, "reason"] = "placed", "ok"
        is_whole = units == asked[place]
        intents.at[place, "order_status"] = "filled" if is_whole else "partially_filled"
        intents.at[place, "message"] = "executions after the end of its run are counted in"
    return intents


def _recorded_fills(objects: Objects, intents: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the executions that the runs of these intents have recorded."""
    runs = intents[["trading_date", "run_id"]].drop_duplicates().itertuples(index=False)
    folders = [RunFolder(objects, date.fromisoformat(day), run_id) for day, run_id in runs]
    return [
        folder.table(FILLS, [name for name in _OF_FILLS if name != "run_id"])
        .to_pandas()
        .assign(run_id=folder.run_id)
        for folder in folders
        if FILLS in folder.names()
    ]


def _set_aside(run: RunFolder, intents: pd.DataFrame) -> pd.DataFrame:
    """Return a run's quarantined rows and duplicates."""
    collected = run.json(COLLECTED)
    rows = [_quarantined(record) for record in collected["refused"]]
    if collected["duplicates"]:
        named = intents[[*_KEY, "strategy_id", "symbol", "side", "qty"]]
        known = {tuple(row[:2]): row[2:] for row in named.itertuples(index=False, name=None)}
        rows += [_duplicate(record, known) for record in collected["duplicates"]]
    frame = pd.DataFrame(rows, columns=list(OUTCOME_COLUMNS), dtype="object")
    return frame.assign(**_of_start(run))


def _quarantined(record: dict[str, Any]) -> dict[str, Any]:
    held = record["raw"]
    fields = {
        name: None if held.get(name) is None else str(held[name])
        for name in ("client_intent_id", "strategy_id", "broker_account_id", "symbol", "side")
    }
    return {
        **fields,
        "qty": pd.to_numeric(str(held.get("qty")), errors="coerce"),
        "status": "quarantined",
        "reason": record["field"],
        "message": record["message"],
        "source_file": record["file"],
        "source_row": record["row"],
    }


def _duplicate(record: dict[str, Any], known: dict[tuple[Any, ...], tuple[Any, ...]]) -> dict[str, Any]:
    key = (record["broker_account_id"], record["client_intent_id"])
    names = ("strategy_id", "symbol", "side", "qty")
    return {
        **dict(zip(_KEY, key, strict=True)),
        **dict(zip(names, known.get(key, (None, None, None, np.nan)), strict=True)),
        "status": "duplicate",
        "reason": "duplicate",
        "message": record["message"],
        "source_file": record["file"],
        "source_row": record["row"],
    }
