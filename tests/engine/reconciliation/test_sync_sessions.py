"""Fills about the end of a session, on half days and when clocks change: each counts where it belongs.

The sessions are written from the calendar: the day rolls at 20:00 in New York, whatever UTC says of it, on a
half day too; what falls on no session belongs to the next one.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from requests import PreparedRequest, Response

from engine.record.late_fills import late_fills
from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolders
from engine.run.blotter import Day, day_of
from tests.desk import Row, order
from tests.engine.accounts_desk import AccountsDesk, accounts_desk
from tests.engine.routing.trading import Send, is_order

RESTING: Row = {"order_type": "limit", "limit_price": 50, "time_in_force": "gtc"}

ORDINARY = {
    "2026-03-02 15:59": "2026-03-02",
    "2026-03-02 16:01": "2026-03-02",
    "2026-03-02 19:59": "2026-03-02",
    "2026-03-02 20:00": "2026-03-03",
    "2026-03-02 20:01": "2026-03-03",
    "2026-03-02 23:59": "2026-03-03",
    "2026-03-03 00:01": "2026-03-03",
}
WEEKEND = {"2026-05-22 19:59": "2026-05-22", "2026-05-22 20:01": "2026-05-26"}
"""A Friday before a Monday without trading."""
HALF_DAYS = {
    "2026-11-27 12:59": "2026-11-27",
    "2026-11-27 13:01": "2026-11-27",
    "2026-11-27 17:01": "2026-11-27",
    "2026-11-27 19:59": "2026-11-27",
    "2026-11-27 20:01": "2026-11-30",
    "2026-12-24 19:59": "2026-12-24",
    "2026-12-24 20:01": "2026-12-28",
}
CLOCKS_GO_FORWARD = {
    "2026-03-06 19:59": "2026-03-06",
    "2026-03-06 20:01": "2026-03-09",
    "2026-03-09 19:59": "2026-03-09",
    "2026-03-09 20:01": "2026-03-10",
}
CLOCKS_GO_BACK = {
    "2026-10-30 19:59": "2026-10-30",
    "2026-10-30 20:01": "2026-11-02",
    "2026-11-02 19:59": "2026-11-02",
    "2026-11-02 20:01": "2026-11-03",
}
SESSION_OF = ORDINARY | WEEKEND | HALF_DAYS | CLOCKS_GO_FORWARD | CLOCKS_GO_BACK

LATER = {
    "2026-03-02": "2026-03-03",
    "2026-03-03": "2026-03-04",
    "2026-03-06": "2026-03-09",
    "2026-03-09": "2026-03-10",
    "2026-05-22": "2026-05-26",
    "2026-10-30": "2026-11-02",
    "2026-11-02": "2026-11-03",
    "2026-11-27": "2026-11-30",
    "2026-12-24": "2026-12-28",
}
"""The session after each day of the tests."""


def told(desk: AccountsDesk, session: str) -> Day:
    """Return a session as `day` tells it."""
    objects, day = LocalObjects(desk.data), date.fromisoformat(session)
    return day_of(RunFolders(objects).of_day(day), late_fills(objects, day))


def executed(desk: AccountsDesk, session: str) -> list[tuple[str, float]]:
    """Return session and shares of each execution that `day` tells of in a session."""
    blotter = told(desk, session).blotter
    return list(zip(blotter["trading_date"], blotter["qty"], strict=True))


def trades(desk: AccountsDesk, session: str) -> int:
    counts = desk.store.trade_counts(["alpha"], date.fromisoformat(session))
    return int(counts["trades"].sum())


def with_an_order_that_rests(data: Path, day: str) -> AccountsDesk:
    """Return a desk whose run of that morning has left an order of 10 shares."""
    desk = accounts_desk(data, day, "10:00", names=("alpha",))
    desk.drop("a.json", order(broker_account_id="alpha", client_intent_id="rests", qty=10, **RESTING))
    desk.live()
    return desk


def fill(desk: AccountsDesk, timestamp: str, qty: float | None = None) -> None:
    """Let the order fill at a moment in New York."""
    desk.go_to_new_york(*timestamp.split())
    desk.at["alpha"].fill("rests", qty)


@pytest.mark.parametrize(("timestamp", "session"), SESSION_OF.items(), ids=SESSION_OF.keys())
def test_a_late_fill_counts_on_the_session_in_which_it_came_in_ledger_and_day(
    tmp_path: Path, timestamp: str, session: str
) -> None:
    day = timestamp.split(maxsplit=1)[0]
    sent_on = day if day != "2026-03-03" else "2026-03-02"
    desk = with_an_order_that_rests(tmp_path / "data", sent_on)
    fill(desk, timestamp)
    desk.go_to_new_york(LATER[day], "10:00")
    (synced,) = desk.synced()
    assert [(one.kind, one.symbol) for one in synced.breaks] == [("late_fill", "SPY")]
    (late,) = synced.breaks
    document = desk.store.ledger_document(late.broker_order_id) or {}
    assert (document["trading_date"], document["filled_qty"]) == (session, 10.0)
    days = sorted({*LATER, *LATER.values()})
    assert {day: count for day in days if (count := trades(desk, day))} == {session: 1}
    told = {near: executed(desk, near) for near in {sent_on, day, session, LATER[day]}}
    assert {near: found for near, found in told.items() if found} == {session: [(session, 10.0)]}


@pytest.mark.parametrize("timestamp", [one for one in SESSION_OF if one.endswith(("19:59", "20:01"))])
def test_it_makes_no_difference_whether_the_sync_is_of_the_same_minute(
    tmp_path: Path, timestamp: str
) -> None:
    desk = with_an_order_that_rests(tmp_path / "data", timestamp.split(maxsplit=1)[0])
    fill(desk, timestamp)
    (synced,) = desk.synced()
    (late,) = synced.breaks
    document = desk.store.ledger_document(late.broker_order_id) or {}
    assert document["trading_date"] == SESSION_OF[timestamp]


@pytest.mark.parametrize("day", [day for day in LATER if f"{day} 20:01" in SESSION_OF])
def test_an_order_that_fills_on_both_sides_of_20_is_one_trade_of_two_sessions(
    tmp_path: Path, day: str
) -> None:
    desk = with_an_order_that_rests(tmp_path / "data", day)
    fill(desk, f"{day} 19:59", 4)
    fill(desk, f"{day} 20:01", 6)
    desk.go_to_new_york(LATER[day], "10:00")
    desk.synced()
    assert (trades(desk, day), trades(desk, LATER[day])) == (1, 0)
    assert executed(desk, day) == [(day, 4.0)]
    assert executed(desk, LATER[day]) == [(LATER[day], 6.0)]


def test_the_daily_limit_of_the_next_session_counts_what_filled_after_20(tmp_path: Path) -> None:
    desk = with_an_order_that_rests(tmp_path / "data", "2026-03-06")
    fill(desk, "2026-03-06 20:01")
    desk.go_to_new_york("2026-03-09", "10:00")
    desk.drop("b.json", order(broker_account_id="alpha", client_intent_id="next", symbol="QQQ"))
    run = desk.live()
    (row,) = run.table("decisions.parquet", ["trades_today"]).to_pylist()
    assert row["trades_today"] == 1.0


def test_a_split_on_the_day_after_clocks_have_changed_is_found_by_the_first_sync(tmp_path: Path) -> None:
    desk = with_an_order_that_rests(tmp_path / "data", "2026-03-06")
    fill(desk, "2026-03-06 12:00", 10)
    desk.synced()
    desk.go_to_new_york("2026-03-09", "09:00")
    desk.at["alpha"].control("POST", "split", {"symbol": "SPY", "ratio": "2"})
    (synced,) = desk.synced()
    assert [(one.kind, one.difference_qty / 1e9) for one in synced.breaks] == [("corporate_action", 10.0)]
    assert desk.store.sync_mark("alpha") is not None


def test_a_fill_after_20_that_a_run_of_before_20_still_sees_is_of_the_next_session(tmp_path: Path) -> None:
    desk = accounts_desk(tmp_path / "data", "2026-03-02", "19:59", names=("alpha",))

    def fills_before_it_is_asked_for(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if is_order(request):
            desk.let_pass("alpha", 120)
            desk.at["alpha"].fill("rests")
        return answer

    desk.in_between["alpha"] = fills_before_it_is_asked_for
    desk.drop("a.json", order(broker_account_id="alpha", client_intent_id="rests", qty=10, **RESTING))
    run = desk.live()
    assert run.table("fills.parquet").num_rows == 1
    assert (trades(desk, "2026-03-02"), trades(desk, "2026-03-03")) == (0, 1)
    assert executed(desk, "2026-03-03") == [("2026-03-03", 10.0)]
    assert executed(desk, "2026-03-02") == []
