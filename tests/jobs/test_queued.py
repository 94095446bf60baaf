"""Market orders that wait for the next open are remarked on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from exchange_calendars import get_calendar

from engine.model.calendar import NEW_YORK, queued_until, regular_hours
from jobs.queued import queued_orders
from jobs.report import print_run
from jobs.run import summary
from tests.desk import Desk, order
from tests.live_desk import LiveDesk, simulated

CLOSED = {
    "2026-03-02T16:00": "2026-03-03T09:30",
    "2026-03-02T19:59": "2026-03-03T09:30",
    "2026-03-02T20:00": "2026-03-03T09:30",
    "2026-03-02T23:00": "2026-03-03T09:30",
    "2026-03-06T17:00": "2026-03-09T09:30",
    "2026-03-07T12:00": "2026-03-09T09:30",
    "2026-03-08T23:59": "2026-03-09T09:30",
    "2026-11-25T18:00": "2026-11-27T09:30",
    "2026-11-26T12:00": "2026-11-27T09:30",
    "2026-11-27T13:00": "2026-11-30T09:30",
    "2026-12-24T13:30": "2026-12-28T09:30",
}
OPEN = ["2026-03-02T09:30", "2026-03-02T15:59", "2026-03-02T09:29", "2026-03-02T00:30", "2026-11-27T12:59"]


def new_york(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(("sent", "opens"), CLOSED.items())
def test_an_order_after_the_close_waits_for_the_next_open(sent: str, opens: str) -> None:
    assert queued_until(new_york(sent)) == new_york(opens)


@pytest.mark.parametrize("sent", OPEN)
def test_an_order_before_the_close_waits_for_no_other_session(sent: str) -> None:
    assert queued_until(new_york(sent)) is None


@pytest.mark.filterwarnings("ignore:Series.values returning:pandas.errors.Pandas4Warning")
def test_the_hours_of_a_session_are_those_of_exchange_calendars() -> None:
    library = get_calendar("XNYS", start="2020-01-01", end="2027-12-31")
    for day in library.sessions[::7].union(library.early_closes):
        opens, closes = library.session_open_close(day)
        assert regular_hours(day.date()) == (opens.to_pydatetime(), closes.to_pydatetime())
    assert regular_hours(library.sessions[5].date(), "XLON")[0].astimezone(NEW_YORK).hour == 3


def at(timestamp: str) -> Callable[[Path], LiveDesk]:
    now = new_york(timestamp)

    def desk(tmp_path: Path) -> LiveDesk:
        start_ns = int(now.timestamp()) * 1_000_000_000
        return LiveDesk(tmp_path / "data", now=now, simulator=simulated(start_ns=start_ns))

    return desk


def test_a_live_run_after_the_close_says_what_waits_for_which_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = at("2026-11-27T14:00")(tmp_path)
    limit = {"order_type": "limit", "limit_price": 1}
    auction = {"time_in_force": "opg", "qty": 7}
    desk.drop("a.json", order(), order(symbol="KO", qty=2), order(qty=3, **limit), order(**auction))
    run = desk.live()
    said = (
        "2 market orders (SPY, KO) came after the close, and the broker queues what it has not traded by now "
        "for the open of 2026-11-30 at 09:30 New York, at a price that is not known yet. To withdraw: "
        "execution-engine cancel-all --symbol SYMBOL."
    )
    assert summary(run)["remarks"] == [said]
    print_run(run)
    assert said in " ".join(capsys.readouterr().out.split())


def test_what_traded_and_what_was_sent_in_the_session_is_no_remark(tmp_path: Path) -> None:
    desk = at("2026-03-02T12:00")(tmp_path)
    desk.drop("a.json", order(), order(qty=2, symbol="KO"))
    assert summary(desk.live())["remarks"] == []


def test_a_dry_run_after_the_close_says_what_live_would_wait(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "data", now=new_york("2026-03-07T12:00"))
    desk.drop("a.json", order(), order(symbol="BTC/USD", qty=1), order(action="cancel", target_intent_id="x"))
    (said,) = queued_orders(desk.run())
    assert said.startswith("1 market order (SPY) came after the close: sent live, the broker would queue")
    assert "2026-03-09 at 09:30 New York" in said
