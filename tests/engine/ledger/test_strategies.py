"""Books by strategy: the identity over them, and names that only look like a strategy's."""

from __future__ import annotations

import pytest

from engine.ledger.strategies import ANY_STRATEGY, IDENTITY, NO_STRATEGY, StrategyBook, identity, in_doubt

AGREEING = StrategyBook({("m", "SPY"): 7, ("c", "SPY"): -3, (NO_STRATEGY, "QQQ"): -5}, {"SPY": 4, "QQQ": -5})


def test_the_identity_holds_where_each_symbol_adds_up() -> None:
    assert AGREEING.differing() == {}
    assert identity([AGREEING, StrategyBook()]) == {"name": IDENTITY, "left": 9, "right": 9, "holds": True}


def test_no_books_are_an_identity_that_holds() -> None:
    assert identity([]) == {"name": IDENTITY, "left": 0, "right": 0, "holds": True}


@pytest.mark.parametrize(
    ("by_strategy", "of_account", "left", "right"),
    [
        ({("m", "SPY"): 7}, {"SPY": 8}, 7, 8),
        ({("m", "SPY"): 7}, {}, 7, 0),
        ({}, {"SPY": -8}, 0, 8),
        ({("m", "SPY"): 7, ("m", "QQQ"): 1}, {"SPY": 1, "QQQ": 7}, 8, 8),
    ],
)
def test_the_identity_fails_by_symbol_even_where_the_totals_agree(
    by_strategy: dict[tuple[str, str], int], of_account: dict[str, int], left: int, right: int
) -> None:
    found = identity([AGREEING, StrategyBook(by_strategy, of_account)])
    assert found == {"name": IDENTITY, "left": left, "right": right, "holds": False}


@pytest.mark.parametrize(
    ("kept", "doubtful"),
    [
        ("momentum", set()),
        ("other", set()),
        (NO_STRATEGY, set()),
        ("Momentum", {"momentum"}),
        ("momentum ", {"momentum"}),
        ("mo\u200bmentum", {"momentum"}),
        ("\uff4domentum", {"momentum"}),
        (ANY_STRATEGY, {"momentum", "carry"}),
        (" ", {"momentum", "carry"}),
        ("\u200b", {"momentum", "carry"}),
    ],
)
def test_a_name_that_only_looks_like_a_wanted_strategy_leaves_it_in_doubt(
    kept: str, doubtful: set[str]
) -> None:
    assert in_doubt(["carry", kept], ["momentum", "carry"]) == doubtful


def test_two_names_that_are_both_wanted_are_two_strategies() -> None:
    assert in_doubt(["Momentum", "momentum"], ["momentum", "Momentum"]) == set()
    assert in_doubt(["MOMENTUM"], ["momentum", "Momentum"]) == {"momentum", "Momentum"}
