"""What execution cost: each order's fills against the quotes of its decision and of its sending.

Pure: it reads run folders, and no broker or store. Every figure is NaN where the record does not have what it
needs; a cost is positive, a gain negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.model.orders import FINAL_STATUSES
from engine.model.schema import JUDGED_QUOTE, SENT_QUOTE
from engine.record.run_folder import BATCH, RESULTS, RunFolder
from engine.routing.outcomes import ACCOUNT_DOWN
from engine.run.blotter import BASIS_POINTS

ORDERS = (
    "run_id", "strategy_id", "broker_account_id", "client_intent_id", "symbol", "side", "wanted_qty",
    "filled_qty", "filled_price", "decision_price", "decision_from", "arrival_price", "spread_bps",
    "slippage_bps", "arrival_cost_usd", "half_spread_usd", "executed_usd", "unfilled_qty", "last_price",
    "unfilled_usd", "shortfall_usd", "shortfall_bps", "is_working",
)  # fmt: skip
"""The columns of ``execution_quality``."""
METHODS = {
    "decision price": "the middle of bid and ask of the quote by which the order was judged; without one, "
    "the reference_price that its strategy named",
    "arrival price": "the middle of bid and ask of the quote when the order was sent",
    "spread at arrival": "ask less bid of that quote, in basis points of its middle",
    "slippage": "average fill price less arrival price, in basis points of the arrival price, positive for a "
    "cost; averages are weighted by what was filled at the arrival price",
    "implementation shortfall": "what was filled at its price less the decision price, and what was not "
    "filled at the last price less the decision price, in USD and in basis points of the wanted quantity at "
    "the decision price, without fees",
    "last price": "the middle of the last quote of the symbol that the runs recorded after the decision",
}
"""How each figure is computed, in one sentence."""
_BATCH = (
    "strategy_id", "broker_account_id", "client_intent_id", "symbol", "side", "qty", "notional", "action",
    "reference_price",
)  # fmt: skip
_COSTS = ("arrival_cost_usd", "executed_usd", "unfilled_usd", "shortfall_usd")
_RESULTS = ("status", "reason", "order_status", "attempted")


def execution_quality(runs: Sequence[RunFolder], blotter: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each order that live runs sent, with the columns ``ORDERS``.

    ``runs``: finished live runs of one session. ``blotter``: their executions (``engine.run.blotter``); what
    was executed on the other side, an exit, is no part of its order's cost. ``arrival_cost_usd`` is the cost
    against the arrival price, ``half_spread_usd`` the part of it that the spread explains. What a risk rule
    refused is no order.
    """
    if not runs:
        return pd.DataFrame({name: pd.Series(dtype="float64") for name in ORDERS})
    rows = pd.concat([_rows(run) for run in runs], ignore_index=True)
    orders = rows[rows["attempted"] & (rows["action"] != "cancel")].reset_index(drop=True)
    orders = orders.merge(
        _filled(blotter), on=["run_id", "broker_account_id", "client_intent_id", "side"], how="left"
    )
    return _costs(orders, _last_quotes(rows))[list(ORDERS)]


def totals(orders: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return sums and averages of ``execution_quality`` by some columns.

    Averages are weighted by USD; ``known`` counts the orders whose shortfall is known, of ``orders``. A sum
    is NaN where no order's figure is known, and is that of the known ones.
    """
    filled_usd = orders["filled_qty"] * orders["arrival_price"]
    compared = filled_usd.where(orders["slippage_bps"].notna())
    wanted = (orders["wanted_qty"] * orders["decision_price"]).where(orders["shortfall_usd"].notna())
    weighed = orders.assign(
        compared_usd=compared,
        slippage=orders["slippage_bps"] * compared,
        spread_usd=filled_usd.where(orders["spread_bps"].notna()),
        spread=orders["spread_bps"] * filled_usd,
        wanted_usd=wanted,
        traded_usd=orders["filled_qty"] * orders["filled_price"],
        known=orders["shortfall_usd"].notna(),
    )
    summed = ["compared_usd", "slippage", "spread_usd", "spread", "wanted_usd", "traded_usd", *_COSTS]
    groups = weighed.groupby(list(by), sort=True)
    sums = groups[summed].sum(min_count=1)
    return pd.DataFrame(
        {
            "orders": groups.size(),
            "known": groups["known"].sum(),
            "traded_usd": sums["traded_usd"],
            "spread_bps": sums["spread"] / sums["spread_usd"].where(sums["spread_usd"] > 0),
            "slippage_bps": sums["slippage"] / sums["compared_usd"].where(sums["compared_usd"] > 0),
            **{name: sums[name] for name in _COSTS},
            "shortfall_bps": sums["shortfall_usd"]
            / sums["wanted_usd"].where(sums["wanted_usd"] > 0)
            * BASIS_POINTS,
        }
    ).reset_index()


def _rows(run: RunFolder) -> pd.DataFrame:
    """Return a run's intents with their outcomes and quotes; older records have no quotes."""
    batch = run.table(BATCH, list(_BATCH)).to_pandas()
    results = run.table(RESULTS).to_pandas()
    quotes = results.reindex(columns=[*JUDGED_QUOTE, *SENT_QUOTE])
    frame = pd.concat([batch, results[list(_RESULTS)], quotes], axis=1)
    texts = (
        "strategy_id",
        "broker_account_id",
        "symbol",
        "side",
        "action",
        "status",
        "reason",
        "order_status",
    )
    times = {name: pd.to_datetime(frame[name], utc=True) for name in (JUDGED_QUOTE[2], SENT_QUOTE[2])}
    as_of = pd.to_datetime(run.start["as_of"], utc=True)
    return frame.astype(dict.fromkeys(texts, "str")).assign(run_id=run.run_id, as_of=as_of, **times)


def _filled(blotter: pd.DataFrame) -> pd.DataFrame:
    """Return what was executed of each order on its own side, and at which average price."""
    keys = ["run_id", "broker_account_id", "client_intent_id", "side"]
    sums = blotter.groupby(keys, as_index=False).agg(executed=("qty", "sum"), usd=("notional_usd", "sum"))
    return sums.assign(filled_price=sums["usd"] / sums["executed"]).drop(columns="usd")


def _middle(bid: pd.Series, ask: pd.Series) -> pd.Series:
    """Return the middle of two-sided quotes that are not crossed, NaN of all others."""
    return ((bid + ask) / 2).where((bid > 0) & (ask >= bid))


def _last_quotes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the last known quote of each symbol: its middle and its time."""
    parts = []
    for bid, ask, at in (JUDGED_QUOTE, SENT_QUOTE):
        parts.append(
            pd.DataFrame(
                {"symbol": rows["symbol"], "last": _middle(rows[bid], rows[ask]), "last_at": rows[at]}
            )
        )
    known = pd.concat(parts, ignore_index=True).dropna()
    return known.sort_values("last_at", kind="stable").drop_duplicates("symbol", keep="last")


def _costs(orders: pd.DataFrame, last: pd.DataFrame) -> pd.DataFrame:
    sign = np.where(orders["side"] == "buy", 1.0, -1.0)
    judged = _middle(orders["judged_bid"], orders["judged_ask"])
    decision = judged.fillna(orders["reference_price"])
    arrival = _middle(orders["sent_bid"], orders["sent_ask"])
    spread = (orders["sent_ask"] - orders["sent_bid"]).where(arrival.notna())
    wanted = orders["qty"].fillna(orders["notional"] / decision)
    is_known = ~orders["status"].isin(["unresolved"]) & (orders["reason"] != ACCOUNT_DOWN)
    filled = orders["executed"].fillna(pd.Series(np.where(is_known, 0.0, np.nan), index=orders.index))
    unfilled = (wanted - filled).clip(lower=0.0)
    decided_at = orders["judged_quote_at"].where(judged.notna(), orders["as_of"])
    newest = orders[["symbol"]].merge(last, on="symbol", how="left")
    last_price = newest["last"].where(newest["last_at"] > decided_at)
    executed_usd = (sign * (orders["filled_price"] - decision) * filled).where(filled > 0, filled * 0.0)
    unfilled_usd = (sign * (last_price - decision) * unfilled).where(unfilled > 0, unfilled * 0.0)
    shortfall = (executed_usd + unfilled_usd).where(decision.notna())
    arrival_cost = sign * (orders["filled_price"] - arrival) * filled
    return orders.assign(
        wanted_qty=wanted,
        filled_qty=filled,
        decision_price=decision,
        decision_from=np.select([judged.notna(), decision.notna()], ["quote", "reference_price"], "unknown"),
        arrival_price=arrival,
        spread_bps=spread / arrival * BASIS_POINTS,
        slippage_bps=sign * (orders["filled_price"] - arrival) / arrival * BASIS_POINTS,
        arrival_cost_usd=arrival_cost,
        half_spread_usd=spread / 2 * filled,
        executed_usd=executed_usd.where(decision.notna()),
        unfilled_qty=unfilled,
        last_price=last_price,
        unfilled_usd=unfilled_usd.where(decision.notna()),
        shortfall_usd=shortfall,
        shortfall_bps=shortfall / (wanted * decision) * BASIS_POINTS,
        is_working=(orders["status"] == "placed") & ~orders["order_status"].isin(FINAL_STATUSES),
    )
