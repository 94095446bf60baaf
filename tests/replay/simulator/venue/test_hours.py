"""The clock and the calendar of several markets, and the announcements of splits."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.replay.simulator.venue.desk import Desk, refused


@pytest.mark.parametrize(
    ("when", "market_day", "phase", "until"),
    [
        ("2026-11-26T12:00:00-05:00", False, "closed", "2026-11-27T04:00:00-05:00"),
        ("2026-11-27T03:59:59-05:00", True, "closed", "2026-11-27T04:00:00-05:00"),
        ("2026-11-27T04:00:00-05:00", True, "pre", "2026-11-27T09:30:00-05:00"),
        ("2026-11-27T09:30:00-05:00", True, "core", "2026-11-27T13:00:00-05:00"),
        ("2026-11-27T13:00:00-05:00", True, "post", "2026-11-27T17:00:00-05:00"),
        ("2026-11-27T17:00:00-05:00", True, "closed", "2026-11-30T04:00:00-05:00"),
    ],
)
def test_the_clock_has_the_phase_of_the_market(when: str, market_day: bool, phase: str, until: str) -> None:
    (clock,) = Desk().venue.clocks({"time": when})["clocks"]
    assert (clock["is_market_day"], clock["phase"], clock["phase_until"]) == (market_day, phase, until)
    assert (clock["timestamp"], clock["market"]["acronym"]) == (when, "NYSE")


def test_markets_are_named_by_acronym_or_mic_each_once() -> None:
    clocks = Desk().venue.clocks({"markets": "XNAS,nyse,NASDAQ"})["clocks"]
    assert [clock["market"]["acronym"] for clock in clocks] == ["NYSE", "NASDAQ"]
    assert clocks[0]["timestamp"] == "2026-10-08T12:00:00-04:00"


def test_the_calendar_has_a_week_from_today_and_early_closes() -> None:
    venue = Desk().venue
    days = venue.market_calendar("XNYS", {})["calendar"]
    assert [day["date"][5:] for day in days] == ["10-08", "10-09", "10-12", "10-13", "10-14", "10-15"]
    (day,) = venue.market_calendar("IEX", {"start": "2026-11-26", "end": "2026-11-27"})["calendar"]
    assert (day["core_end"], day["post_end"]) == ("2026-11-27T13:00:00-05:00", "2026-11-27T17:00:00-05:00")
    assert day["settlement_date"] == "2026-11-30"
    query = {"start": "2026-11-27", "end": "2026-11-27", "timezone": "UTC"}
    (day,) = venue.market_calendar("NYSE", query)["calendar"]
    assert (day["core_start"], day["core_end"]) == ("2026-11-27T14:30:00Z", "2026-11-27T18:00:00Z")
    assert venue.market_calendar("NYSE", {"start": "9999-12-30"})["calendar"] == []


def test_markets_and_times_that_are_not_there_are_refused() -> None:
    venue = Desk().venue
    for status, body in (
        refused(venue.clocks, {"markets": "NYSE,LSE"}),
        refused(venue.market_calendar, "LSE", {}),
    ):
        assert status == 400
        assert body["message"].startswith("market LSE is not simulated; there are NYSE, XNYS, NASDAQ, XNAS, ")
    assert refused(venue.clocks, {"time": "0001-01-01T00:00:00Z"})[1]["message"] == "invalid time"
    assert refused(venue.market_calendar, "NYSE", {"timezone": "CET"})[1]["message"] == "invalid timezone"


SPLITS = {"ca_types": "Split", "since": "2026-10-08", "until": "2026-10-08"}


@pytest.mark.parametrize(
    ("query", "symbols"),
    [
        (SPLITS, ["AAPL", "KO"]),
        ({**SPLITS, "ca_types": "dividend,split", "symbol": "KO"}, ["KO"]),
        ({**SPLITS, "ca_types": "Dividend"}, []),
        ({**SPLITS, "since": "2026-10-09", "until": "2026-11-09"}, []),
        ({**SPLITS, "date_type": "payable_date", "cusip": "037833100"}, []),
    ],
)
def test_splits_are_announced(query: dict[str, str], symbols: list[str]) -> None:
    venue = Desk().venue
    venue.split("AAPL", Decimal(4))
    venue.split("KO", Decimal("0.1"))
    rows = venue.announcements(query)
    assert [row["initiating_symbol"] for row in rows] == symbols
    assert [venue.announcement(row["id"]) for row in rows] == rows


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "ca_types is required"),
        ({**SPLITS, "ca_types": "Party"}, "invalid ca_types"),
        ({"ca_types": "Split", "until": "2026-10-08"}, "since is required"),
        ({"ca_types": "Split", "since": "2026-10-08"}, "until is required"),
        ({**SPLITS, "since": "2026-01-01"}, "limited to 90 days"),
        ({**SPLITS, "date_type": "birthday"}, "invalid date_type"),
    ],
)
def test_wrong_questions_for_announcements_are_refused(query: dict[str, str], words: str) -> None:
    assert words in refused(Desk().venue.announcements, query)[1]["message"]
