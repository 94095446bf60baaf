from __future__ import annotations

import io
import time
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from engine.intents.local_times import InboxZone, with_offsets
from engine.intents.reading import IntentFile, read_intent_file
from engine.intents.typed import typed_column
from engine.settings.values import as_zone

NEW_YORK = "America/New_York"
CLOCK_CHANGES = ["1883-11-18T12:00", "1918-03-31T02:00", "2026-03-08T02:00", "2026-11-01T01:00"]
local_times = st.builds(
    lambda time, minutes, us: datetime.fromisoformat(time) + timedelta(minutes=minutes, microseconds=us),
    st.sampled_from([*CLOCK_CHANGES, "1800-01-01T00:00", "2199-12-31T23:59"]),
    st.integers(-200, 200) | st.integers(-500_000, 500_000),
    st.integers(0, 60_000_000),
)
HEADER = "strategy_id,broker_account_id,symbol,side,qty,created_at"


def read(times: list[str], zone: str | None = NEW_YORK) -> IntentFile:
    lines = [HEADER, *(f"s,paper,SPY,buy,1,{time}" for time in times)]
    content = "\n".join(lines).encode()
    return read_intent_file(
        "a.csv", content, file_time_us=0, trading_date=date(2026, 3, 2), zone=InboxZone(zone)
    )


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
    ],
)
def test_a_time_that_is_none_or_two_in_its_zone_is_refused_with_the_remedy(written: str) -> None:
    (refused,) = read([written]).refused
    assert refused.first.field == "created_at"
    assert "a clock change in America/New_York (EXEC_INBOX_TZ)" in refused.first.remedy


@pytest.mark.parametrize("zone", [NEW_YORK, None])
@pytest.mark.parametrize("written", ["2026-03-02", "09:30", "yesterday", "2026-03-02T09:30:00-5", "20260302"])
def test_what_is_no_time_is_refused_without_a_word_about_the_setting(written: str, zone: str | None) -> None:
    (refused,) = read([written], zone).refused
    assert refused.first.remedy == "Write it as 2026-03-02T14:30:00Z, or with an offset such as -05:00."


@pytest.mark.parametrize("written", ["2026-02-30T09:30:00", "2026-03-02T25:00:00", "0000-01-01T00:00:00"])
def test_a_date_that_there_is_not_is_refused_in_any_zone(written: str) -> None:
    assert len(read([written]).refused) == 1


def test_where_the_setting_is_not_read_it_is_not_named() -> None:
    content = f"{HEADER}\ns,paper,SPY,buy,1,2026-03-02T09:30:00\n".encode()
    (refused,) = read_intent_file("a.csv", content, file_time_us=0, trading_date=date(2026, 3, 2)).refused
    assert "EXEC_INBOX_TZ" not in refused.first.remedy


def offset_by_zoneinfo(local: datetime) -> timedelta | None:
    """Return the only offset that a local time has in New York, None where it has none or two."""
    early, late = (local.replace(tzinfo=ZoneInfo(NEW_YORK), fold=fold).utcoffset() for fold in (0, 1))
    return early if early == late and early is not None and not early % timedelta(minutes=1) else None


@given(local_times)
def test_the_offset_is_the_one_that_the_standard_library_has(local: datetime) -> None:
    (written,) = with_offsets(pa.array([local.isoformat()]), NEW_YORK).to_pylist()
    offset = offset_by_zoneinfo(local)
    expected = local if offset is None else local.replace(tzinfo=timezone(offset))
    assert datetime.fromisoformat(written) == expected


def test_a_million_distinct_times_cost_little_beside_reading_them() -> None:
    times = pa.array(np.arange(1_000_000) * 7 + 1_772_000_000, pa.timestamp("s")).cast(pa.string())
    zoned = pc.binary_join_element_wise(times, "-05:00", "")
    begun = time.process_time()
    typed_column("time", zoned)
    reading = time.process_time() - begun
    begun = time.process_time()
    with_offsets(times, NEW_YORK)
    assert time.process_time() - begun < 1.5 * reading


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
        "a.parquet", sink.getvalue(), file_time_us=0, trading_date=date(2026, 3, 2), zone=InboxZone(NEW_YORK)
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
    "wrong",
    ["New York", "EST5", "../UTC", "/etc/localtime", "Europe", "+05:00", "\x00", "localtime", "posixrules",
     "Factory", "right/Europe/Berlin", "posix/UTC", "europe/berlin", "tzdata.zi", "zone.tab", "Asia/"],
)  # fmt: skip
def test_what_is_no_zone_is_a_configuration_error(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="IANA name of a time zone"):
        as_zone("EXEC_INBOX_TZ", wrong)


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "UTC", "EST5EDT", "Asia/Calcutta", "US/Eastern", "Etc/GMT+5"]
)
def test_a_zone_is_taken_by_its_name_or_an_alias(zone: str) -> None:
    assert as_zone("EXEC_INBOX_TZ", f" {zone} ") == zone
