from __future__ import annotations

import pytest

from engine.errors import ConfigurationError
from engine.settings.values import Choice, ListOf, as_names, as_symbols

SIDES = ListOf(Choice(("buy", "sell")))


def test_a_variable_has_a_list_with_commas() -> None:
    assert as_symbols("X", "spy, BRK/B ,BTCUSD") == ("SPY", "BRK.B", "BTC/USD")
    assert as_names("X", "paper-main, main desk") == ("paper-main", "main desk")
    assert SIDES("X", "BUY,sell") == ("buy", "sell")


def test_a_list_of_elements_may_have_commas_in_them() -> None:
    assert as_names.of("X", ["a,b"]) == ("a,b",)
    assert as_names.of("X", []) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SPY,,QQQ", "X has ''; expected a symbol"),
        ("SPY QQQ", "X has 'SPY QQQ'; expected a symbol"),
        ("SPY,spy", "X has 'SPY' and 'spy', which are the same. Leave one of them out."),
        ("BRK.B,BRK-B", "X has 'BRK.B' and 'BRK-B', which are the same"),
        ("A" * 33, "expected a symbol of 1 to 32"),
    ],
)
def test_what_is_no_list_of_symbols_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        as_symbols("X", text)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["long", "", "buy,sell,hold"])
def test_a_word_of_a_choice_is_one_of_them(text: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"X is '\w*'; expected buy or sell\. Write one of these words"
    ):
        SIDES("X", text)
