"""One instrument has one key: the table of forms, and what holds for all of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from engine.model.schema import SYMBOL_PATTERN
from engine.model.symbols import (
    QUOTE_CURRENCIES,
    SHORTEST_PAIR,
    canonical_symbol,
    is_currency_pair,
    spellings,
)

FORMS = [
    # shares
    ("SPY", "SPY"),
    (" spy\n", "SPY"),
    ("BRK.B", "BRK.B"),
    ("BRK/B", "BRK.B"),
    ("BRK-B", "BRK.B"),
    ("brk-b", "BRK.B"),
    ("BRKB", "BRKB"),
    ("BF.A", "BF.A"),
    ("BAC.PRL", "BAC.PRL"),
    ("BAC/PRL", "BAC.PRL"),
    ("BAC-PRL", "BAC.PRL"),
    ("BAC.PR.L", "BAC.PR.L"),
    ("BAC/PR/L", "BAC.PR.L"),
    ("BAC-PR/L", "BAC.PR.L"),
    ("BACPRL", "BACPRL"),
    ("SPAC.U", "SPAC.U"),
    ("SPAC/WS", "SPAC.WS"),
    ("SPAC-WS", "SPAC.WS"),
    # pairs
    ("BTC/USD", "BTC/USD"),
    ("BTCUSD", "BTC/USD"),
    ("btcusd", "BTC/USD"),
    ("BTC-USD", "BTC/USD"),
    ("ETHBTC", "ETH/BTC"),
    ("ETH/BTC", "ETH/BTC"),
    ("USDTUSD", "USDT/USD"),
    ("USDCUSD", "USDC/USD"),
    ("USDUSDT", "USD/USDT"),
    ("USDCUSDT", "USDC/USDT"),
    ("USDTUSDC", "USDT/USDC"),
    ("BTCUSDT", "BTC/USDT"),
    ("XBTCUSD", "XBTC/USD"),
    ("1INCHUSD", "1INCH/USD"),
    ("1INCH/USD", "1INCH/USD"),
    ("SHIB/USDC", "SHIB/USDC"),
    ("EURUSD", "EUR/USD"),
    ("EUR/USD", "EUR/USD"),
    ("USD-JPY", "USD/JPY"),
    ("A/USD", "A/USD"),
    ("ABUSDT", "AB/USDT"),
    # no pairs: too short to be told from a stock, another quote, or a dot, which is of a class
    ("USD", "USD"),
    ("USDT", "USDT"),
    ("AUSD", "AUSD"),
    ("ABUSD", "ABUSD"),
    ("BTC.USD", "BTC.USD"),
    ("SOL/TRX", "SOL.TRX"),
    ("SOLTRX", "SOLTRX"),
    ("AAPL250620C00100000", "AAPL250620C00100000"),
    ("FI111225", "FI111225"),
    ("US0378331005", "US0378331005"),
    # more separators than a name of one class has
    ("A/B/C", "A.B.C"),
    ("A/B/USD", "A.B.USD"),
    ("BTC/USD/", "BTC.USD."),
    ("/USD", ".USD"),
    ("/BTCUSD", ".BTCUSD"),
    ("-A", ".A"),
    ("A-", "A."),
    ("A//B", "A..B"),
    ("-", "."),
    ("", ""),
    # what is no symbol stays what it is
    ("\uff33\uff30\uff39", "\uff33\uff30\uff39"),
    ("SPY\u200b", "SPY\u200b"),
    (" ß ", "ß"),
]
PARTS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=10)
ENDINGS = PARTS | st.sampled_from(QUOTE_CURRENCIES)
SYMBOLS = st.from_regex(re.compile(SYMBOL_PATTERN), fullmatch=True) | st.builds(
    lambda base, between, quote: base + between + quote, PARTS, st.sampled_from(["", ".", "/", "-"]), ENDINGS
)


@pytest.mark.parametrize(("symbol", "canonical"), FORMS)
def test_each_form_has_its_canonical_one(symbol: str, canonical: str) -> None:
    assert canonical_symbol(symbol) == canonical


@given(SYMBOLS | st.text(max_size=20))
def test_the_canonical_form_of_a_canonical_form_is_itself(symbol: str) -> None:
    assert canonical_symbol(canonical_symbol(symbol)) == canonical_symbol(symbol)


@given(PARTS, ENDINGS)
@example("BTC", "USD")
@example("BRK", "B")
def test_a_name_with_a_dot_is_never_the_name_without_it(first: str, second: str) -> None:
    assert canonical_symbol(f"{first}.{second}") == f"{first}.{second}" != canonical_symbol(first + second)


@given(PARTS, ENDINGS)
def test_a_slash_and_a_hyphen_are_one(first: str, second: str) -> None:
    assert canonical_symbol(f"{first}/{second}") == canonical_symbol(f"{first}-{second}")


@given(PARTS, PARTS)
def test_all_three_separators_are_one_where_the_second_part_is_no_quote_currency(
    first: str, second: str
) -> None:
    assume(second not in QUOTE_CURRENCIES)
    assert {canonical_symbol(f"{first}{between}{second}") for between in "./-"} == {f"{first}.{second}"}


@given(PARTS, st.sampled_from(QUOTE_CURRENCIES))
def test_a_pair_equals_itself_without_the_separator_where_that_is_longer_than_a_stock_symbol(
    base: str, quote: str
) -> None:
    same = canonical_symbol(base + quote) == canonical_symbol(f"{base}/{quote}")
    assert same == (len(base + quote) >= SHORTEST_PAIR)


@given(SYMBOLS, SYMBOLS)
def test_two_symbols_are_one_only_where_letters_and_separators_allow_it(one: str, other: str) -> None:
    def bare(symbol: str) -> str:
        return re.sub("[./-]", "", symbol)

    if canonical_symbol(one) == canonical_symbol(other):
        assert bare(one) == bare(other)
        places = ([bool(re.fullmatch("[./-]", c)) for c in symbol] for symbol in (one, other))
        assert is_currency_pair(one) or list(next(places)) == list(next(places))


def test_no_quote_currency_is_the_end_of_another_so_that_a_pair_splits_in_one_way() -> None:
    ends = [(a, b) for a in QUOTE_CURRENCIES for b in QUOTE_CURRENCIES if a != b and a.endswith(b)]
    assert ends == []
    assert len(set(QUOTE_CURRENCIES)) == len(QUOTE_CURRENCIES)


@given(st.from_regex(r"[A-Z]{1,5}", fullmatch=True))
def test_no_stock_symbol_is_a_pair(symbol: str) -> None:
    assert canonical_symbol(symbol) == symbol
    assert not is_currency_pair(symbol)


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("SPY", []),
        ("BRKB", []),
        ("BRK.B", ["BRK/B", "BRK-B"]),
        ("BTCUSD", ["BTC/USD", "BTC-USD"]),
        ("BTC/USD", ["BTCUSD", "BTC-USD"]),
        ("A/USD", ["A-USD"]),
        (
            "BAC-PR.L",
            [f"BAC{one}L" for one in (".PR.", ".PR/", ".PR-", "/PR.", "/PR/", "/PR-", "-PR/", "-PR-")],
        ),
        ("A.B.C.D", ["A/B/C/D", "A-B-C-D"]),
    ],
)
def test_the_spellings_of_a_symbol(symbol: str, expected: list[str]) -> None:
    found = spellings(symbol)
    assert found[0] == symbol
    assert sorted(found[1:]) == sorted(expected)
    assert {canonical_symbol(one) for one in found} == {canonical_symbol(symbol)}
