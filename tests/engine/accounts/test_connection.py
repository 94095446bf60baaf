from __future__ import annotations

import json
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Timer
from typing import Any

import pytest

from engine.accounts.connection import Opening, account_key
from engine.brokers.access import Access
from engine.brokers.account import BrokerAccount
from engine.brokers.alpaca.account import parse_account
from engine.errors import BrokerError, LeaseLost, RunStopped
from engine.log import EventLog
from engine.safety.agent_state import Agent
from engine.safety.lease import Lease
from engine.safety.lease_document import Holder
from engine.safety.lease_holding import hold_until_done
from engine.stores.embedded.store import EmbeddedStore
from tests.engine.brokers.loopback import ACCOUNT
from tests.engine.routing.trading import TradingDesk, at_a_rate_that_never_matters

HOST = "https://paper-api.alpaca.markets"


def account(**changes: Any) -> BrokerAccount:
    return parse_account(json.dumps(ACCOUNT | changes).encode())


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    found = TradingDesk(tmp_path / "data")
    found.data.mkdir()
    return found


def test_the_key_of_an_account_is_the_same_for_the_same_account_and_host_only() -> None:
    key = account_key(HOST, account())
    assert key == account_key(HOST, account(buying_power="1"))
    others = {account_key(HOST, account(account_number="PA9")), account_key("https://a.example", account())}
    assert len(others | {key}) == 3


def test_the_key_of_an_account_does_not_tell_its_number() -> None:
    key = account_key(HOST, account())
    assert key.isalnum()
    assert "PA2ABCDEFGHI".lower() not in key


def test_an_account_without_a_number_has_no_key() -> None:
    with pytest.raises(BrokerError, match="without a number"):
        account_key(HOST, account(account_number=""))


def test_a_venue_is_what_the_settings_say(desk: TradingDesk) -> None:
    opening = Opening(agent=desk.agent(), holder=Holder.of(desk.data), settle_s=7.0, stopping=lambda: False)
    with opening.connections([Access(account="mine", broker=desk.broker())]) as connections:
        (venue,) = connections.at_work
        assert (venue.account, venue.settle_s) == ("mine", 7.0)
        assert venue.lease.left_s() > 0


def test_while_one_data_folder_has_the_venue_another_does_not_get_it(
    desk: TradingDesk, tmp_path: Path
) -> None:
    waited: list[float] = []

    def stopping() -> bool:
        waited.append(1.0)
        return len(waited) > 3

    agent = Agent(desk.store, EventLog(desk.logged), "another", clock=lambda: desk.now)
    holder = Holder.of(tmp_path / "another")
    access = Access(account="paper", broker=desk.broker())
    opening = Opening(agent=agent, holder=holder, settle_s=1.0, stopping=stopping)
    with desk.venue(), pytest.raises(RunStopped), opening.connections([access]):
        pass  # it waits until it is asked to stop
    with replace(opening, stopping=lambda: False).connections([access]) as connections:
        assert connections.by_account["paper"].lease.left_s() > 0


def test_accounts_that_are_down_are_waited_for_at_the_same_time(
    desk: TradingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Barrier(2)

    def silent() -> BrokerAccount:
        both.wait(timeout=20)
        raise BrokerError("nobody is there")

    accesses = [Access(account=name, broker=desk.broker()) for name in ("first", "mine", "last")]
    for access in (accesses[0], accesses[2]):
        monkeypatch.setattr(access.broker, "get_account", silent)
    opening = Opening(agent=desk.agent(), holder=Holder.of(desk.data), settle_s=7.0, stopping=lambda: False)
    with opening.connections(accesses) as connections:
        assert list(connections.by_account) == ["mine"]
        assert connections.down == {"first": "nobody is there", "last": "nobody is there"}


def test_accounts_that_were_left_out_before_are_not_asked(desk: TradingDesk) -> None:
    accesses = [Access(account=name, broker=desk.broker()) for name in ("mine", "other")]
    opening = Opening(agent=desk.agent(), holder=Holder.of(desk.data), settle_s=7.0, stopping=lambda: False)
    with opening.connections(accesses, left_out={"other": "it is blocked"}) as connections:
        assert (list(connections.by_account), connections.down) == (["mine"], {"other": "it is blocked"})
    assert [row["path"] for row in desk.requests()] == ["/v2/account"]


def test_a_lease_is_held_while_that_of_another_account_is_waited_for(
    desk: TradingDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = TradingDesk(tmp_path / "beside", simulator=at_a_rate_that_never_matters(seed=1))
    held: list[str] = []
    monkeypatch.setattr("engine.safety.lease_holding._LOOKED_EVERY_S", 0.01)
    monkeypatch.setattr(Lease, "hold_for", lambda lease, seconds: held.append(lease.lease_epoch))
    others = Agent(desk.store, EventLog(desk.logged), "another", clock=lambda: desk.now)
    opening = Opening(agent=desk.agent(), holder=Holder.of(desk.data), settle_s=1.0, stopping=lambda: False)
    theirs = replace(opening, agent=others, holder=Holder.of(tmp_path / "another"))
    accesses = [Access(account=name, broker=at.broker()) for name, at in (("a", desk), ("b", beside))]
    with ExitStack() as theirs_is_held:
        theirs_is_held.enter_context(theirs.connections(accesses[1:]))

        def stopping() -> bool:
            if len(held) > 3:
                theirs_is_held.close()
            return False

        with replace(opening, stopping=stopping).connections(accesses) as connections:
            assert set(held) == {connections.by_account["a"].lease.lease_epoch}


def test_leases_are_held_until_all_work_is_done_and_a_lost_one_stops_nothing() -> None:
    asked: list[tuple[str, float]] = []

    class Held:
        def __init__(self, name: str) -> None:
            self.name = name

        def hold_for(self, seconds: float) -> None:
            asked.append((self.name, seconds))
            if self.name == "lost":
                raise LeaseLost("it was taken over")

    leases: Any = [Held("lost"), Held("kept")]
    working: list[Future[None]] = [Future(), Future()]
    working[0].set_exception(BrokerError("down"))
    Timer(1.2, lambda: working[1].set_result(None)).start()
    hold_until_done(working, lambda: leases, seconds=20.0)
    assert asked[:2] == [("lost", 20.0), ("kept", 20.0)]
    assert len(asked) >= 4


def test_whether_a_person_has_halted_the_agent_is_read_anew_each_time(desk: TradingDesk) -> None:
    with desk.venue() as venue:
        assert venue.halted() == ""
        desk.agent().halt(why="flash crash")
        assert "flash crash" in venue.halted()
        desk.agent().recover(why="over")
        assert venue.halted() == ""


def test_an_agent_whose_state_cannot_be_read_counts_as_halted(desk: TradingDesk) -> None:
    with desk.venue() as venue:
        store = EmbeddedStore(desk.data / "engine.db")
        before = store.agent_document("state")
        assert store.replace_agent_document("state", {"state": "GO"}, replacing=before)
        assert "can't be read" in venue.halted()


def test_a_recorded_venue_is_the_same_but_for_its_record(desk: TradingDesk) -> None:
    kept: list[object] = []

    class Recorder:
        def next_number(self) -> int:
            return len(kept) + 1

        def keep(self, interaction: object) -> None:
            kept.append(interaction)

    with desk.venue() as venue:
        recorded = venue.recorded(Recorder())
        before = len(kept)
        assert recorded.broker.get_clock().timestamp > datetime(2026, 1, 1, tzinfo=UTC)
        assert len(kept) == before + 1
        assert (recorded.lease, recorded.account) == (venue.lease, venue.account)
