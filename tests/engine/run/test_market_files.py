"""Files of prices and volumes: what is read, and each fault by file, row, value, rule and remedy."""

from __future__ import annotations

import math
import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.brokers.quotes import Quote
from engine.errors import DataUnavailable
from engine.run.market_files.price_file import QuotesRead, read_price_file
from engine.run.market_files.volume_file import read_volume_file

AT = "2026-03-02T09:30:00.123456789-05:00"
UTC_AT = datetime(2026, 3, 2, 14, 30, 0, 123456, tzinfo=UTC)
HEADER = "symbol,bid,ask,last,quote_at"


def prices(tmp_path: Path, content: str | bytes, *symbols: str, name: str = "prices.csv") -> QuotesRead:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_price_file(str(path), symbols or ("SPY",))


def refused(tmp_path: Path, content: str | bytes, name: str = "prices.csv") -> str:
    with pytest.raises(DataUnavailable) as error:
        prices(tmp_path, content, name=name)
    assert str(error.value).startswith(str(tmp_path / name))
    assert "nothing of the file is used until then" in str(error.value)
    return str(error.value)


def test_a_row_is_a_quote() -> None:
    assert Quote("SPY", 1.0, 2.0, 1.5, UTC_AT).verdict == "ok"


@pytest.mark.parametrize(
    ("cells", "quote"),
    [
        ("400.1,400.2,400.15", Quote("SPY", 400.1, 400.2, 400.15, UTC_AT)),
        ("400.1,,", Quote("SPY", 400.1, math.nan, math.nan, UTC_AT)),
        ("0,4e2,", Quote("SPY", 0.0, 400.0, math.nan, UTC_AT)),
        (",,400", Quote("SPY", math.nan, math.nan, 400.0, UTC_AT, "absent")),
    ],
)
def test_cells_are_read_as_written_and_an_empty_one_is_unknown(
    tmp_path: Path, cells: str, quote: Quote
) -> None:
    read = prices(tmp_path, f"\ufeff Symbol ,BID,Ask,last,Quote At,venue\r\nspy,{cells},{AT},N\r\n\r\n")
    assert repr(read) == repr(QuotesRead({"SPY": quote}))


@pytest.mark.parametrize(
    "value", ["NaN", "inf", "-1", "abc", '"400,1"', "1_0", "٣", "0x1", "1e9", "1.0000000001"]
)
@pytest.mark.parametrize("field", ["bid", "ask", "last"])
def test_a_number_that_is_none_makes_the_symbol_unreadable_never_zero(
    tmp_path: Path, field: str, value: str
) -> None:
    cells = ",".join(value if name == field else "1" for name in ("bid", "ask", "last"))
    read = prices(tmp_path, f"{HEADER}\nQQQ,1,2,,{AT}\nSPY,{cells},{AT}\n", "SPY", "QQQ")
    assert repr(read.quotes["SPY"]) == repr(Quote("SPY", verdict="unreadable"))
    assert read.quotes["QQQ"].verdict == "ok"
    (fault,) = read.faults
    assert fault.symbol == "SPY"
    assert fault.message.startswith(f"prices.csv:3: {field} is ")
    assert "; expected a number from 0 to below 1e9" in fault.message


@pytest.mark.parametrize("value", ["2026-03-02T09:30:00", "2026-03-02", "9:30", "", "1772461800"])
def test_a_time_without_a_zone_makes_the_symbol_unreadable(tmp_path: Path, value: str) -> None:
    read = prices(tmp_path, f"{HEADER}\nSPY,1,2,,{value}\n")
    assert read.quotes["SPY"].verdict == "unreadable"
    assert "prices.csv:2: quote_at is " in read.faults[0].message
    assert "with a zone" in read.faults[0].message


def test_two_rows_of_one_symbol_in_any_spelling_make_it_unreadable(tmp_path: Path) -> None:
    read = prices(tmp_path, f"{HEADER}\nBRK.B,1,2,,{AT}\nSPY,1,2,,{AT}\nbrk/b,1,2,,{AT}\n", "BRK.B", "SPY")
    assert {symbol: quote.verdict for symbol, quote in read.quotes.items()} == {
        "BRK.B": "unreadable",
        "SPY": "ok",
    }
    assert read.faults[0].message.startswith("prices.csv:4: symbol is 'BRK.B', as in row 2; expected one row")


def test_only_the_symbols_that_are_asked_for_are_read(tmp_path: Path) -> None:
    assert prices(tmp_path, f"{HEADER}\nQQQ,abc,2,,{AT}\n,1,2,,{AT}\n") == QuotesRead({})
    assert prices(tmp_path, f"{HEADER}\n") == QuotesRead({})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "has no column symbol, bid, ask, quote_at"),
        ("symbol;bid;ask;last;quote_at\n", "has no column symbol, bid, ask, quote_at"),
        ("symbol,bid,ask,last\n", "has no column quote_at"),
        ("symbol,bid,Bid,ask,last,quote_at\n", "has the column bid twice"),
        (f"{HEADER}\nSPY,1,2\n", ":2: it has 3 cells; expected 5"),
        (f'{HEADER}\n"SPY,1,2\n', "is no CSV"),
        (f"{HEADER}\nSPY,1,2,,".encode() + b"\xff\n", ":2: the byte 0xff is not UTF-8"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_refused_whole(
    tmp_path: Path, content: str | bytes, why: str
) -> None:
    assert why in refused(tmp_path, content)


def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("pipe.csv", "missing.csv", "."):
        with pytest.raises(DataUnavailable, match=r"it is no regular file|it can't be read"):
            read_price_file(str(tmp_path / name), ["SPY"])


def parquet(tmp_path: Path, **columns: Any) -> str:
    path = tmp_path / "prices.parquet"
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_parquet_is_read_with_its_own_types(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        symbol=pa.array(["SPY", "QQQ", "KO"]).dictionary_encode(),
        bid=pa.array([400.1, None, math.nan]),
        ask=pa.array([401, 2, 3]),
        quote_at=pa.array([1_772_461_800_123_456_789] * 3, pa.timestamp("ns", "America/New_York")),
    )
    read = read_price_file(path, ["SPY", "QQQ", "KO"])
    assert repr(read.quotes) == repr(
        {
            "SPY": Quote("SPY", 400.1, 401.0, math.nan, UTC_AT),
            "QQQ": Quote("QQQ", math.nan, 2.0, math.nan, UTC_AT),
            "KO": Quote("KO", verdict="unreadable"),
        }
    )
    assert "prices.parquet:3: bid is nan; expected a number" in read.faults[0].message


def test_parquet_with_times_without_a_zone_or_damaged_is_refused_whole(tmp_path: Path) -> None:
    path = parquet(tmp_path, symbol=["SPY"], bid=[1.0], ask=[2.0], quote_at=pa.array([0], pa.timestamp("us")))
    with pytest.raises(DataUnavailable, match="its column quote_at has times without a zone"):
        read_price_file(path, ["SPY"])
    assert "is no readable Parquet" in refused(tmp_path, b"PAR1 and nothing", "prices.parquet")


def test_volumes_are_read_with_their_date(tmp_path: Path) -> None:
    path = tmp_path / "adv.csv"
    lines = ["SPY,7e7,2026-02-27", "QQQ,,2026-02-27", "KO,5,2026-03-03", "AMC,5,27.2.2026", "F,1,2026-02-27"]
    path.write_text("\n".join(["symbol,shares,measured_on", *lines, "F,2,2026-02-26"]))
    read = read_volume_file(str(path), ["SPY", "QQQ", "KO", "AMC", "F", "X"], today=date(2026, 3, 2))
    frame = read.frame.set_index("symbol")
    assert (frame.loc["SPY", "shares"], frame.loc["SPY", "measured_on"]) == (7e7, "2026-02-27")
    assert sorted(frame.index[frame["shares"].isna()]) == ["AMC", "F", "KO", "QQQ"]
    assert sorted(fault.message.partition(";")[0] for fault in read.faults) == [
        "adv.csv:3: shares is None",
        "adv.csv:4: measured_on is '2026-03-03'",
        "adv.csv:5: measured_on is '27.2.2026'",
        "adv.csv:7: symbol is 'F', as in row 6",
    ]
