from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.accounts.other_folders import SharedOrders
from engine.errors import EngineError, RecordError
from engine.reconciliation.session import Session
from engine.reconciliation.sync import Synced, sync_all
from engine.record.folder_identity import folder_identity
from engine.stores.embedded.store import EmbeddedStore
from tests.desk import order
from tests.engine.reconciliation.test_account_books import SESSION
from tests.engine.routing.trading import GENEROUS, Killed, TradingDesk, exit_code, is_order, results

RESTING: dict[str, Any] = {"order_type": "limit", "limit_price": 50}


class Shared(TradingDesk):
    """A desk whose stores are another's: two data folders, one account, one ledger."""

    first: TradingDesk

    @property
    def store(self) -> EmbeddedStore:
        return self.first.store


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


@pytest.fixture
def second(desk: TradingDesk, tmp_path: Path) -> Shared:
    found = Shared(tmp_path / "elsewhere", simulator=desk.simulator)
    found.first = desk
    found.data.mkdir()
    desk.data.mkdir(exist_ok=True)
    return found


def synced(desk: TradingDesk, session: Session = SESSION) -> Synced:
    with desk.connections() as connections:
        answer = sync_all(desk.context(connections=connections), connections, session)["paper"]
    assert not isinstance(answer, EngineError), answer
    desk.later(minutes=1)
    return answer


def test_what_another_data_folder_left_open_is_ours_as_well(desk: TradingDesk, second: Shared) -> None:
    desk.drop("a.json", order(client_intent_id="rests", **RESTING))
    desk.live()
    second.now = desk.now
    assert synced(second).open_breaks == []
    with desk.venue() as venue:
        assert SharedOrders(venue).resting_elsewhere(second.context().objects) == {"rests": "momentum"}
        assert SharedOrders(venue).resting_elsewhere(desk.context().objects) == {}


def test_while_another_data_folder_has_not_finished_nothing_is_compared(
    desk: TradingDesk, second: Shared
) -> None:
    desk.drop("a.json", order(client_intent_id="sent"))
    before = desk.between
    desk.between = lambda request, send: (_ for _ in ()).throw(desk.die()) if is_order(request) else send()
    with pytest.raises(Killed):
        desk.live()
    desk.between = before
    second.now = desk.now
    second.later(minutes=5)
    answer = synced(second)
    assert "of another data folder" in answer.not_compared
    assert "is not finished" in answer.not_compared
    assert f"stores forget-folder {folder_identity(desk.context().objects)}" in answer.not_compared
    desk.now = second.now
    desk.live()
    second.now = desk.now
    assert replace(synced(second), breaks=()).not_compared == ""


def test_an_order_that_is_terminal_is_forgotten_there_too(desk: TradingDesk, second: Shared) -> None:
    desk.drop("a.json", order(client_intent_id="rests", **RESTING))
    desk.live()
    desk.fill("rests")
    desk.live()
    with desk.venue() as venue:
        assert SharedOrders(venue).resting_elsewhere(second.context().objects) == {}


def dies_sending(desk: TradingDesk, **said: Any) -> None:
    """Let a live run of one order die while the order is sent."""
    desk.drop("dies.json", order(**{"client_intent_id": "sent", **said}))
    before = desk.between
    desk.between = lambda request, send: (_ for _ in ()).throw(desk.die()) if is_order(request) else send()
    with pytest.raises(Killed):
        desk.live()
    desk.between = before
    desk.dead.clear()


def test_an_account_whose_books_were_not_compared_is_unavailable_and_the_run_says_so(
    desk: TradingDesk, second: Shared
) -> None:
    desk.one(client_intent_id="before", symbol="QQQ")
    dies_sending(desk)
    second.now = desk.now
    second.later(minutes=5)
    second.drop("b.json", order(client_intent_id="other"))
    run = second.live()
    assert [(row["status"], row["reason"]) for row in results(run)] == [("rejected", "risk_data_unavailable")]
    assert run.table("decisions.parquet")["check_position_unreconciled"].to_pylist() == ["unavailable"]
    assert exit_code(run) == 4


def test_known_breaks_stay_while_the_books_are_not_compared(desk: TradingDesk, second: Shared) -> None:
    synced(second)
    second.place_by_hand(symbol="SPY", qty="4")
    second.tick(5)
    assert [one.kind for one in synced(second).open_breaks] == ["manual_trade"]
    desk.now = second.now
    dies_sending(desk, symbol="QQQ")
    second.now = desk.now
    second.later(minutes=5)
    answer = synced(second)
    assert answer.not_compared
    assert [(one.kind, one.symbol) for one in answer.open_breaks] == [("manual_trade", "SPY")]
    second.drop("b.json", order(client_intent_id="other"), order(client_intent_id="another", symbol="QQQ"))
    generous = GENEROUS.changed(fail_open=True)
    reasons = {row["client_intent_id"]: row["reason"] for row in results(second.live(generous))}
    assert reasons["other"] == "position_unreconciled"


@pytest.mark.parametrize("spelt", ["moved", "x/../data", "data/."])
def test_a_folder_that_was_moved_or_is_spelt_otherwise_is_still_itself(
    desk: TradingDesk, tmp_path: Path, spelt: str
) -> None:
    desk.one(client_intent_id="rests", **RESTING)
    (tmp_path / "x").mkdir()
    if spelt == "moved":
        desk.data.rename(tmp_path / spelt)
    again = TradingDesk(tmp_path / spelt, simulator=desk.simulator)
    again.now = desk.now
    again.later(minutes=1)
    assert synced(again).not_compared == ""
    with again.venue() as venue:
        assert SharedOrders(venue).resting_elsewhere(again.context().objects) == {}


def test_an_entry_by_the_hash_of_a_path_is_its_folders_and_moves_to_its_identity(desk: TradingDesk) -> None:
    dies_sending(desk)
    with desk.venue() as venue:
        name, identity = f"orders-{venue.key}", folder_identity(desk.context().objects)
        kept = venue.notes.agent_document(name)
        assert kept is not None
        by_path = hashlib.sha256(str(desk.data.absolute()).encode()).hexdigest()[:16]
        old = json.loads(json.dumps(kept).replace(identity, by_path))
        assert venue.notes.replace_agent_document(name, old, replacing=kept)
        assert [one.is_own for one in SharedOrders(venue).sending(desk.context().objects)] == [True]
    desk.live()
    with desk.venue() as venue:
        assert by_path not in json.dumps(venue.notes.agent_document(name))
        assert SharedOrders(venue).sending(desk.context().objects) == []


def test_an_entry_by_the_same_path_of_another_host_is_not_ours(desk: TradingDesk) -> None:
    desk.one()
    with desk.venue() as venue:
        name = f"orders-{venue.key}"
        kept = venue.notes.agent_document(name)
        by_path = hashlib.sha256(str(desk.data.absolute()).encode()).hexdigest()[:16]
        theirs = {"sending": {f"{by_path}/runs/2026-03-02/20260302T000000Z-theirs/": ""}, "open": {}}
        assert venue.notes.replace_agent_document(name, theirs, replacing=kept)
    assert "20260302T000000Z-theirs/ of another data folder" in synced(desk).not_compared


def test_an_unfinished_run_whose_folder_is_gone_is_not_nothing(desk: TradingDesk) -> None:
    dies_sending(desk)
    shutil.rmtree(desk.data / "runs")
    desk.later(minutes=5)
    assert "its folder is gone" in synced(desk).not_compared
    with desk.venue() as venue:
        own, objects = folder_identity(desk.context().objects), desk.context().objects
        said: dict[str, Any] = {"by": "ann", "why": "disk lost", "at": desk.now}
        assert len(SharedOrders(venue).forget_folder(own, objects, **said)) == 1
    assert synced(desk).not_compared == ""


def test_a_lost_folder_is_forgotten_by_name_and_kept_with_who_and_why(
    desk: TradingDesk, second: Shared
) -> None:
    dies_sending(desk)
    lost = folder_identity(desk.context().objects)
    second.now = desk.now
    second.later(minutes=5)
    with second.venue() as venue:
        said: dict[str, Any] = {"by": "ann", "why": "disk lost", "at": second.now}
        objects = second.context().objects
        assert SharedOrders(venue).forget_folder("0" * 32, objects, **said) == []
        (run,) = SharedOrders(venue).forget_folder(lost, objects, **said)
        kept = venue.notes.agent_document(f"orders-{venue.key}")
    assert kept is not None
    assert kept["forgotten"][lost] == {
        "by": "ann", "why": "disk lost", "at": second.now.isoformat(), "runs": [f"{lost}/{run}"],
    }  # fmt: skip
    assert synced(second).not_compared == ""


def test_a_folder_whose_runs_are_here_is_not_forgotten(desk: TradingDesk) -> None:
    dies_sending(desk)
    with desk.venue() as venue:
        own, objects = folder_identity(desk.context().objects), desk.context().objects
        assert SharedOrders(venue).forget_folder(own, objects, by="ann", why="no", at=desk.now) == []
        assert len(SharedOrders(venue).sending(objects)) == 1


def test_an_identity_that_is_damaged_is_an_error(desk: TradingDesk) -> None:
    desk.one()
    (desk.data / "folder" / "identity.json").write_text('{"folder": "me"}')
    with pytest.raises(RecordError, match="identity"):
        folder_identity(desk.context().objects)


def test_the_entry_of_a_run_that_is_finished_counts_no_more_and_is_cleared(
    desk: TradingDesk, second: Shared
) -> None:
    desk.drop("a.json", order())
    run = desk.live()
    with desk.venue() as venue:
        name, entry = f"orders-{venue.key}", f"runs/{run.trading_date}/{run.run_id}/"
        entry = f"{folder_identity(desk.context().objects)}/{entry}"
        kept = venue.notes.agent_document(name)
        left = {**(kept or {}), "sending": {entry: ""}}  # as a job leaves it that dies before it is cleared
        assert venue.notes.replace_agent_document(name, left, replacing=kept)
    second.now = desk.now
    assert entry.split("/", 1)[1] in synced(second).not_compared  # another folder can't see that it is over
    desk.now = second.now
    assert synced(desk).not_compared == ""
    desk.one(client_intent_id="next", symbol="QQQ")
    with desk.venue() as venue:
        assert (venue.notes.agent_document(name) or {})["sending"] == {}
    second.now = desk.now
    second.later(minutes=1)
    assert synced(second).not_compared == ""
