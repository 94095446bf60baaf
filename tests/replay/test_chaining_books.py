"""What changed orders of earlier runs do to the inputs of a later one: positions, counts, working orders."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from engine.model.quantity import UNITS
from engine.model.schema import fills_schema, inputs_schemas
from replay.chaining import Chain, Changed, Fill
from replay.outcomes import RECORDED, SIMULATED, Outcomes
from replay.recorded import Recording

TODAY = date(2026, 3, 2)
YESTERDAY = TODAY - timedelta(days=1)
READ_AT = datetime(2026, 3, 2, 17, tzinfo=UTC)
BEFORE = READ_AT - timedelta(minutes=1)
Row = dict[str, Any]
NAMES = ("positions", "daily_trades", "working_orders")


def position(symbol: str, qty: float, account: str = "paper") -> Row:
    return {"broker_account_id": account, "symbol": symbol, "qty": qty}


def trades(count: float, account: str = "paper") -> Row:
    return {"broker_account_id": account, "trades": count}


def working(
    symbol: str, side: str, remaining_qty: float | None, account: str = "paper", notional: float | None = None
) -> Row:
    amount = {"remaining_qty": remaining_qty, "remaining_notional": notional}
    return {"broker_account_id": account, "symbol": symbol, "side": side, **amount}


def by_notional(notional: float, side: str = "buy") -> Row:
    return working("SPY", side, None, notional=notional)


def recording(batch: tuple[tuple[str, str | None], ...] = (("paper", "SPY"),), **frames: Any) -> Recording:
    """Return a run of today; a frame that isn't given is empty, one that is None unavailable."""
    schemas = inputs_schemas()
    tables = {
        name: None if rows is None else pa.Table.from_pylist(rows, schema=schemas[name])
        for name, rows in ({key: [] for key in NAMES} | frames).items()
    }
    accounts, symbols = (pa.array(column, pa.string()) for column in zip(*batch, strict=True))
    run = SimpleNamespace(
        inputs={"read_at": READ_AT.isoformat()},
        run=SimpleNamespace(trading_date=TODAY),
        frames=tables,
        batch=pa.table({"broker_account_id": accounts, "symbol": symbols}),
    )
    return cast(Recording, run)


def shares(qty: float) -> int:
    return round(qty * UNITS)


def bought(qty: float, symbol: str = "SPY", at: datetime = BEFORE) -> tuple[Fill, ...]:
    return (Fill(symbol, shares(qty), at),)


LATER = bought(1.0, at=READ_AT + timedelta(minutes=1))


def changed(**said: Any) -> Changed:
    """Return an order that differs; without figures, one that did nothing then and does nothing now."""
    plain: Row = {
        "account": "paper", "symbol": "SPY", "session": TODAY, "then": (), "now": (), "open_units": 0,
        "ordered_units": 0,
    }  # fmt: skip
    return Changed(**(plain | said))


def chained(order: Changed, run: Recording) -> tuple[dict[str, list[Row] | None], bool]:
    """Return the rows of the inputs that follow from a changed order, and whether they concern the batch."""
    frames, concerns = Chain([order]).frames(run)
    assert all(table is None or table.schema == inputs_schemas()[name] for name, table in frames.items())
    return {name: None if (table := frames[name]) is None else table.to_pylist() for name in NAMES}, concerns


# --- positions


@pytest.mark.parametrize("session", [TODAY, YESTERDAY])
@pytest.mark.parametrize(
    ("held", "order", "expected"),
    [
        ([position("SPY", 10.0)], {"now": bought(2.5)}, [position("SPY", 12.5)]),
        ([position("SPY", 10.0)], {"then": bought(2.5)}, [position("SPY", 7.5)]),
        ([position("SPY", 10.0)], {"now": bought(-12.0)}, [position("SPY", -2.0)]),
        ([position("SPY", 10.0)], {"now": bought(1.0), "then": bought(3.0)}, [position("SPY", 8.0)]),
        ([position("SPY", 0.1)], {"now": bought(0.2)}, [position("SPY", 0.3)]),
        ([], {"now": bought(2.5)}, [position("SPY", 2.5)]),
        ([], {"then": bought(2.5)}, [position("SPY", -2.5)]),
        (
            [position("KO", 1.0), position("SPY", 10.0), position("SPY", 5.0, "live")],
            {"now": bought(2.0)},
            [position("KO", 1.0), position("SPY", 12.0), position("SPY", 5.0, "live")],
        ),
        ([position("BTCUSD", 1.0)], {"now": bought(0.5, "BTC/USD")}, [position("BTC/USD", 1.5)]),
        (
            [position("SPY", 10.0)],
            {"now": (*bought(2.0), *bought(5.0, "KO")), "then": bought(3.0, "KO")},
            [position("SPY", 12.0), position("KO", 2.0)],
        ),
        ([position("SPY", 10.0)], {"now": bought(2.0, "KO")}, [position("SPY", 10.0), position("KO", 2.0)]),
    ],
)
def test_a_position_moves_by_what_would_have_filled_and_by_what_would_not(
    held: list[Row], order: Row, expected: list[Row], session: date
) -> None:
    frames, _ = chained(changed(session=session, **order), recording(positions=held))
    assert frames["positions"] == expected


@pytest.mark.parametrize("session", [TODAY, YESTERDAY])
def test_executions_up_to_the_instant_of_reading_count_and_later_ones_not(session: date) -> None:
    fills = (Fill("SPY", shares(2), READ_AT), Fill("SPY", shares(5), READ_AT + timedelta(microseconds=1)))
    frames, _ = chained(changed(session=session, now=fills), recording(positions=[position("SPY", 1.0)]))
    assert frames["positions"] == [position("SPY", 3.0)]


@pytest.mark.parametrize("held", [None, [position("SPY", 1.0), position("SPY", 2.0)]])
def test_a_position_that_is_unavailable_or_ambiguous_stays_so_and_concerns_no_intent(
    held: list[Row] | None,
) -> None:
    order = changed(session=YESTERDAY, now=bought(2.0))
    frames, concerns = chained(order, recording(positions=held))
    assert (frames["positions"], concerns) == (held, False)


def test_a_position_that_is_unknown_stays_unknown() -> None:
    frames, _ = chained(changed(now=bought(2.0)), recording(positions=[position("SPY", float("nan"))]))
    (row,) = cast(list[Row], frames["positions"])
    assert pd.isna(row["qty"])


def test_a_row_without_a_symbol_is_left_as_it_is() -> None:
    held = [{**position("", 1.0), "symbol": None}, position("SPY", 1.0)]
    frames, _ = chained(changed(now=bought(2.0)), recording(positions=held))
    assert frames["positions"] == [held[0], position("SPY", 3.0)]


def test_an_order_whose_executions_come_to_the_same_changes_no_position() -> None:
    run = recording(positions=[position("SPY", 1.0)], daily_trades=[trades(1.0)])
    order = changed(then=bought(2.0), now=(*bought(1.5), *bought(0.5)))
    frames, concerns = Chain([order]).frames(run)
    assert frames is run.frames
    assert not concerns


def test_each_of_several_changed_orders_moves_its_position() -> None:
    orders = [changed(now=bought(1.0)), changed(now=bought(2.0, "KO")), changed(then=bought(4.0))]
    orders += [changed(now=bought(8.0), session=YESTERDAY), changed(now=(*bought(16.0), *LATER))]
    frames, _ = Chain(orders).frames(recording(positions=[position("SPY", 100.0)]))
    table = frames["positions"]
    assert table is not None
    assert table.to_pylist() == [position("SPY", 121.0), position("KO", 2.0)]


# --- counts


@pytest.mark.parametrize(
    ("counted", "order", "expected"),
    [
        ([trades(3.0)], {"now": bought(1.0)}, [trades(4.0)]),
        ([trades(3.0)], {"now": bought(1.0) * 2}, [trades(4.0)]),
        ([trades(3.0)], {"then": bought(1.0)}, [trades(2.0)]),
        ([trades(3.0)], {"then": bought(1.0), "now": bought(2.0)}, [trades(3.0)]),
        ([trades(0.0)], {"then": bought(1.0)}, [trades(0.0)]),
        ([], {"now": bought(1.0)}, [trades(1.0)]),
        ([], {"then": bought(1.0)}, []),
        ([trades(3.0, "live"), trades(5.0)], {"now": bought(1.0)}, [trades(3.0, "live"), trades(6.0)]),
        ([trades(3.0), trades(5.0)], {"now": bought(1.0)}, [trades(3.0), trades(5.0)]),
        (None, {"now": bought(1.0)}, None),
        ([trades(3.0)], {"now": bought(1.0), "session": YESTERDAY}, [trades(3.0)]),
        ([trades(3.0)], {"now": (*bought(1.0), *LATER), "session": YESTERDAY}, [trades(3.0)]),
    ],
)
def test_a_count_changes_by_one_for_each_order_of_its_session_that_would_have_traded_or_would_not(
    counted: list[Row] | None, order: Row, expected: list[Row] | None
) -> None:
    frames, _ = chained(changed(**order), recording(daily_trades=counted))
    assert frames["daily_trades"] == expected


# --- working orders


@pytest.mark.parametrize(
    ("works", "order", "left"),
    [
        ([working("SPY", "buy", 5.0)], {"ordered_units": shares(5)}, []),
        ([working("SPY", "sell", 5.0)], {"ordered_units": shares(-5)}, []),
        ([working("SPY", "buy", 3.0)], {"ordered_units": shares(5), "then": bought(2.0)}, []),
        ([working("SPY", "sell", 3.0)], {"ordered_units": shares(-5), "then": bought(-2.0)}, []),
        ([working("SPY", "buy", 3.0)], {"ordered_units": shares(5), "then": bought(2.0, at=READ_AT)}, []),
        ([working("SPY", "buy", 5.0)] * 2, {"ordered_units": shares(5)}, [working("SPY", "buy", 5.0)]),
        (
            [working("SPY", "buy", 5.0)],
            {"ordered_units": shares(5), "then": bought(2.0, at=READ_AT + timedelta(seconds=1))},
            [],
        ),
    ],
)
def test_an_order_that_would_not_have_been_sent_no_longer_works_with_what_was_left_of_it(
    works: list[Row], order: Row, left: list[Row]
) -> None:
    run = recording(working_orders=works, daily_trades=[trades(3.0)])
    frames, concerns = chained(changed(**order), run)
    assert frames["working_orders"] == left
    assert frames["daily_trades"] == [trades(3.0)], "while it works, the ledger's count leaves it out"
    assert concerns


@pytest.mark.parametrize(
    "other",
    [
        working("KO", "buy", 5.0),
        working("SPY", "sell", 5.0),
        working("SPY", "buy", 4.0),
        working("SPY", "buy", 5.000000001),
        working("SPY", "buy", 5.0, "live"),
    ],
)
def test_other_working_orders_than_the_one_that_would_not_have_been_stay(other: Row) -> None:
    run = recording(working_orders=[other])
    frames, concerns = Chain([changed(ordered_units=shares(5))]).frames(run)
    assert frames is run.frames
    assert not concerns


def test_an_order_that_had_filled_whole_no_longer_counts_and_no_working_order_goes() -> None:
    run = recording(
        working_orders=[working("SPY", "buy", 5.0)],
        daily_trades=[trades(3.0)],
        positions=[position("SPY", 5)],
    )
    frames, _ = chained(changed(ordered_units=shares(5), then=bought(5.0)), run)
    assert frames["working_orders"] == [working("SPY", "buy", 5.0)]
    assert frames["daily_trades"] == [trades(2.0)]
    assert frames["positions"] == [position("SPY", 0.0)]


@pytest.mark.parametrize(("units", "side"), [(5, "buy"), (-5, "sell")])
def test_an_order_that_would_have_been_sent_works_with_what_is_open_of_it_in_its_session(
    units: int, side: str
) -> None:
    before = [working("KO", "buy", 1.0)]
    run = recording(working_orders=before)
    frames, concerns = chained(changed(open_units=shares(units)), run)
    assert (frames["working_orders"], concerns) == ([*before, working("SPY", side, 5.0)], True)
    order = changed(open_units=shares(units), session=YESTERDAY)
    frames, concerns = chained(order, run)
    assert (frames["working_orders"], concerns) == (before, False)


def test_each_of_several_changed_orders_begins_or_ends_to_work() -> None:
    orders = [
        changed(open_units=shares(5), symbol="KO"),
        *(changed(ordered_units=shares(qty)) for qty in (1, 2, 3)),
        changed(open_units=shares(-6), ordered_units=shares(7)),
    ]
    works = [working("SPY", "buy", float(qty)) for qty in (1, 2, 3, 4, 7)]
    frames, _ = Chain(orders).frames(recording(working_orders=works))
    table = frames["working_orders"]
    assert table is not None
    assert table.to_pylist() == [
        working("SPY", "buy", 4.0),
        working("KO", "buy", 5.0),
        working("SPY", "sell", 6.0),
    ]


LIMITED = {"ordered_notional": 100.0}
BOUGHT = (Fill("SPY", shares(1.5), BEFORE, 20.0),)


@pytest.mark.parametrize(
    ("works", "order", "left"),
    [
        ([by_notional(100.0)], LIMITED, []),
        ([by_notional(70.0)], LIMITED | {"then": BOUGHT}, []),
        ([by_notional(70.01)], LIMITED | {"then": BOUGHT}, []),  # rounded up to a cent
        ([by_notional(100.0, "sell")], {"ordered_notional": -100.0}, []),
        ([by_notional(99.0)], LIMITED, [by_notional(99.0)]),
        ([by_notional(100.0)], LIMITED | {"then": bought(1.5)}, [by_notional(100.0)]),  # at no known price
        ([working("SPY", "buy", None)], LIMITED, [working("SPY", "buy", None)]),  # of an earlier version
        ([working("SPY", "buy", 5.0)], LIMITED, [working("SPY", "buy", 5.0)]),
    ],
)
def test_an_order_by_notional_is_found_by_what_is_left_of_its_notional(
    works: list[Row], order: Row, left: list[Row]
) -> None:
    frames, _ = chained(changed(**order), recording(working_orders=works))
    assert frames["working_orders"] == left


@pytest.mark.parametrize(("notional", "side"), [(100.0, "buy"), (-100.0, "sell")])
def test_an_order_by_notional_that_would_have_been_sent_works_with_its_notional(
    notional: float, side: str
) -> None:
    frames, concerns = chained(changed(open_notional=notional), recording())
    assert (frames["working_orders"], concerns) == ([by_notional(100.0, side)], True)


def test_of_orders_by_notional_the_amounts_are_kept_and_no_quantity() -> None:
    rests = {"source": SIMULATED, "order_status": "new"}
    (order,) = added(ran({"client_intent_id": "a", "side": "sell", "notional": 100.0}), outcomes(rests))
    assert order == changed(open_notional=-100.0)
    sent = ran({"client_intent_id": "a", "notional": 100.0, "broker_order_id": "o-1"})
    (order,) = added(sent, outcomes({}))
    assert order == changed(ordered_notional=100.0)


def test_working_orders_that_are_unavailable_stay_so() -> None:
    order = changed(ordered_units=shares(5), open_units=shares(5))
    frames, concerns = chained(order, recording(working_orders=None))
    assert (frames["working_orders"], concerns) == (None, False)


# --- which batches a change concerns


@pytest.mark.parametrize(
    ("order", "batch", "concerns"),
    [
        ({"session": YESTERDAY, "now": bought(1.0)}, ("paper", "SPY"), True),
        ({"session": YESTERDAY, "now": bought(1.0)}, ("paper", "KO"), False),
        ({"session": YESTERDAY, "now": bought(1.0)}, ("live", "SPY"), False),
        ({"session": YESTERDAY, "now": bought(1.0, "BTC/USD")}, ("paper", "BTCUSD"), True),
        ({"session": YESTERDAY, "now": bought(1.0)}, ("paper", None), False),
        ({"now": bought(1.0)}, ("paper", "KO"), True),
        ({"now": bought(1.0)}, ("paper", None), True),
        ({"now": bought(1.0)}, ("live", "SPY"), False),
    ],
    ids=[
        "its symbol", "another", "another account", "written otherwise", "a cancel", "the count",
        "the count for a cancel", "the count of another account",
    ],
)  # fmt: skip
def test_a_change_concerns_intents_of_its_symbol_and_by_the_count_those_of_its_account(
    order: Row, batch: tuple[str, str | None], concerns: bool
) -> None:
    _, found = chained(changed(**order), recording((batch,)))
    assert found is concerns


# --- which orders of a run are changed


def ran(
    *intents: Row, fills: list[Row] | None = None, mode: str = "live", path: Path = Path("/run")
) -> Recording:
    plain: Row = {"broker_account_id": "paper", "symbol": "SPY", "side": "buy", "action": "new"}
    plain |= {"order_qty": None, "notional": None}
    rows = [plain | intent for intent in intents]
    table = None if fills is None else pa.Table.from_pylist(fills, schema=fills_schema())
    run = SimpleNamespace(
        inputs={"read_at": READ_AT.isoformat()},
        run=SimpleNamespace(trading_date=TODAY, path=path),
        batch=pa.Table.from_pylist(rows),
        results=pa.table(
            {
                "order_qty": pa.array([row["order_qty"] for row in rows], pa.float64()),
                "broker_order_id": pa.array([row.get("broker_order_id") for row in rows], pa.string()),
            }
        ),
        fills=table,
        is_live=mode == "live",
    )
    return cast(Recording, run)


def outcomes(*rows: Mapping[str, Any], fills: pa.Table | None = None, differs: str = "") -> Outcomes:
    plain = {"filled_qty": 0.0, "order_qty": np.nan, "source": RECORDED, "order_status": ""}
    frame = pd.DataFrame([plain | dict(row) for row in rows])
    return Outcomes(frame, fills, np.array([mark == "x" for mark in differs or "x" * len(rows)]))


def executed(client_id: str, fill_id: str, qty: float, **said: Any) -> Row:
    return {
        "fill_id": fill_id, "client_intent_id": client_id, "broker_account_id": "paper", "symbol": "SPY",
        "side": "buy", "qty": qty, "filled_at": BEFORE, "trading_date": "2026-03-02", **said,
    }  # fmt: skip


def added(run: Recording, replayed: Outcomes) -> list[Changed]:
    chain = Chain()
    chain.add(run, replayed)
    return chain.changed


def test_a_newly_allowed_order_fills_at_the_instant_of_its_run_and_works_with_the_rest() -> None:
    run = ran({"client_intent_id": "a", "side": "sell", "symbol": "BTCUSD"})
    fills_now = {"filled_qty": 2.0, "order_qty": 5.0, "source": SIMULATED}
    (order,) = added(run, outcomes({**fills_now, "order_status": "new"}))
    assert order == changed(
        symbol="BTC/USD", now=(Fill("BTC/USD", shares(-2), READ_AT),), open_units=shares(-3)
    )
    (order,) = added(run, outcomes({**fills_now, "order_status": "filled"}))
    assert order.open_units == 0
    (order,) = added(run, outcomes({**fills_now, "order_status": "new", "source": RECORDED}))
    assert order.open_units == 0


def test_an_order_that_works_with_an_unknown_quantity_works_with_nothing() -> None:
    (order,) = added(ran({"client_intent_id": "a"}), outcomes({"source": SIMULATED, "order_status": "new"}))
    assert order == changed()


def test_a_newly_refused_order_takes_its_executions_and_what_was_ordered_with_it() -> None:
    fills = [executed("a", "f1", 2.0), executed("a", "f2", 1.0), executed("b", "f3", 9.0)]
    fills += [executed("a", "f4", 9.0, broker_account_id="live")]
    (order,) = added(ran({"client_intent_id": "a", "order_qty": 5.0}, fills=fills), outcomes({}))
    assert order == changed(then=(*bought(2.0), *bought(1.0)), ordered_units=shares(5))
    sold = ran(
        {"client_intent_id": "a", "side": "sell", "order_qty": 5.0},
        fills=[executed("a", "f1", 2.0, side="sell")],
    )
    (order,) = added(sold, outcomes({}))
    assert order == changed(then=bought(-2.0), ordered_units=shares(-5))


def test_executions_of_a_replay_that_knows_them_stand_for_its_sums() -> None:
    now = pa.Table.from_pylist([executed("a", "n1", 4.0)], schema=fills_schema())
    run = ran({"client_intent_id": "a"}, {"client_intent_id": "b"})
    replayed = outcomes({"filled_qty": 7.0}, {"filled_qty": 7.0}, fills=now)
    assert [order.now for order in added(run, replayed)] == [bought(4.0), ()]


def test_only_orders_that_differ_are_changed_and_cancels_and_dry_runs_change_none() -> None:
    intents = [
        {"client_intent_id": "same"},
        {"client_intent_id": "cancel", "action": "cancel"},
        {"client_intent_id": "differs", "symbol": "KO"},
    ]
    filled = [{"filled_qty": 1.0}] * 3
    assert [order.symbol for order in added(ran(*intents), outcomes(*filled, differs=".xx"))] == ["KO"]
    assert added(ran(*intents), outcomes(*filled, differs="...")) == []
    assert added(ran(*intents, mode="dry"), outcomes(*filled)) == []
