from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import exchange_calendars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from engine.model.calendar import EARLY_CLOSES, FIRST_DAY, LAST_DAY, trading_date
from replay.simulator.market import sessions
from replay.simulator.market.sessions import (
    FIRST_NS,
    LAST_NS,
    calendar,
    clock_body,
    ending_after,
    in_new_york,
    is_open,
    next_close_ns,
    next_open_ns,
    number_begun,
    session,
    session_number,
)
from replay.simulator.timestamps import SECOND
from tests.replay.simulator.market.make_early_closes import HEADER, early_closes
from tests.replay.simulator.market.prices import at

MOMENTS = st.integers(FIRST_NS, LAST_NS)

# The library is a step behind pandas, which the engine's user can't help and doesn't see.
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning:pandas.errors.Pandas4Warning")


def test_every_session_opens_and_closes_as_exchange_calendars_says() -> None:
    library = exchange_calendars.get_calendar("XNYS", start=FIRST_DAY, end=LAST_DAY)
    ours = [session_number(number) for number in range(sessions.session_count())]
    days = library.sessions.date[: len(ours)].tolist()
    assert [hours.day for hours in ours] == days
    assert len(library.sessions) == len(ours) + 1  # the last one of 2045 has no settlement
    for mine, theirs in (("open_ns", library.opens), ("close_ns", library.closes)):
        expected = theirs.dt.as_unit("ns").astype("int64").tolist()[: len(ours)]
        assert [getattr(hours, mine) for hours in ours] == expected


def test_the_generator_writes_the_shipped_table() -> None:
    assert EARLY_CLOSES.read_text(encoding="ascii").split() == [HEADER, *early_closes()]


@pytest.mark.parametrize(
    "day", ["2026-03-06", "2026-03-09", "2026-10-30", "2026-11-02", "2026-07-02", "2026-11-27"]
)
def test_hours_are_new_yorks_on_both_sides_of_a_clock_change_and_on_half_days(day: str) -> None:
    hours = session(date.fromisoformat(day))
    close, post = ("13:00", "17:00") if day == "2026-11-27" else ("16:00", "20:00")
    assert [hours.pre_ns, hours.open_ns, hours.close_ns, hours.post_ns] == [
        at(f"{day}T{clock}") for clock in ("04:00", "09:30", close, post)
    ]


@given(MOMENTS)
def test_the_session_is_the_engines_trading_date_except_after_a_half_day(t_ns: int) -> None:
    hours = ending_after(t_ns)
    moment = datetime.fromtimestamp(t_ns // SECOND, UTC)
    engines = session(trading_date(moment))
    assert hours == engines or (engines.early_close and engines.post_ns <= t_ns)
    assert hours.post_ns > t_ns


@given(MOMENTS)
def test_next_open_and_next_close_are_the_first_ones_after_the_timestamp(t_ns: int) -> None:
    near = [session_number(number) for number in range(number_begun(t_ns), number_begun(t_ns) + 3)]
    assert next_open_ns(t_ns) == min(hours.open_ns for hours in near if hours.open_ns > t_ns)
    assert next_close_ns(t_ns) == min(hours.close_ns for hours in near if hours.close_ns > t_ns)
    assert is_open(t_ns) == (next_close_ns(t_ns) < next_open_ns(t_ns))


@pytest.mark.parametrize("close", ["2026-11-25T16:00", "2026-11-27T13:00"])
def test_the_market_is_open_until_the_last_nanosecond_before_the_close(close: str) -> None:
    assert is_open(at(close) - 1)
    assert not is_open(at(close))
    opens = at(close[:10] + "T09:30")
    assert is_open(opens)
    assert not is_open(opens - 1)


def test_the_clock_on_a_weekend_is_as_recorded() -> None:
    recorded = {
        "timestamp": "2019-07-07T12:55:08.427247519-04:00",
        "is_open": False,
        "next_open": "2019-07-08T09:30:00-04:00",
        "next_close": "2019-07-08T16:00:00-04:00",
    }
    assert clock_body(at("2019-07-07T12:55:08") + 427_247_519) == recorded


def test_the_clock_while_open_gives_this_close_and_the_next_sessions_open() -> None:
    assert clock_body(at("2026-11-27T10:00") + 500_000_000) == {
        "timestamp": "2026-11-27T10:00:00.5-05:00",
        "is_open": True,
        "next_open": "2026-11-30T09:30:00-05:00",
        "next_close": "2026-11-27T13:00:00-05:00",
    }


def test_a_timestamp_has_the_offset_that_new_york_has_then() -> None:
    assert in_new_york(at("2026-03-07T12:00")) == "2026-03-07T12:00:00-05:00"
    assert in_new_york(at("2026-03-09T12:00")) == "2026-03-09T12:00:00-04:00"


# What was asked of the calendar in 2019 and 2020, and the days that were no sessions in the answers.
RECORDED_CALENDARS = (
    (date(2019, 6, 1), date(2019, 7, 1), set[date]()),
    (date(2020, 2, 10), date(2020, 3, 1), {date(2020, 2, 17)}),
)


@pytest.mark.parametrize(("first", "last", "holidays"), RECORDED_CALENDARS)
def test_the_calendar_has_the_days_and_hours_that_were_recorded(
    first: date, last: date, holidays: set[date]
) -> None:
    every = [first + timedelta(days) for days in range((last - first).days + 1)]
    ours = [(day["date"], day["open"], day["close"]) for day in calendar(first, last)]
    assert ours == [
        (day.isoformat(), "09:30", "16:00") for day in every if day.weekday() < 5 and day not in holidays
    ]  # extended hours, "session_open" and "session_close", were 07:00 to 19:00 then


def test_a_half_day_closes_at_13_and_settles_on_the_next_trading_day() -> None:
    assert calendar(date(2026, 11, 26), date(2026, 11, 29)) == [
        {
            "date": "2026-11-27",
            "open": "09:30",
            "close": "13:00",
            "session_open": "0400",
            "session_close": "1700",
            "settlement_date": "2026-11-30",
        }
    ]


def test_the_calendar_goes_from_2010_to_2029_unless_more_is_asked_for() -> None:
    every = calendar()
    assert (every[0]["date"], every[-1]["date"]) == ("2010-01-04", "2029-12-31")
    assert calendar(end=date(1999, 1, 1)) == []
    assert calendar(date(2050, 1, 1), date(2051, 1, 1)) == []
    assert calendar(date(2027, 1, 1), date(2026, 1, 1)) == []
    last = calendar(date(2045, 12, 1), date(9999, 12, 31))[-1]
    assert (last["date"], last["settlement_date"]) == ("2045-12-28", "2045-12-29")


@given(st.dates(date(2015, 1, 1), date(2030, 1, 1)), st.integers(0, 20))
def test_the_calendar_by_settlement_has_the_days_that_settle_then(start: date, days: int) -> None:
    end = start + timedelta(days=days)
    around = calendar(start - timedelta(days=10), end)
    expected = [day for day in around if start.isoformat() <= day["settlement_date"] <= end.isoformat()]
    assert calendar(start, end, date_type="SETTLEMENT") == expected


def test_a_day_without_a_session_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="the day is 2026-11-26; expected a session"):
        session(date(2026, 11, 26))
    with pytest.raises(ConfigurationError, match="expected a session"):
        session(date(2046, 1, 2))


def test_beyond_the_calendar_there_is_no_session() -> None:
    with pytest.raises(ConfigurationError, match="has left the calendar"):
        ending_after(at("2045-12-31T12:00"))
    assert next_open_ns(LAST_NS) > LAST_NS
