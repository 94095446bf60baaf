"""Three accounts, and the keys of one are revoked at any moment of a run: the others never notice."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from requests import PreparedRequest, Response

from engine.errors import EngineError
from engine.model.breaks import units_of
from engine.reconciliation.sync import Synced
from engine.record.run_folder import INPUTS, RunFolder
from tests.desk import Row, order
from tests.engine.accounts_desk import ACCOUNTS, AccountsDesk, accounts_desk, by_intent
from tests.engine.routing.trading import Between, Send, exit_code, reply

SYMBOLS = ("SPY", "QQQ", "IWM")
OTHERS = ("alpha", "gamma")
BEFORE_ORDERS = 5
"""Requests of a run before its first order: account, clock, open orders, positions, orders of late."""
ALL_REQUESTS = 11
"""Those, three orders, two lists of orders, the executions."""


@pytest.fixture
def desk(tmp_path: Path) -> AccountsDesk:
    return accounts_desk(tmp_path / "data", "2026-03-02", "10:00")


def revoked_after(requests: int) -> Between:
    """Take the keys away once a broker has answered so many requests."""
    answered = 0

    def middle(request: PreparedRequest, send: Send) -> Response:
        nonlocal answered
        if answered >= requests:
            return reply(request, 401, {"message": "unauthorized."})
        answered += 1
        return send()

    return middle


def rows(name: str = "") -> list[Row]:
    return [
        order(broker_account_id=account, client_intent_id=f"{account}-{symbol}{name}", symbol=symbol)
        for account in ACCOUNTS
        for symbol in SYMBOLS
    ]


def runs(desk: AccountsDesk, name: str = "") -> RunFolder:
    desk.drop(f"a{name}.json", *rows(name))
    return desk.live()


def of(run: RunFolder, account: str) -> list[tuple[str, str]]:
    """Return status and reason of an account's intents."""
    return [told for intent, told in by_intent(run).items() if intent.startswith(f"{account}-")]


def is_whole(desk: AccountsDesk, account: str) -> bool:
    """Return whether the ledger has what the broker has."""
    held = {symbol: units_of(qty) for symbol, qty in desk.held_at(account).items()}
    return desk.store.net_positions(account) == held


@pytest.mark.parametrize("requests", range(BEFORE_ORDERS, ALL_REQUESTS))
def test_keys_that_are_revoked_in_mid_run_concern_no_other_account_and_what_was_sent_is_found_later(
    desk: AccountsDesk, requests: int
) -> None:
    desk.in_between["beta"] = revoked_after(requests)
    run = runs(desk)
    sent = desk.at["beta"].posts()
    assert len(sent) == min(requests - BEFORE_ORDERS, len(SYMBOLS))
    for account in OTHERS:
        assert of(run, account) == [("placed", "ok")] * 3
        assert is_whole(desk, account)
    told = {intent: outcome for intent, outcome in by_intent(run).items() if intent.startswith("beta-")}
    assert {intent for intent, outcome in told.items() if outcome == ("placed", "account_down")} == set(sent)
    assert {outcome for intent, outcome in told.items() if intent not in sent} <= {("halted", "account_down")}
    assert exit_code(run) == (4 if sent else 3)
    (event,) = desk.events("account_down")
    assert (event["account"], "unauthorized" in event["message"]) == ("beta", True)

    while_revoked = runs(desk, "-again")
    assert [of(while_revoked, account) for account in OTHERS] == [[("placed", "ok")] * 3] * 2
    assert of(while_revoked, "beta") == [("rejected", "risk_data_unavailable")] * 3
    assert exit_code(while_revoked) == 3

    del desk.in_between["beta"]
    desk.go_to(desk.now + timedelta(minutes=5))
    synced = {answer.account: answer for answer in desk.synced()}
    assert sorted(one.client_intent_id for one in synced["beta"].breaks) == sorted(sent)
    assert {one.kind for one in synced["beta"].breaks} <= {"late_fill"}
    assert [list(synced[account].breaks) for account in OTHERS] == [[], []]
    assert all(is_whole(desk, account) for account in ACCOUNTS)

    desk.go_to(desk.now + timedelta(minutes=5))
    once_more = runs(desk)
    assert set(by_intent(once_more)) == {f"beta-{symbol}" for symbol in SYMBOLS} - set(sent)
    assert set(by_intent(once_more).values()) <= {("placed", "ok")}
    assert exit_code(once_more) == 0
    assert sorted(desk.at["beta"].posts()) == sorted(f"beta-{symbol}" for symbol in SYMBOLS)
    assert is_whole(desk, "beta")


@pytest.mark.parametrize("requests", range(BEFORE_ORDERS))
def test_keys_that_are_revoked_before_the_first_order_leave_the_account_out(
    desk: AccountsDesk, requests: int
) -> None:
    desk.in_between["beta"] = revoked_after(requests)
    run = runs(desk)
    assert of(run, "beta") == [("rejected", "risk_data_unavailable")] * 3
    assert [of(run, account) for account in OTHERS] == [[("placed", "ok")] * 3] * 2
    assert "unauthorized" in run.json(INPUTS)["down"]["beta"]
    assert (exit_code(run), desk.at["beta"].posts()) == (3, [])


def test_where_keys_are_revoked_a_sync_brings_the_others_and_leaves_the_book_as_it_was(
    desk: AccountsDesk,
) -> None:
    runs(desk)
    desk.synced()
    desk.in_between["beta"] = revoked_after(2)
    for account in ACCOUNTS:
        desk.at[account].place_by_hand(symbol="KO", qty="2")
    before = desk.store.sync_mark("beta")
    desk.go_to(desk.now + timedelta(minutes=5))
    answers = desk.answers()
    assert isinstance(answers["beta"], EngineError)
    for account in OTHERS:
        synced = answers[account]
        assert isinstance(synced, Synced)
        assert [(one.kind, one.broker_account_id) for one in synced.breaks] == [("manual_trade", account)]
    book = desk.store.all_positions()
    holders = book.loc[book["symbol"] == "KO", "broker_account_id"].tolist()
    assert (sorted(holders), desk.store.sync_mark("beta")) == (list(OTHERS), before)
