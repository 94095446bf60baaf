from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

import exchange_calendars
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from engine.model.calendar import (
    EARLY_CLOSES,
    FIRST_DAY,
    LAST_DAY,
    NEW_YORK,
    TABLE,
    check_calendar,
    extended_hours,
    trading_date,
)
from tests.engine.make_calendar import HEADER, closed_weekdays

LAST_SESSION = date(2045, 12, 29)
FIRST_NIGHT = datetime(2010, 1, 5, 3, 59, tzinfo=UTC)
TIMESTAMPS = st.integers(0, timedelta(days=13_140) // timedelta(microseconds=1)).map(
    lambda us: FIRST_NIGHT + timedelta(microseconds=us)
)

# The library is a step behind pandas, which the engine's user can't help and doesn't see.
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning:pandas.errors.Pandas4Warning")


def new_york(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@cache
def library() -> Any:
    return exchange_calendars.get_calendar("XNYS", start=FIRST_DAY, end=LAST_DAY)


def test_the_shipped_table_agrees_with_exchange_calendars_on_every_day() -> None:
    days = pd.date_range(FIRST_DAY, LAST_SESSION)
    sessions = library().sessions
    expected = sessions[sessions.searchsorted(days)].date.tolist()
    noons = [datetime.combine(day, time(12), NEW_YORK) for day in days.date]
    assert [trading_date(noon) for noon in noons] == expected


def test_the_generator_writes_the_shipped_table() -> None:
    assert TABLE.read_text(encoding="ascii").split() == [HEADER, *closed_weekdays()]


@given(TIMESTAMPS)
def test_any_timestamp_belongs_to_the_session_of_its_new_york_day_which_rolls_at_20(
    timestamp: datetime,
) -> None:
    local = pd.Timestamp(timestamp).tz_convert("America/New_York")
    day = (local.tz_localize(None) + pd.Timedelta(hours=4)).normalize()
    assert trading_date(timestamp) == library().date_to_session(day, direction="next").date()


@given(TIMESTAMPS)
def test_a_timestamp_and_a_datetime_of_any_zone_give_the_same_session(timestamp: datetime) -> None:
    elsewhere = pd.Timestamp(timestamp).tz_convert("Asia/Tokyo")
    assert trading_date(elsewhere) == trading_date(timestamp)


@pytest.mark.parametrize("zone_change", ["2026-03-06", "2026-03-09", "2026-10-30", "2026-11-02"])
def test_the_day_rolls_at_20_on_both_sides_of_a_clock_change(zone_change: str) -> None:
    day = date.fromisoformat(zone_change)
    assert trading_date(new_york(f"{zone_change}T19:59:59.999999")) == day
    assert trading_date(new_york(f"{zone_change}T20:00:00")) > day


def test_a_nanosecond_before_20_is_still_the_same_day() -> None:
    timestamp = pd.Timestamp("2026-11-20T19:59:59.999999999", tz="America/New_York")
    assert trading_date(timestamp) == date(2026, 11, 20)


def test_an_evening_in_new_york_is_not_the_next_day_though_it_is_in_utc() -> None:
    assert trading_date(datetime(2026, 7, 14, 0, 30, tzinfo=UTC) - timedelta(hours=1)) == date(2026, 7, 13)


def test_friday_evening_and_the_weekend_belong_to_monday() -> None:
    timestamps = ("2026-11-20T20:00", "2026-11-21T11:00", "2026-11-22T23:00")
    assert {trading_date(new_york(timestamp)) for timestamp in timestamps} == {date(2026, 11, 23)}


def test_a_holiday_belongs_to_the_session_after_it() -> None:
    assert trading_date(new_york("2026-11-26T12:00")) == date(2026, 11, 27)


def test_the_afternoon_of_a_half_day_belongs_to_that_day() -> None:
    assert trading_date(new_york("2026-11-27T15:30")) == date(2026, 11, 27)


def test_a_day_that_was_closed_at_short_notice_belongs_to_the_next() -> None:
    assert trading_date(new_york("2025-01-09T12:00")) == date(2025, 1, 10)


@pytest.mark.parametrize(
    "timestamp", [datetime.fromisoformat("2026-11-20"), pd.Timestamp("2026-11-20"), pd.NaT]
)
def test_a_timestamp_without_a_zone_is_an_error(timestamp: datetime) -> None:
    with pytest.raises(ValueError, match="without a zone"):
        trading_date(timestamp)


@pytest.mark.parametrize(
    "timestamp",
    [
        "0001-01-01T00:00",
        "2009-12-31T19:59",
        "2045-12-29T20:00",
        "2046-01-02T12:00",
        "9999-12-31T23:59",
    ],
)
def test_a_timestamp_outside_the_table_is_an_error_and_no_guess(timestamp: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"EXEC_CALENDAR is XNYS, which has no session for .* 2010.* 2045"
    ):
        trading_date(datetime.fromisoformat(timestamp).replace(tzinfo=NEW_YORK))


def test_the_last_session_of_the_table_is_still_given() -> None:
    assert trading_date(new_york("2045-12-29T19:59")) == LAST_SESSION


def test_london_keeps_its_own_holidays_and_not_new_yorks() -> None:
    assert trading_date(new_york("2026-11-26T12:00"), "XLON") == date(2026, 11, 26)
    assert trading_date(new_york("2026-12-24T20:00"), "XLON") == date(2026, 12, 29)


def test_the_calendar_that_never_closes_has_weekend_sessions_that_roll_at_20() -> None:
    assert trading_date(new_york("2026-11-21T19:59"), "24/7") == date(2026, 11, 21)
    assert trading_date(new_york("2026-11-21T20:00"), "24/7") == date(2026, 11, 22)


def test_another_calendar_is_used_to_its_last_recorded_day_and_not_beyond() -> None:
    end = exchange_calendars.get_calendar("XSHG").bound_max()
    last = datetime.combine(end.date(), time(12), NEW_YORK)
    assert trading_date(last - timedelta(days=60), "XSHG") <= last.date()
    with pytest.raises(ConfigurationError, match="XSHG, which has no session for"):
        trading_date(last + timedelta(days=1), "XSHG")


@pytest.mark.parametrize(("name", "remedy"), [("xlon", "Did you mean XLON"), ("Wall Street", "Write XNYS")])
def test_an_unknown_calendar_is_a_configuration_error_with_a_remedy(name: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        check_calendar(name)
    with pytest.raises(ConfigurationError, match=remedy):
        trading_date(new_york("2026-11-20T12:00"), name)


@pytest.mark.parametrize("name", ["XNYS", "NYSE", "XLON", "24/7"])
def test_known_calendars_pass_the_check(name: str) -> None:
    check_calendar(name)


def test_new_york_never_imports_the_library() -> None:
    program = (
        "import sys, datetime as d; from engine.model.calendar import *; check_calendar('XNYS');"
        "trading_date(d.datetime(2026, 11, 20, tzinfo=d.UTC)); sys.exit('exchange_calendars' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("session", "calendar", "hours"),
    [
        (date(2026, 3, 2), "XNYS", ("04:00", "20:00")),
        (date(2026, 11, 27), "XNYS", ("04:00", "17:00")),
        (date(2026, 3, 9), "XNYS", ("04:00", "20:00")),  # the first session of daylight saving time
        (date(2026, 11, 27), "XNAS", ("04:00", "17:00")),
        (date(2026, 3, 2), "XTSE", None),  # Toronto has New York's regular hours
        (date(2026, 3, 2), "XLON", None),
        (date(2026, 3, 2), "24/7", None),
    ],
)
def test_extended_hours_are_new_yorks_and_end_at_17_on_a_half_day(
    session: date, calendar: str, hours: tuple[str, str] | None
) -> None:
    found = extended_hours(session, calendar)
    expected = hours and tuple(datetime.combine(session, time.fromisoformat(at), NEW_YORK) for at in hours)
    assert found == expected


def test_every_half_day_ends_its_extended_hours_at_17() -> None:
    _, *days = EARLY_CLOSES.read_text(encoding="ascii").split()
    found = [extended_hours(date.fromisoformat(day)) for day in days]
    assert {hours and hours[1].time() for hours in found} == {time(17)}
