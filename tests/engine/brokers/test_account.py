from __future__ import annotations

from typing import Any

import pytest

from engine.brokers.account import BrokerAccount, shown_number, why_it_cannot_trade


def account(**changes: Any) -> BrokerAccount:
    fine: dict[str, Any] = {
        "account_number": "PA2ABCDEFGHI",
        "status": "ACTIVE",
        "trading_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": False,
        "currency": "USD",
    }
    return BrokerAccount(**fine | changes)


def test_an_active_account_that_nothing_blocks_can_trade() -> None:
    assert why_it_cannot_trade(account()) == ""


def test_an_account_without_number_and_currency_can_trade() -> None:
    assert why_it_cannot_trade(account(account_number="", currency="")) == ""


@pytest.mark.parametrize(
    "status",
    [
        "INACTIVE",
        "PAPER_ONLY",
        "ONBOARDING",
        "SUBMITTED",
        "ACCOUNT_UPDATED",
        "APPROVED",
        "ACCOUNT_CLOSED",
        "LIMITED",
        "SOMETHING_NEW",
        "active",
        " ACTIVE",
        "ACTIVE_ISH",
        "",
    ],
)
def test_every_status_but_active_cannot_trade(status: str) -> None:
    assert f"its status is {status!r} instead of 'ACTIVE'" in why_it_cannot_trade(account(status=status))


@pytest.mark.parametrize("flag", ["trading_blocked", "account_blocked", "trade_suspended_by_user"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "true"),
        (None, "neither true nor false, which counts as true"),
        (0, "neither true nor false, which counts as true"),
        ("", "neither true nor false, which counts as true"),
        ("false", "neither true nor false, which counts as true"),
    ],
)
def test_each_flag_alone_stops_trading_unless_it_is_false(flag: str, value: object, said: str) -> None:
    assert why_it_cannot_trade(account(**{flag: value})) == (
        f"account …FGHI cannot trade: {flag} is {said}. "
        f"Settle it on the broker's dashboard, or use the keys of another account."
    )


def test_a_flag_that_was_not_reported_is_not_true() -> None:
    why = why_it_cannot_trade(account(trading_blocked=True, unclear=("trading_blocked",)))
    assert "trading_blocked is neither true nor false" in why


def test_all_reasons_are_given_at_once() -> None:
    why = why_it_cannot_trade(account(status="SUBMITTED", account_blocked=True, trade_suspended_by_user=True))
    assert why.startswith(
        "account …FGHI cannot trade: its status is 'SUBMITTED' instead of 'ACTIVE', account_blocked is true, "
        "trade_suspended_by_user is true. "
    )


def test_a_status_of_any_length_and_shape_stays_a_short_line() -> None:
    why = why_it_cannot_trade(account(status="\n\x1b[31m" + "x" * 10_000))
    assert why.isprintable()
    assert len(why) < 300


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("PA2ABCDEFGHI", "…FGHI"),
        ("12345678", "…5678"),
        ("123456", "…56"),
        ("1234", "…"),
        ("1", "…"),
        ("", "(no number)"),
    ],
)
def test_an_account_number_is_shown_by_its_last_characters_and_never_whole(number: str, shown: str) -> None:
    assert shown_number(number) == account(account_number=number).shown_as == shown


def test_an_account_number_is_not_part_of_a_repr() -> None:
    assert "ABCD" not in repr(account()) + str(account())
