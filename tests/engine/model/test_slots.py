"""When a slot is due: sessions, half days, holidays, weekends, and the days on which clocks change."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.errors import UsageError
from engine.model.slots import parse_duration, parse_when, slot_time

NEW_YORK = ZoneInfo("America/New_York")
LATEST = timedelta(minutes=15)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("when", "now", "state", "due_at", "next_due_at"),
    [
        # a Monday
        ("open+15m", "2026-03-02 09:44:59", "not_due", "2026-03-02 09:45", "2026-03-02 09:45"),
        ("open+15m", "2026-03-02 09:45:00", "due", "2026-03-02 09:45", "2026-03-03 09:45"),
        ("open+15m", "2026-03-02 10:00:00", "due", "2026-03-02 09:45", "2026-03-03 09:45"),
        ("open+15m", "2026-03-02 10:00:01", "late", "2026-03-02 09:45", "2026-03-03 09:45"),
        ("open", "2026-03-02 09:30:00", "due", "2026-03-02 09:30", "2026-03-03 09:30"),
        ("open-5m", "2026-03-02 09:25:00", "due", "2026-03-02 09:25", "2026-03-03 09:25"),
        ("close-10m", "2026-03-02 15:50:00", "due", "2026-03-02 15:50", "2026-03-03 15:50"),
        ("15:45", "2026-03-02 15:45:00", "due", "2026-03-02 15:45", "2026-03-03 15:45"),
        ("9:05", "2026-03-02 09:05:00", "due", "2026-03-02 09:05", "2026-03-03 09:05"),
        # the trading day rolls at 20:00: the slot is that of the next session
        ("15:45", "2026-03-02 19:59:59", "late", "2026-03-02 15:45", "2026-03-03 15:45"),
        ("15:45", "2026-03-02 20:00:00", "not_due", "2026-03-03 15:45", "2026-03-03 15:45"),
        # a Friday evening: Monday's session has begun
        ("open", "2026-03-06 20:30:00", "not_due", "2026-03-09 09:30", "2026-03-09 09:30"),
        # a Saturday, a Sunday evening, Thanksgiving
        ("open", "2026-03-07 09:30:00", "closed_day", None, "2026-03-09 09:30"),
        ("open", "2026-03-08 20:30:00", "not_due", "2026-03-09 09:30", "2026-03-09 09:30"),
        ("close-10m", "2026-11-26 12:50:00", "closed_day", None, "2026-11-27 12:50"),
        # the day after Thanksgiving closes at 13:00
        ("close-10m", "2026-11-27 12:50:00", "due", "2026-11-27 12:50", "2026-11-30 15:50"),
        ("close-10m", "2026-11-27 15:50:00", "late", "2026-11-27 12:50", "2026-11-30 15:50"),
        ("15:45", "2026-11-27 15:45:00", "no_such_time", None, "2026-11-30 15:45"),
        ("15:45", "2026-11-27 09:00:00", "no_such_time", None, "2026-11-30 15:45"),
        ("13:00", "2026-11-27 13:00:00", "due", "2026-11-27 13:00", "2026-11-30 13:00"),
        ("16:30", "2026-11-27 16:30:00", "due", "2026-11-27 16:30", "2026-11-30 16:30"),
        # clocks went forward on 2026-03-08, back on 2026-11-01: times stay New York's
        ("open+15m", "2026-03-09 09:45:00", "due", "2026-03-09 09:45", "2026-03-10 09:45"),
        ("15:45", "2026-03-06 15:45:00", "due", "2026-03-06 15:45", "2026-03-09 15:45"),
        ("open", "2026-10-30 09:30:00", "due", "2026-10-30 09:30", "2026-11-02 09:30"),
    ],
)
def test_a_slot_is_due_once_a_session(
    when: str, now: str, state: str, due_at: str | None, next_due_at: str
) -> None:
    found = slot_time(parse_when(when), at(now), LATEST, "XNYS")
    assert found.state == state
    assert found.due_at == (None if due_at is None else at(due_at))
    assert found.next_due_at == at(next_due_at)
    assert (found.why == "") == (state == "due")


def test_the_hours_after_a_change_of_clocks_are_those_of_new_york() -> None:
    before, after = at("2026-03-06 15:45"), at("2026-03-09 15:45")
    found = slot_time(parse_when("15:45"), before, LATEST, "XNYS")
    assert found.next_due_at.astimezone(ZoneInfo("UTC")).hour == after.astimezone(ZoneInfo("UTC")).hour == 19


@pytest.mark.filterwarnings("ignore:Series.values returning:pandas.errors.Pandas4Warning")
def test_another_exchange_has_its_own_open_and_half_days() -> None:
    london = slot_time(parse_when("close-10m"), at("2026-12-24 07:20"), LATEST, "XLON")
    assert (london.state, london.due_at) == ("due", at("2026-12-24 07:20"))  # 12:20 in London, a half day
    later = slot_time(parse_when("15:45"), at("2026-12-23 15:45"), LATEST, "XLON")
    assert later.state == "due"  # after its close, as on any other day
    assert later.next_due_at == at("2026-12-24 15:45")


@pytest.mark.parametrize(
    ("when", "now", "why"),
    [
        ("open", "2026-03-07 09:30", "2026-03-07 is a weekend: XNYS has no session"),
        ("open", "2026-11-26 09:30", "2026-11-26 is a holiday: XNYS has no session"),
        ("15:45", "2026-11-27 15:45", "2026-11-27 is a half day: the session closes at 13:00, before 15:45"),
        ("open", "2026-03-02 09:00", "not due before 2026-03-02 09:30:00 New York"),
        (
            "open",
            "2026-03-02 09:46",
            "it was due at 2026-03-02 09:30:00 New York, and 2026-03-02 09:46:00 New York is too late for it",
        ),
    ],
)
def test_why_a_slot_is_not_due_is_said(when: str, now: str, why: str) -> None:
    assert slot_time(parse_when(when), at(now), LATEST, "XNYS").why == why


@pytest.mark.parametrize(
    "text", ["", "noon", "open+", "open+15", "+15m", "24:00", "20:00", "15:60", "open+99h"]
)
def test_a_time_that_is_none_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        parse_when(text)


@pytest.mark.parametrize(
    ("when", "day"), [("close+5h", "2026-03-02 12:00"), ("close+7h", "2026-11-27 12:00")]
)
def test_a_time_beyond_the_trading_day_is_refused(when: str, day: str) -> None:
    with pytest.raises(UsageError, match="which ends at 20:00"):
        slot_time(parse_when(when), at(day), LATEST, "XNYS")


@pytest.mark.parametrize(("text", "length"), [("90s", 90), ("15m", 900), (" 1H ", 3600), ("0s", 0)])
def test_a_length_of_time(text: str, length: int) -> None:
    assert parse_duration(text, "--latest") == timedelta(seconds=length)


@pytest.mark.parametrize("text", ["", "15", "m", "1.5h", "-5m", "13h", "1d"])
def test_a_length_of_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--latest is .*; expected a length of time"):
        parse_duration(text, "--latest")
