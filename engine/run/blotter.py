"""End of day: the record of a session's live runs, as frames to compare with a broker's statement.

Pure: it reads run folders, and no broker or store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from engine.model.schema import fills_schema
from engine.record.run_folder import BATCH, COLLECTED, DECISIONS, FILLS, MANIFEST, RESULTS, RunFolder
from engine.routing.outcomes import counted_outcomes

BASIS_POINTS = 10_000
BLOTTER = (
    "trading_date", "filled_at", "broker_account_id", "strategy_id", "symbol", "side", "qty", "price",
    "notional_usd", "reference_price", "slippage_bps", "client_intent_id", "broker_order_id", "fill_id",
    "run_id",
)  # fmt: skip
"""The columns of the trade blotter, one row per execution."""
REJECTED = ("broker_account_id", "strategy_id", "client_intent_id", "action", "symbol", "reason", "message")
"""The columns of orders that the broker rejected."""
SESSION = "session"
"""The ``run_id`` of identities of the whole session."""
ROWS_ADD_UP = "rows dropped = sum of what became of them"
_KEYS = ["broker_account_id", "strategy_id"]


@dataclass(frozen=True)
class Day:
    """The record of a session.

    ``blotter``: see ``BLOTTER``; ``qty`` in shares, ``price`` and ``notional_usd`` in USD, ``slippage_bps``
    against ``reference_price``, positive for a cost. ``summary``: a row per account and strategy.
    ``refused``: counts by account, strategy and reason. ``rejected``: what the broker rejected, a row per
    intent, see ``REJECTED``. ``rows``: counts of all dropped rows by ``outcome`` (quarantined, duplicate, a
    status of ``results.parquet``, not_withdrawn, unfinished). ``identities``: those of every run's manifest,
    by run, and that of ``rows``, of the session.
    """

    runs: tuple[str, ...]
    blotter: pd.DataFrame
    summary: pd.DataFrame
    refused: pd.DataFrame
    rejected: pd.DataFrame
    rows: pd.DataFrame
    identities: pd.DataFrame

    @property
    def adds_up(self) -> bool:
        """Return whether every identity of every run holds."""
        return bool(self.identities["holds"].all())


def day_of(runs: Sequence[RunFolder], late_fills: Sequence[pa.Table] = (), *, mode: str = "live") -> Day:
    """Return the record of a session from its live runs, or its dry ones (``mode``).

    ``late_fills``: executions that later runs and syncs found, with the columns of ``fills.parquet``; one
    that is reported twice counts once.
    """
    of_day = [run for run in runs if run.start["mode"] == mode and COLLECTED in run.names()]
    live = [run for run in of_day if MANIFEST in run.names()]
    rows = pd.concat([_rows(run) for run in live], ignore_index=True) if live else _no_rows()
    blotter = _blotter(live, late_fills)
    return Day(
        runs=tuple(run.run_id for run in live),
        blotter=blotter,
        summary=_summary(rows, blotter),
        refused=_refused(rows),
        rejected=pd.concat([_no_rejected(), *map(_rejected, live)], ignore_index=True),
        rows=(came_of := _came_of(of_day)),
        identities=_identities(live, of_day, came_of),
    )


def _rows(run: RunFolder) -> pd.DataFrame:
    """Return a run's intents with their decisions and results."""
    batch = run.table(BATCH, [*_KEYS, "action"]).to_pandas()
    decisions = run.table(DECISIONS, ["allowed", "reason"]).to_pandas()
    results = run.table(RESULTS, ["attempted"]).to_pandas()
    is_cancel = batch.pop("action").astype("str") == "cancel"
    attempted = results.pop("attempted").to_numpy()
    results = results.assign(ordered=attempted & ~is_cancel, canceled=attempted & is_cancel)
    return pd.concat([batch, decisions, results], axis=1).astype(dict.fromkeys([*_KEYS, "reason"], "str"))


def _no_rows() -> pd.DataFrame:
    flags = ("allowed", "ordered", "canceled")
    types = {**dict.fromkeys([*_KEYS, "reason"], "str"), **dict.fromkeys(flags, "bool")}
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in types.items()})


def _blotter(runs: Sequence[RunFolder], late_fills: Sequence[pa.Table]) -> pd.DataFrame:
    reported = [
        run.table(FILLS).to_pandas().assign(run_id=run.run_id) for run in runs if FILLS in run.names()
    ]
    reported += [table.to_pandas() for table in late_fills]
    texts = ["broker_account_id", "strategy_id", "symbol", "side", "trading_date"]
    frame = pd.concat([_no_fills(), *reported], ignore_index=True).drop_duplicates("fill_id")
    frame = frame.astype({**dict.fromkeys(texts, "str"), "reference_price": "float64"})
    if runs:  # runs may have recorded executions after their session
        frame = frame[frame["trading_date"] == runs[0].trading_date.isoformat()]
    sign = np.where(frame["side"] == "buy", 1.0, -1.0)
    slippage = sign * (frame["price"] - frame["reference_price"]) / frame["reference_price"] * BASIS_POINTS
    frame = frame.assign(notional_usd=frame["qty"] * frame["price"], slippage_bps=slippage)
    return frame[list(BLOTTER)].sort_values(["filled_at", "fill_id"], ignore_index=True)


def _no_fills() -> pd.DataFrame:
    frame: pd.DataFrame = fills_schema().empty_table().to_pandas()
    return frame.assign(run_id=pd.Series(dtype="str"))


def _summary(rows: pd.DataFrame, blotter: pd.DataFrame) -> pd.DataFrame:
    """Return counts and sums by account and strategy; slippage is weighted by notional."""
    counts = rows.groupby(_KEYS, as_index=False).agg(
        intents=("allowed", "size"),
        allowed=("allowed", "sum"),
        orders=("ordered", "sum"),
        cancels=("canceled", "sum"),
    )
    if blotter.empty:
        return counts.assign(fills=0, bought_usd=0.0, sold_usd=0.0, turnover_usd=0.0, slippage_bps=np.nan)
    traded = blotter.assign(
        bought_usd=blotter["notional_usd"].where(blotter["side"] == "buy", 0.0),
        sold_usd=blotter["notional_usd"].where(blotter["side"] != "buy", 0.0),
        compared_usd=blotter["notional_usd"].where(blotter["slippage_bps"].notna(), 0.0),
        cost=(blotter["slippage_bps"] * blotter["notional_usd"]).fillna(0.0),
    )
    sums = traded.groupby(_KEYS, as_index=False).agg(
        fills=("fill_id", "size"), bought_usd=("bought_usd", "sum"), sold_usd=("sold_usd", "sum"),
        turnover_usd=("notional_usd", "sum"), compared_usd=("compared_usd", "sum"), cost=("cost", "sum"),
    )  # fmt: skip
    sums = sums.assign(slippage_bps=sums["cost"] / sums["compared_usd"].where(sums["compared_usd"] > 0))
    merged = counts.merge(sums.drop(columns=["compared_usd", "cost"]), on=_KEYS, how="outer")
    whole = ["intents", "allowed", "orders", "cancels", "fills"]
    return merged.fillna(dict.fromkeys([*whole, "bought_usd", "sold_usd", "turnover_usd"], 0)).astype(
        dict.fromkeys(whole, "int64")
    )


def _refused(rows: pd.DataFrame) -> pd.DataFrame:
    refused = rows.loc[~rows["allowed"].astype(bool)]
    return refused.groupby([*_KEYS, "reason"], as_index=False).agg(intents=("allowed", "size"))


def _rejected(run: RunFolder) -> pd.DataFrame:
    """Return the intents whose order the broker rejected, at once or after acceptance, and why."""
    results = run.table(RESULTS, ["status", "reason", "message"])
    batch = run.table(BATCH, [*_KEYS, "client_intent_id", "action", "symbol"])
    is_rejected = pc.equal(results["status"].cast(pa.string()), "broker_rejected")
    if not pc.any(is_rejected).as_py():
        return _no_rejected()
    found = [table.filter(is_rejected).to_pandas() for table in (batch, results.drop_columns("status"))]
    return pd.concat(found, axis=1)[list(REJECTED)].astype("str")


def _no_rejected() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype="str") for name in REJECTED})


def _came_of(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """Return counts of the outcomes of all collected rows, from the row-by-row record."""
    counts: dict[str, int] = {}
    for run in runs:
        rows = run.json(COLLECTED)["rows"]
        found = {"quarantined": rows["quarantined"], "duplicate": rows["duplicate"]}
        if MANIFEST in run.names():
            found |= counted_outcomes(run.table(RESULTS, ["status", "reason"]))
        else:
            found["unfinished"] = rows["batched"]
        for outcome, count in found.items():
            counts[outcome] = counts.get(outcome, 0) + count
    reported = [(outcome, count) for outcome, count in counts.items() if count]
    return pd.DataFrame(reported, columns=["outcome", "rows"]).astype({"outcome": "str", "rows": "int64"})


def _identities(
    runs: Sequence[RunFolder], of_day: Sequence[RunFolder], came_of: pd.DataFrame
) -> pd.DataFrame:
    reported: list[dict[str, Any]] = [
        {"run_id": run.run_id, **identity} for run in runs for identity in run.json(MANIFEST)["identities"]
    ]
    dropped, accounted = sum(run.json(COLLECTED)["rows"]["dropped"] for run in of_day), came_of["rows"].sum()
    reported.append(
        {
            "run_id": SESSION,
            "name": ROWS_ADD_UP,
            "left": int(dropped),
            "right": int(accounted),
            "holds": bool(dropped == accounted),
        }
    )
    frame = pd.DataFrame(reported, columns=["run_id", "name", "left", "right", "holds"])
    return frame.astype({"holds": "bool"})
