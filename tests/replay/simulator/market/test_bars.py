from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UnreadableFile
from replay.simulator.market.prices import Bars, Market, RandomWalk
from replay.simulator.timestamps import SECOND
from tests.replay.simulator.market.prices import HEADER, OPEN, TWO_BARS, at, bars

START = at("2026-11-25T12:45")
WALK = RandomWalk(7, START)


def dollars(market: Market, *seconds: float) -> list[Decimal]:
    return [market.price("A", OPEN + round(second * SECOND)).quantize(Decimal("0.01")) for second in seconds]


def test_a_bar_that_rises_goes_by_its_low_and_one_that_falls_by_its_high() -> None:
    market = bars(*TWO_BARS)
    assert dollars(market, 0, 10, 20, 30, 40, 50, 59.9999) == [
        Decimal(text) for text in ("100", "99.50", "99", "101", "103", "102.50", "102")
    ]
    assert dollars(market, 60, 80, 100, 119.9999) == [
        Decimal(text) for text in ("101", "101.5", "98", "98.5")
    ]


def test_the_close_holds_over_a_gap_and_after_the_last_bar_and_the_open_before_the_first() -> None:
    market = bars(*TWO_BARS)
    assert dollars(market, 120, 599.9999, 600, 1e6) == [
        Decimal(text) for text in ("98.5", "98.5", "90", "90")
    ]
    assert dollars(market, -1e6, -0.0001) == [Decimal(100), Decimal(100)]


def test_the_extremes_of_a_bars_time_are_its_own() -> None:
    market = bars(*TWO_BARS)
    assert market.extremes("A", OPEN - 1, OPEN + 60 * SECOND - 1) == (Decimal(99), Decimal(103))
    assert market.first_at_or_above("A", Decimal(103), OPEN, OPEN + 60 * SECOND) == OPEN + 40 * SECOND


PRICES = st.integers(1, 10**7).map(lambda cents: cents / 100)


@given(st.lists(st.tuples(PRICES, PRICES, PRICES, PRICES, st.integers(1, 5)), min_size=1, max_size=8))
def test_any_bars_path_stays_within_them_and_touches_all_four_prices(rows: list[tuple[float, ...]]) -> None:
    minute, lines = 0, []
    for row in rows:
        *four, wait = row
        begin = pd.Timestamp("2026-03-02T14:30Z") + pd.Timedelta(minutes=minute)
        prices = {"open": four[0], "high": max(four), "low": min(four), "close": four[3]}
        lines.append({"symbol": "A", "timestamp": begin, **prices})
        minute += int(wait)
    frame = pd.DataFrame(lines)
    market = Bars(frame.sample(frac=1, random_state=1))
    length = frame["timestamp"].diff().min()
    length_ns = 60 * SECOND if pd.isna(length) else length.value
    for bar in lines:
        begin_ns = bar["timestamp"].value
        assert market.price("A", begin_ns) == Decimal(str(bar["open"]))
        assert market.price("A", begin_ns + length_ns - 1) == Decimal(str(bar["close"]))
        low, high = market.extremes("A", begin_ns - 1, begin_ns + length_ns - 1)
        assert (low, high) == (Decimal(str(bar["low"])), Decimal(str(bar["high"])))


def test_auctions_are_the_open_of_the_first_and_the_close_of_the_last_bar_of_the_session() -> None:
    market = bars(
        "A,2026-03-02T09:29:00-05:00,9,9,9,9",
        "A,2026-03-02T09:30:00-05:00,10,10,10,10",
        "A,2026-03-02T15:59:00-05:00,11,11,11,11",
        "A,2026-03-02T16:00:00-05:00,12,12,12,12",
    )
    assert market.open_price("A", date(2026, 3, 2)) == 10
    assert market.close_price("A", date(2026, 3, 2)) == 11


@pytest.mark.parametrize("midnight", ["00:00:00-05:00", "05:00:00Z", "00:00:00Z"])
def test_bars_of_a_day_last_from_the_open_to_the_close(midnight: str) -> None:
    market = bars(f"A,2026-11-25T{midnight},100,110,90,105", f"A,2026-11-27T{midnight},101,111,91,106")
    for day, close, opened, closed in ((25, "16:00", 100, 105), (27, "13:00", 101, 106)):
        assert market.open_price("A", date(2026, 11, day)) == opened
        assert market.close_price("A", date(2026, 11, day)) == closed
        assert market.price("A", at(f"2026-11-{day}T{close}") - 1) == closed
    assert market.price("A", at("2026-11-27T09:30") - 1) == 105


def test_other_symbols_have_prices_only_where_a_fallback_is_asked_for() -> None:
    alone = bars(*TWO_BARS)
    assert not alone.knows("MSFT")
    for ask in (alone.price, alone.quote):
        with pytest.raises(LookupError, match="there are no bars of MSFT"):
            ask("MSFT", START)
    frame = pd.DataFrame([dict(zip(HEADER.split(",")[:6], TWO_BARS[0].split(","), strict=True))])
    market = Bars(frame, fallback=WALK)
    assert market.knows("MSFT")
    assert market.price("MSFT", START) == WALK.price("MSFT", START)
    assert market.extremes("MSFT", START, START + 5 * 86_400 * SECOND) == WALK.extremes(
        "MSFT", START, START + 5 * 86_400 * SECOND
    )
    assert market.price("A", OPEN) == 100


def test_csv_and_parquet_files_give_the_same_prices(tmp_path: Path) -> None:
    text = "\n".join([HEADER, *(f"{row},1000" for row in TWO_BARS), ""])
    (tmp_path / "bars.csv").write_text(text, encoding="utf-8")
    frame = pd.read_csv(tmp_path / "bars.csv", parse_dates=["timestamp"])
    frame.to_parquet(tmp_path / "bars.parquet")
    of_csv, of_parquet = (Bars.read(tmp_path / name) for name in ("bars.csv", "bars.parquet"))
    assert of_csv.symbols == of_parquet.symbols == {"A"}
    for second in range(0, 700, 7):
        t_ns = OPEN + second * SECOND
        assert of_csv.price("A", t_ns) == of_parquet.price("A", t_ns)


GOOD = "A,2026-03-02T09:30:00-05:00,100,103,99,102,5"


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (
            "A,2026-03-02T09:31:00,1,1,1,1",
            "timestamp is '2026-03-02T09:31:00'; expected a time with its zone. W",
        ),
        ("A,2026-03-02,1,1,1,1", "timestamp is '2026-03-02'; expected a time with its zone. Write it like"),
        ("A,2026-03-42T09:31:00Z,1,1,1,1", "timestamp is '2026-03-42T09:31:00Z'; expected a time. Write it"),
        ("A,,1,1,1,1", "timestamp is ''; expected a time with its zone"),
        (",2026-03-02T09:31:00Z,1,1,1,1", "symbol is ''; expected a symbol. Name it"),
        (
            "A,2026-03-02T09:31:00Z,1;5,1,1,1",
            "open is '1;5'; expected a price from 0.0001 to 1000000000. Write it",
        ),
        ("A,2026-03-02T09:31:00Z,1,1,0,1", "low is '0'; expected a price"),
        ("A,2026-03-02T09:31:00Z,1,1,-1,1", "low is '-1'; expected a price"),
        ("A,2026-03-02T09:31:00Z,1,inf,1,1", "high is 'inf'; expected a price"),
        ("A,2026-03-02T09:31:00Z,1,1,1,nan", "close is 'nan'; expected a price"),
        ("A,2026-03-02T09:31:00Z,2,1,1,1", "high is '1'; expected the bar's highest price. Correct the bar."),
        (
            "A,2026-03-02T09:31:00Z,2,3,2.5,2",
            "low is '2.5'; expected the bar's lowest price. Correct the bar.",
        ),
        (
            "A,2026-03-02T14:30:00Z,1,1,1,1",
            "timestamp is '2026-03-02T14:30:00Z'; expected one bar of a symbol",
        ),
        (
            "A,2026-03-02T14:30:00.0001Z,1,1,1,1",
            "timestamp is 100000 ns after the bar before; expected a milli",
        ),
        ("A,2026-03-07T09:30:00-05:00,1,1,1,1", "timestamp is of 2026-03-07; expected a day with a session"),
    ],
)
def test_a_bar_that_can_not_be_is_an_error_with_place_value_rule_and_remedy(
    tmp_path: Path, row: str, error: str
) -> None:
    file = tmp_path / "bars.csv"
    file.write_text("\n".join([HEADER, GOOD, f"{row},5", ""]), encoding="utf-8")
    with pytest.raises(UnreadableFile) as raised:
        Bars.read(file)
    assert f"bars.csv:3: {error}" in str(raised.value)


def test_two_bars_of_one_day_are_an_error() -> None:
    with pytest.raises(
        UnreadableFile, match=r"bars:2: timestamp is of 2026-03-03 again; expected one bar a day"
    ):
        bars("A,2026-03-03T00:00:00Z,1,1,1,1", "A,2026-03-03T23:30:00Z,1,1,1,1")


def test_a_parquet_column_without_a_zone_is_an_error(tmp_path: Path) -> None:
    stamps = pd.to_datetime(["2026-03-02T09:30"])
    pd.DataFrame({"symbol": "A", "timestamp": stamps, "open": 1, "high": 1, "low": 1, "close": 1}).to_parquet(
        tmp_path / "bars.parquet"
    )
    with pytest.raises(
        UnreadableFile, match=r"bars.parquet:1: timestamp is .* with its zone\. Give the column"
    ):
        Bars.read(tmp_path / "bars.parquet")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("symbol,timestamp,open\nA,2026-03-02T09:30:00Z,1\n", "Add high, low, close"),
        (f"{HEADER}\n", "it has no bars"),
        ("", "can't be read"),
    ],
)
def test_a_file_that_is_no_list_of_bars_is_an_error(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "bars.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableFile, match=error):
        Bars.read(tmp_path / "bars.csv")


def test_a_file_that_is_not_there_or_not_what_its_name_says_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bars.parquet").write_text("no parquet", encoding="utf-8")
    (tmp_path / "bars.csv").write_bytes(b"\xff\xfe\x00bars")
    for name in ("bars.parquet", "bars.csv", "none.csv", "none.parquet"):
        with pytest.raises(UnreadableFile, match="can't be read"):
            Bars.read(tmp_path / name)
