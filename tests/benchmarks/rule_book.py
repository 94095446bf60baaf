"""What the rule book costs, against a grouped cumulative sum of the same batch, both in turn."""

from __future__ import annotations

import datetime
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from engine import RiskConfig, RiskInputs
from engine.model.schema import inputs_schemas
from engine.risk import evaluate
from engine.risk.book import LIMITS
from engine.risk.levels import LimitsFile, Scope, Section
from tests.benchmarks import data
from tests.benchmarks.timing import Figure, Timing, ratio_of

MILLION = 1_000_000
AGAINST = "qty.groupby(symbol, observed=True).cumsum(), CPU, median"
_GENEROUS = {"shares": 1e8, "USD": 1e8, "fraction": 0.5, "%": 100.0, "times": 1e6}
_FIGURES = ("buying_power", "cash", "equity", "start_equity", "peak_equity")
_REFUSING = frozenset({"reduce_only", "allow_short"})
"""Flags that refuse much of a batch where they are on: set for two symbols alone."""
_MORE_THAN_A_BATCH = 10 * MILLION


def figures() -> Iterator[Figure]:
    """The whole book with two limits, with every rule on at all levels, and where few rows are contested."""
    frame = data.batch(MILLION).to_pandas()
    yield _ratio("rule book, two limits", frame, data.inputs(), data.limits(MILLION), at_most=6.0)
    slipping = frame.assign(estimated_slippage=0.001)
    yield _ratio("rule book, every rule, all levels", slipping, full_inputs(), every_rule(), at_most=15.0)
    few = RiskConfig(max_daily_trades=_MORE_THAN_A_BATCH, max_position_qty=contests(frame, 0.01))
    yield _ratio("rule book, 1 % contested", frame, data.inputs(), few, at_most=5.0)


def contests(frame: pd.DataFrame, share: float) -> float:
    """Return a position limit that orders with about a share of a batch's rows exceed together."""
    by = [frame[name] for name in ("broker_account_id", "symbol", "side")]
    cells = frame["qty"].groupby(by, observed=True).agg(["sum", "size"]).sort_values("sum", ascending=False)
    rows = cells["size"].cumsum()
    return float(round(cells["sum"][rows >= share * len(frame)].iloc[0]))


def every_rule() -> RiskConfig:
    """Return every limit that a number, a flag or names can set, in each kind of section that may set it."""
    scopes = {
        "[limits]": Scope(),
        "[account.account-00]": Scope(account="account-00"),
        "[symbol.SY0001]": Scope(symbol="SY0001"),
        "[strategy.strategy-0]": Scope(strategy="strategy-0"),
        "[strategy.strategy-0.symbol.SY0002]": Scope(strategy="strategy-0", symbol="SY0002"),
    }
    scopes |= {f"[strategy.strategy-{i}]": Scope(strategy=f"strategy-{i}") for i in range(1, 5)}
    sections = [
        Section(source=source, scope=scope, values=_values_of(scope))
        for source, scope in sorted(scopes.items(), key=lambda item: item[1].kind)
    ]
    file = LimitsFile(
        path="limits.toml",
        content="",
        version=1,
        owner="benchmarks",
        review_by=data.SESSION + datetime.timedelta(days=30),
        acknowledged_off=frozenset(),
        sections=tuple(sections),
    )
    two = data.limits(MILLION)
    return RiskConfig(
        max_daily_trades=two.max_daily_trades, max_position_qty=two.max_position_qty, limits_file=file
    )


def _values_of(scope: Scope) -> dict[str, Any]:
    names = {
        "accounts": frozenset(f"account-{i:02d}" for i in range(data.ACCOUNTS)),
        "symbols": frozenset(f"SY{i:04d}" for i in range(data.SYMBOLS)),
        "allowed_symbols": frozenset(f"SY{i:04d}" for i in range(data.SYMBOLS)),
        "restricted_symbols": frozenset({"SYNONE"}),
        "sides": frozenset({"buy", "sell"}),
        "order_types": frozenset({"market", "limit"}),
    }
    values: dict[str, Any] = {}
    for limit in LIMITS:
        if scope.kind not in limit.scopes or limit.kind == "word":
            continue
        if limit.key in _REFUSING and scope.symbol is None:
            continue
        if limit.kind == "names":
            values[limit.key] = names[limit.key]
        elif limit.kind == "flag":
            values[limit.key] = limit.off is not True
        else:
            values[limit.key] = _GENEROUS.get(limit.unit, _MORE_THAN_A_BATCH)
    return values


def full_inputs() -> RiskInputs:
    """Return the inputs of every rule: all is known, the session is open, and little was done before."""
    empty = {
        name: pd.DataFrame({field.name: pd.Series(dtype=_dtype(field.type)) for field in schema})
        for name, schema in inputs_schemas().items()
    }
    at = data.AS_OF
    inputs = data.inputs()
    accounts = [f"account-{i:02d}" for i in range(data.ACCOUNTS)]
    symbols = [f"SY{i:04d}" for i in range(data.SYMBOLS)]
    strategies = [f"strategy-{i}" for i in range(5)]
    assert inputs.working_orders is not None
    return replace(
        inputs,
        strategy_positions=empty["strategy_positions"],
        strategy_trades=empty["strategy_trades"],
        earlier_orders=empty["earlier_orders"],
        earlier_batches=empty["earlier_batches"],
        latches=empty["latches"],
        working_order_terms=inputs.working_orders.assign(
            strategy_id="strategy-0", order_type="limit", limit_price=1.0, stop_price=float("nan")
        ),
        assets=pd.DataFrame({"symbol": symbols, "tradable": True, "fractionable": True, "shortable": True}),
        session_hours=pd.DataFrame(
            {
                "opens_at": [at - pd.Timedelta(hours=1)],
                "closes_at": [at + pd.Timedelta(hours=5)],
                "extended_opens_at": [at - pd.Timedelta(hours=6)],
                "extended_closes_at": [at + pd.Timedelta(hours=9)],
            }
        ),
        reconciled=pd.DataFrame({"broker_account_id": accounts, "reconciled_at": at}),
        prices=pd.DataFrame(
            {
                "symbol": symbols,
                "bid": 104.99,
                "ask": 105.01,
                "last": 105.0,
                "quote_at": at,
                "source": "file",
                "feed": "",
                "verdict": "ok",
            }
        ),
        account_figures=pd.DataFrame({"broker_account_id": accounts, **dict.fromkeys(_FIGURES, 1e9)}),
        traded_notional=empty["traded_notional"],
        usual_quantities=pd.DataFrame(
            {
                "strategy_id": np.repeat(strategies, data.SYMBOLS),
                "symbol": symbols * len(strategies),
                "qty": 9.9,
            }
        ),
        average_volumes=pd.DataFrame(
            {"symbol": symbols, "shares": 1e6, "measured_on": data.SESSION.isoformat()}
        ),
    )


def _dtype(kind: Any) -> str:
    named = {"string": "str", "double": "float64", "bool": "bool"}
    return named.get(str(kind), "datetime64[us, UTC]")


def _ratio(
    name: str, frame: pd.DataFrame, inputs: RiskInputs, config: RiskConfig, *, at_most: float
) -> Figure:
    """Lay out what one set of limits costs against the sum, and which shares of the rows were refused."""
    refused = evaluate(frame, inputs, config)["reason"].value_counts(normalize=True)
    shares = {str(reason): round(float(share), 4) for reason, share in refused.items() if share}
    own, sums = in_turn(
        7,
        lambda: evaluate(frame, inputs, config),
        lambda: frame["qty"].groupby(frame["symbol"], observed=True).cumsum(),
    )
    return ratio_of(name, len(frame), own, sums, at_most=at_most, against=AGAINST, reasons=shares)


def in_turn(times: int, one: Callable[[], object], other: Callable[[], object]) -> tuple[Timing, Timing]:
    """Return the median CPU time of two works that run in turn, so that noise concerns both."""
    spans: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for work, taken in zip((one, other), spans, strict=True):
            gc.collect()
            begin = time.process_time()
            work()
            taken.append(time.process_time() - begin)
    return Timing(statistics.median(spans[0])), Timing(statistics.median(spans[1]))
