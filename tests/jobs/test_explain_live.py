"""``explain`` of live orders whose run is not over, or that were open when it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from requests import PreparedRequest, Response

from engine.errors import BrokerError, DataUnavailable, RunStopped
from engine.stores.embedded.store import EmbeddedStore
from tests.desk import Row, order
from tests.engine.routing.trading import (
    Killed,
    Send,
    TradingDesk,
    client_id_of,
    dropped,
    is_order,
    no_connection,
)
from tests.jobs.command_line import Command

RESTING: Row = {"order_type": "limit", "limit_price": 50}


@pytest.fixture
def desk(data: Path) -> TradingDesk:
    return TradingDesk(data)


@pytest.fixture
def story(cli: Command, desk: TradingDesk) -> Callable[..., dict[str, Any]]:
    """Return a function that gives the only story of an intent, as it is told to machines."""

    def tell(intent_id: str = "one") -> dict[str, Any]:
        done = cli("explain", intent_id, "--json")
        (found,) = done.json["stories"]
        assert isinstance(found, dict)
        for line in [found["state"], *found["life"], *found["later"]]:
            assert line in cli("explain", intent_id).out
        return found

    return tell


Tell = Callable[..., dict[str, Any]]


# --- the run is not over


def killed(desk: TradingDesk, *rows: Row, when: str, taken_in: bool = True) -> None:
    """Leave a run whose job died when it sent the order ``when``."""

    def middle(request: PreparedRequest, send: Send) -> Response:
        if client_id_of(request) != when:
            return send()
        if taken_in:
            send()
        raise desk.die()

    desk.between = middle
    desk.drop("a.json", *rows)
    with pytest.raises(Killed):
        desk.live()


def test_an_intent_that_was_not_sent_yet_is_reported_as_such(desk: TradingDesk, story: Tell) -> None:
    desk.stopping = lambda: any(desk.data.glob("runs/*/*/decisions.parquet"))
    with pytest.raises(RunStopped):
        desk.one()
    told = story()
    assert (told["state"], told["life"]) == ("it is allowed, and was not sent yet", [])
    assert set(told["checks"].values()) == {"pass", "off"}


def test_an_intent_that_is_not_decided_yet_has_no_verdicts(desk: TradingDesk, story: Tell) -> None:
    desk.stopping = lambda: any(desk.data.glob("runs/*/*/intents.parquet"))
    with pytest.raises(RunStopped):
        desk.one()
    told = story()
    assert (told["state"], told["checks"]) == ("it is not decided yet", {})


def test_an_intent_that_was_refused_says_that_nothing_of_it_is_sent(desk: TradingDesk, story: Tell) -> None:
    killed(desk, order(client_intent_id="huge", qty=1e8), order(client_intent_id="one"), when="one")
    assert story("huge")["state"] == "it is refused, and is not sent"


@pytest.mark.parametrize("taken_in", [True, False])
def test_an_order_without_an_answer_on_record_may_have_left(
    desk: TradingDesk, story: Tell, taken_in: bool
) -> None:
    killed(desk, order(client_intent_id="one"), when="one", taken_in=taken_in)
    told = story()
    assert told["state"].startswith("it was about to be sent, and no answer is on record")
    assert len(told["life"]) == 1
    assert told["life"][0].endswith("noted as about to be sent (attempts/000001.json)")


def test_an_order_with_an_answer_on_record_is_at_the_broker(desk: TradingDesk, story: Tell) -> None:
    killed(desk, order(client_intent_id="one"), order(client_intent_id="two"), when="two")
    told = story()
    assert told["state"] == f"it was sent, and is at the broker as {desk.at_broker('one')['id']}"
    assert "POST /v2/orders: 200 OK" in told["life"][-1]


def test_a_refusal_on_record_is_reported_in_the_brokers_words(desk: TradingDesk, story: Tell) -> None:
    killed(desk, order(client_intent_id="one", qty=900_000), order(client_intent_id="two"), when="two")
    assert story()["state"].startswith("it was sent, and the broker refused it: insufficient buying power")


def test_an_order_whose_reply_was_lost_has_an_unknown_outcome(desk: TradingDesk, story: Tell) -> None:
    sent: list[str] = []

    def middle(request: PreparedRequest, send: Send) -> Response:
        if sent:
            raise no_connection(request)
        if is_order(request):
            sent.append(client_id_of(request))
            raise dropped(request)
        return send()

    desk.between = middle
    with pytest.raises(BrokerError):
        desk.one()
    assert story()["state"].startswith("it was sent, and its outcome is unknown")


# --- the run is over, and the order was not


def test_an_order_that_filled_in_its_run_has_nothing_later(desk: TradingDesk, story: Tell) -> None:
    desk.one(qty=3)
    told = story()
    assert (told["state"], told["later"]) == ("", [])


def test_an_order_that_is_still_open_is_still_looked_for(desk: TradingDesk, story: Tell) -> None:
    desk.one(qty=3, **RESTING)
    order_id = desk.at_broker("one")["id"]
    assert story()["later"] == [
        f"The ledger has no fill of order {order_id}.",
        "It is still open or unresolved: the next sync asks the broker for it.",
    ]


def test_what_filled_later_is_reported_with_what_the_ledger_has_of_it(desk: TradingDesk, story: Tell) -> None:
    desk.one(qty=3, **RESTING)
    desk.fill("one", 1)
    desk.live()
    desk.fill("one", 2)
    desk.live()
    first, then, ledger, end = story()["later"]
    assert first.endswith("executed: buy 1 SPY at 50, 2 left; found by a later sync")
    assert then.endswith("executed: buy 2 SPY at 50; found by a later sync")
    order_id = desk.at_broker("one")["id"]
    assert ledger == f"The ledger has 3 filled at 50 of order {order_id}, a trade of 2026-03-02."
    assert end == "It is terminal: no sync asks for it any more."


def test_an_unresolved_order_that_was_found_later_is_reported_with_its_fill(
    desk: TradingDesk, story: Tell
) -> None:
    desk.arm("accept_then_drop")
    desk.arm("lookup_lag", lookups=1000)
    assert desk.one(qty=3)["status"] == "unresolved"
    assert "still open or unresolved" in story()["later"][-1]
    desk.disarm()
    desk.live()
    later = story()["later"]
    assert len(later) == 3
    assert "executed: buy 3 SPY" in later[0]
    assert later[-1] == "It is terminal: no sync asks for it any more."


def test_an_unresolved_order_that_never_came_is_reported_as_such(desk: TradingDesk, story: Tell) -> None:
    desk.arm("error_before", method="POST", path="/v2/orders", times=None)
    assert desk.one()["status"] == "unresolved"
    desk.disarm()
    desk.tick(86_400)
    desk.live()
    assert story()["later"] == [
        "No sync has found it at the broker, and none asks for it any more: it never arrived."
    ]


def test_a_ledger_that_cannot_be_read_prevents_no_story(
    desk: TradingDesk, story: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise DataUnavailable("the ledger is down.")

    desk.one(qty=3, **RESTING)
    monkeypatch.setattr(EmbeddedStore, "ledger_document", down)
    assert "can't be read: the ledger is down." in story()["later"][0]


def test_an_order_of_another_account_under_the_same_id_is_not_taken_for_this_one(
    desk: TradingDesk, story: Tell
) -> None:
    desk.one(qty=3)
    (cassette,) = desk.data.glob("runs/*/*/cassette.json")
    others = cassette.read_text().replace('"account":"paper"', '"account":"other"')
    cassette.write_text(others)
    assert not any("POST" in line for line in story()["life"])
