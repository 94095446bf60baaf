from __future__ import annotations

import io
from datetime import date, datetime

import pandas as pd
import pyarrow as pa
import pytest

from engine.errors import ConfigurationError
from engine.intents.local_times import with_offsets
from engine.intents.reading import IntentFile, read_intent_file
from engine.setting_values import as_zone

NEW_YORK = "America/New_York"
HEADER = "strategy_id,broker_account_id,symbol,side,qty,created_at"


def read(times: list[str], zone: str | None = NEW_YORK) -> IntentFile:
    lines = [HEADER, *(f"s,paper,SPY,buy,1,{time}" for time in times)]
    content = "\n".join(lines).encode()
    return read_intent_file("a.csv", content, file_time_us=0, trading_date=date(2026, 3, 2), zone=zone)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-03-02T09:30:00", "2026-03-02T09:30:00-05:00"),
        ("2026-03-02 09:30:00", "2026-03-02T09:30:00-05:00"),
        ("2026-03-02T09:30", "2026-03-02T09:30-05:00"),
        ("2026-03-09T09:30:00.123456", "2026-03-09T09:30:00.123456-04:00"),
        ("2026-03-02T09:30:00Z", "2026-03-02T09:30:00Z"),
        ("2026-03-02T09:30:00+01:00", "2026-03-02T09:30:00+01:00"),
        ("2026-03-08T01:59:59", "2026-03-08T01:59:59-05:00"),
        ("2026-03-08T03:00:00", "2026-03-08T03:00:00-04:00"),
    ],
)
def test_a_time_without_a_zone_is_one_of_the_zone_that_is_named(written: str, meant: str) -> None:
    file = read([written])
    assert file.table["created_at"].to_pylist() == [datetime.fromisoformat(meant)]
    assert file.table["client_intent_id"].equals(read([meant], zone=None).table["client_intent_id"])


@pytest.mark.parametrize(
    "written",
    [
        "2026-03-08T02:30:00",  # skipped
        "2026-11-01T01:30:00",  # twice
        "2026-03-02", "09:30", "2026-02-30T09:30:00", "2026-03-02T25:00:00", "yesterday",
        "0001-01-01T00:00:00",
    ],
)  # fmt: skip
def test_a_time_that_is_none_or_two_in_its_zone_is_refused_with_the_remedy(written: str) -> None:
    (refused,) = read([written]).refused
    assert refused.first.field == "created_at"
    assert "clock change" in refused.first.remedy


def test_without_the_setting_a_time_without_a_zone_is_refused_and_the_setting_named() -> None:
    (refused,) = read(["2026-03-02T09:30:00"], zone=None).refused
    assert "EXEC_INBOX_TZ" in refused.first.remedy


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet_times_without_a_zone_are_read_in_it(unit: str) -> None:
    times = pd.Series(pd.to_datetime(["2026-03-02 09:30:00", "2026-03-08 02:30:00", None])).dt.as_unit(unit)
    frame = pd.DataFrame(
        {"strategy_id": "s", "broker_account_id": "paper", "symbol": ["A", "B", "C"], "side": "buy", "qty": 1}
    )
    sink = io.BytesIO()
    frame.assign(valid_until=times).to_parquet(sink)
    file = read_intent_file(
        "a.parquet", sink.getvalue(), file_time_us=0, trading_date=date(2026, 3, 2), zone=NEW_YORK
    )
    assert file.table["valid_until"].to_pylist() == [
        datetime.fromisoformat("2026-03-02T14:30:00+00:00"),
        None,
    ]
    assert [row.first.row for row in file.refused] == [2]


def test_what_holds_no_time_comes_back_as_it_is() -> None:
    for array in (pa.array([1, None]), pa.array([None, None]), pa.array([["x"]])):
        assert with_offsets(array, NEW_YORK).equals(array)


@pytest.mark.parametrize(
    "wrong", ["New York", "EST5", "../UTC", "/etc/localtime", "Europe", "+05:00", "\x00"]
)
def test_what_is_no_zone_is_a_configuration_error(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="IANA name of a time zone"):
        as_zone("EXEC_INBOX_TZ", wrong)


def test_a_zone_is_taken_by_its_name() -> None:
    assert as_zone("EXEC_INBOX_TZ", " Europe/Berlin ") == "Europe/Berlin"
