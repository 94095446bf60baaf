"""Syncing three accounts: every minute, with nothing new and with something, and beside a run that trades."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from requests import PreparedRequest, Response

from engine.reconciliation.sync import Synced, sync_all
from engine.record.open_orders import left_open
from engine.safety.lease import Lease
from engine.stores.embedded.store import EmbeddedStore
from tests.desk import Row, order
from tests.engine.accounts_desk import ACCOUNTS, AccountsDesk, accounts_desk, by_intent
from tests.engine.routing.trading import Send, is_order, path_of

SYMBOLS = ("SPY", "QQQ", "IWM")
RESTING: Row = {"order_type": "limit", "limit_price": 20, "time_in_force": "gtc"}
GROUP: Row = {"order_class": "bracket", "take_profit_limit_price": 150, "stop_loss_stop_price": 40}


@dataclass
class Elsewhere(AccountsDesk):
    """A desk of another data folder, with the accounts and the stores of ``first``."""

    first: AccountsDesk | None = None

    def __post_init__(self) -> None:
        assert self.first is not None
        self.data.mkdir(parents=True)
        self.at, self.lies, self.in_between = self.first.at, self.first.lies, self.first.in_between

    @property
    def store(self) -> EmbeddedStore:
        assert self.first is not None
        return self.first.store


@pytest.fixture
def desk(tmp_path: Path) -> AccountsDesk:
    return accounts_desk(tmp_path / "data", "2026-03-02", "10:00")


def drop(desk: AccountsDesk, name: str, **said: Any) -> list[str]:
    """Drop an intent in every symbol for every account; gives their ids."""
    rows = [
        order(broker_account_id=account, symbol=symbol, client_intent_id=f"{name}-{account}-{symbol}", **said)
        for account in ACCOUNTS
        for symbol in SYMBOLS
    ]
    desk.drop(f"{name}.json", *rows)
    return [row["client_intent_id"] for row in rows]


def a_minute_later(desk: AccountsDesk) -> list[Synced]:
    desk.go_to(desk.now + timedelta(minutes=1))
    return desk.synced()


def ledger(desk: AccountsDesk, account: str) -> list[Row]:
    return desk.store.account_documents(account, since=desk.session.trading_date)


def breaks(answers: list[Synced]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.broker_account_id, one.symbol) for answer in answers for one in answer.breaks]


def test_every_minute_with_nothing_new_each_account_is_asked_at_most_five_times_and_nothing_changes(
    desk: AccountsDesk,
) -> None:
    drop(desk, "traded")
    drop(desk, "rests", qty=3, **RESTING)
    desk.live()
    a_minute_later(desk)
    documents = {
        account: desk.store.account_documents(account, since=desk.session.trading_date)
        for account in ACCOUNTS
    }
    kept = desk.context().objects.list("")
    for _ in range(10):
        with desk.asked() as asked:
            answers = a_minute_later(desk)
        assert {account: len(seen) for account, seen in asked.items() if len(seen) > 5} == {}
        assert {row["method"] for seen in asked.values() for row in seen} == {"GET"}
        assert breaks(answers) == []
        assert {one.account: len(one.working_orders) for one in answers} == dict.fromkeys(ACCOUNTS, 3)
    assert {account: ledger(desk, account) for account in ACCOUNTS} == documents
    assert desk.context().objects.list("") == kept


def test_orders_that_filled_in_part_and_work_on_cost_no_more_once_they_are_known(desk: AccountsDesk) -> None:
    drop(desk, "rests", qty=3, **RESTING)
    desk.live()
    for account in ACCOUNTS:
        desk.at[account].fill(f"rests-{account}-SPY", 1)
    assert breaks(a_minute_later(desk)) == [("late_fill", account, "SPY") for account in ACCOUNTS]
    with desk.asked() as asked:
        assert breaks(a_minute_later(desk)) == []
    assert all(len(seen) <= 5 for seen in asked.values())


def test_orders_that_are_terminal_cost_no_more_while_others_of_their_run_work_on(desk: AccountsDesk) -> None:
    symbols = ("SPY", "QQQ", "IWM", "KO", "AAPL", "MSFT")
    for name in ("first", "second"):
        rows = [
            order(broker_account_id="beta", symbol=symbol, client_intent_id=f"{name}-{symbol}", **RESTING)
            for symbol in symbols
        ]
        desk.drop(f"{name}.json", *rows)
        desk.live()
        for symbol in symbols[:-1]:
            desk.at["beta"].fill(f"{name}-{symbol}")
    assert len(breaks(a_minute_later(desk))) == len(symbols) - 1
    for _ in range(3):
        with desk.asked() as asked:
            answers = a_minute_later(desk)
        assert (breaks(answers), len(asked["beta"]) <= 5) == ([], True)
    for name in ("first", "second"):
        desk.at["beta"].fill(f"{name}-{symbols[-1]}")
    assert breaks(a_minute_later(desk)) == [("late_fill", "beta", symbols[-1])] * 2
    assert (desk.left_open(), desk.context().objects.list("over/")) == ([], [])
    assert desk.store.net_positions("beta") == dict.fromkeys(symbols, 2 * 10**9)


def test_a_job_that_dies_while_it_notes_terminal_orders_leaves_what_was_noted_last(
    desk: AccountsDesk,
) -> None:
    drop(desk, "rests", **RESTING)
    desk.live()
    desk.at["beta"].fill("rests-beta-SPY")
    a_minute_later(desk)
    objects = desk.context().objects
    (before,) = objects.list("over/")
    content = objects.read(before)
    desk.at["beta"].fill("rests-beta-QQQ")
    a_minute_later(desk)
    objects.put(before, content)  # which it was about to remove
    (left,) = [one for one in left_open(objects) if one.account == "beta"]
    assert [one.intent.client_intent_id for one in left.orders] == ["rests-beta-IWM"]
    desk.at["beta"].fill("rests-beta-IWM")
    a_minute_later(desk)
    assert objects.list("over/") == []


def test_groups_whose_exits_work_cost_one_page_more_and_no_executions(desk: AccountsDesk) -> None:
    drop(desk, "group", qty=2, **GROUP)
    desk.live()
    a_minute_later(desk)
    with desk.asked() as asked:
        assert breaks(a_minute_later(desk)) == []
    for seen in asked.values():
        assert not [row["path"] for row in seen if row["path"].endswith("/FILL")]
        assert len([row for row in seen if row["path"] != "/v2/orders"]) <= 4


def test_an_account_with_news_costs_the_others_nothing(desk: AccountsDesk) -> None:
    drop(desk, "rests", qty=3, **RESTING)
    desk.live()
    a_minute_later(desk)
    desk.at["beta"].place_by_hand(symbol="KO")
    with desk.asked() as asked:
        answers = a_minute_later(desk)
    assert breaks(answers) == [("manual_trade", "beta", "KO")]
    assert all(len(asked[account]) <= 5 for account in ("alpha", "gamma"))


def test_a_sync_of_another_folder_beside_a_run_waits_for_it_and_finds_nothing_amiss(
    desk: AccountsDesk, tmp_path: Path
) -> None:
    elsewhere = Elsewhere(tmp_path / "elsewhere", now=desk.now, first=desk)
    answers: list[Synced] = []
    began: list[int] = []
    beside = threading.Thread(target=lambda: answers.extend(elsewhere.synced()))

    def syncs_in_between(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if is_order(request) and not beside.is_alive() and not began:
            began.append(len(desk.requests()))
            beside.start()
        return answer

    desk.in_between["beta"] = syncs_in_between
    ids = drop(desk, "traded")
    run = desk.live()
    beside.join(60)
    assert by_intent(run) == dict.fromkeys(ids, ("placed", "ok"))
    assert [one.account for one in answers] == list(ACCOUNTS)
    assert (breaks(answers), [one.not_compared for one in answers]) == ([], [""] * 3)
    book = desk.store.all_positions()
    assert {(row.broker_account_id, row.symbol): row.qty for row in book.itertuples()} == {
        (account, symbol): 1.0 for account in ACCOUNTS for symbol in SYMBOLS
    }


def test_leases_are_held_while_the_book_of_another_account_is_waited_for(
    desk: AccountsDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: set[str] = set()
    meanwhile: set[str] = set()
    waits = threading.Event()
    monkeypatch.setattr("engine.safety.lease_holding._LOOKED_EVERY_S", 0.01)

    def hold_for(lease: Lease, seconds: float) -> None:
        if waits.is_set():
            held.add(lease.lease_epoch)

    monkeypatch.setattr(Lease, "hold_for", hold_for)

    def slow(request: PreparedRequest, send: Send) -> Response:
        if path_of(request) == "/v2/positions":
            waits.set()
            until = time.monotonic() + 20
            while len(held) < len(desk.names) and time.monotonic() < until:
                time.sleep(0.01)
            meanwhile.update(held)
        return send()

    desk.in_between["beta"] = slow
    with desk.connections() as connections:
        sync_all(desk.context(connections=connections), connections, desk.session)
        assert meanwhile == {venue.lease.lease_epoch for venue in connections.at_work}
