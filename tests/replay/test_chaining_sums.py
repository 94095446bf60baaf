"""The sums of a chain of replays against carrying every changed order along, which is what they stand for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.quantity import UNITS
from engine.model.schema import inputs_schemas
from replay.chaining import Chain, Changed, Fill

DAY = date(2026, 3, 2)
NAMES = ("SPY", "QQQ")


class Unsummed(Chain):
    """Applies every changed order to every run."""

    def _settle(self, session: date, at: datetime) -> None:
        """Sum nothing."""


def timestamp(day: int, hour: int = 17) -> datetime:
    return datetime(2026, 3, 2, hour, tzinfo=UTC) + timedelta(days=day)


fills = st.builds(
    lambda symbol, shares, day, hour: Fill(symbol, shares * UNITS // 2, timestamp(day, hour)),
    st.sampled_from(NAMES),
    st.integers(-5, 5),
    st.integers(0, 6),
    st.integers(14, 20),
)
orders = st.builds(
    lambda symbol, day, then, now, units: Changed(
        "paper", symbol, DAY + timedelta(days=day), tuple(then), tuple(now), units, units
    ),
    st.sampled_from(NAMES),
    st.integers(0, 5),
    st.lists(fills, max_size=2),
    st.lists(fills, max_size=2),
    st.integers(-3, 3).map(lambda shares: shares * UNITS),
)


def recording(day: int, hour: int) -> Any:
    said: dict[str, list[dict[str, Any]]] = {
        "positions": [{"broker_account_id": "paper", "symbol": "SPY", "qty": 10.5}],
        "daily_trades": [{"broker_account_id": "paper", "trades": 3}],
        "working_orders": [
            {"broker_account_id": "paper", "symbol": "QQQ", "side": "buy", "remaining_qty": 2.0}
        ],
    }
    schemas = inputs_schemas()
    return SimpleNamespace(
        inputs={"read_at": timestamp(day, hour).isoformat()},
        run=SimpleNamespace(trading_date=DAY + timedelta(days=day)),
        frames={name: pa.Table.from_pylist(rows, schema=schemas[name]) for name, rows in said.items()},
        batch=pa.table({"broker_account_id": ["paper"], "symbol": ["SPY"]}),
    )


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(14, 20), st.lists(orders, max_size=3)), max_size=6))
def test_a_chain_that_sums_gives_each_run_the_inputs_of_one_that_does_not(
    days: list[tuple[int, int, list[Changed]]],
) -> None:
    summed, unsummed = Chain(), Unsummed()
    for day, hour, changed in days:
        run = recording(day, hour)
        (frames, matters), (expected, expected_matters) = summed.frames(run), unsummed.frames(run)
        assert matters == expected_matters
        for name, table in expected.items():
            assert rows(frames[name]) == rows(table)
        summed.changed += changed
        unsummed.changed += changed


def test_orders_of_earlier_sessions_are_carried_along_as_sums_alone() -> None:
    chain = Chain()
    for day in range(60):
        chain.frames(recording(day, 17))
        bought = Fill("SPY", UNITS, timestamp(day, 18))
        chain.changed.append(Changed("paper", "SPY", DAY + timedelta(days=day), (), (bought,), 0, 0))
        assert len(chain.changed) <= 2
    frames, _ = chain.frames(recording(60, 17))
    assert rows(frames["positions"]) == [("paper", "SPY", 70.5)]


@pytest.mark.parametrize(
    ("session", "read_on", "held", "count"),
    [(1, 1, 10.5, 3), (1, 5, 11.5, 4), (5, 1, 10.5, 3), (4, 4, 11.5, 3), (5, 5, 11.5, 3)],
    ids=["an earlier run", "of an earlier session, read later", "read earlier", "the same again", "later"],
)
def test_a_run_of_an_earlier_session_or_time_has_the_inputs_that_it_would_have_had_first(
    session: int, read_on: int, held: float, count: int
) -> None:
    bought = Fill("SPY", UNITS, timestamp(1, 18))
    chain = Chain([Changed("paper", "SPY", DAY + timedelta(days=1), (), (bought,), 0, 0)])
    chain.frames(recording(4, 17))
    run = recording(session, 17)
    run.inputs = {"read_at": timestamp(read_on, 17).isoformat()}
    for _ in range(2):
        frames, _ = chain.frames(run)
        assert rows(frames["positions"]) == [("paper", "SPY", held)]
        assert rows(frames["daily_trades"]) == [("paper", count)]


def rows(table: pa.Table | None) -> list[tuple[Any, ...]]:
    """Return the rows in order; a position of 0 is none."""
    assert table is not None
    frame = table.to_pandas()
    if "qty" in frame:
        frame = frame[frame["qty"] != 0]
    return sorted(frame.astype(object).where(pd.notna(frame), None).itertuples(index=False, name=None))
