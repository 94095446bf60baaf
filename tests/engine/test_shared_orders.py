from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.shared_orders import SharedOrders
from engine.stores.embedded import EmbeddedStore
from engine.syncing import Session, Synced, sync_all
from tests.desk import order
from tests.engine.routing.trading import Killed, TradingDesk, is_order
from tests.engine.test_books import SESSION

RESTING = {"order_type": "limit", "limit_price": 50}


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
    with desk.venues() as venues:
        answer = sync_all(desk.world(venues=venues), venues, session)["paper"]
    assert not isinstance(answer, EngineError), answer
    desk.later(minutes=1)
    return answer


def test_what_another_data_folder_left_open_is_ours_as_well(desk: TradingDesk, second: Shared) -> None:
    desk.drop("a.json", order(client_intent_id="rests", **RESTING))
    desk.live()
    second.now = desk.now
    assert synced(second).open_breaks == []
    with desk.venue() as venue:
        assert SharedOrders(venue).resting_elsewhere(second.world().objects) == ["rests"]
        assert SharedOrders(venue).resting_elsewhere(desk.world().objects) == []


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
    assert "of another data folder is not finished" in answer.not_compared
    desk.now = second.now
    desk.live()
    second.now = desk.now
    assert replace(synced(second), breaks=()).not_compared == ""


def test_an_order_that_is_over_is_forgotten_there_too(desk: TradingDesk, second: Shared) -> None:
    desk.drop("a.json", order(client_intent_id="rests", **RESTING))
    desk.live()
    desk.fill("rests")
    desk.live()
    with desk.venue() as venue:
        assert SharedOrders(venue).resting_elsewhere(second.world().objects) == []
