"""``sync`` as an operator meets it."""

from __future__ import annotations

import pytest

from engine.safety.lock import exclusive
from engine.stores.embedded.store import EmbeddedStore
from tests.desk import order
from tests.jobs.command_line import jsonl
from tests.jobs.live_machine import Live


@pytest.fixture
def named(live: Live) -> Live:
    live.env["EXEC_BROKER_ACCOUNT_ID"] = "paper"
    return live


def held(live: Live) -> dict[str, float]:
    frame = EmbeddedStore(live.data / "engine.db").all_positions()
    return dict(zip(frame["symbol"], frame["qty"], strict=True))


def past_the_engine(live: Live, **said: str) -> None:
    """Trade by hand, as on the broker's own page."""
    body = {"symbol": "SPY", "qty": "2", "side": "buy", "type": "market", "time_in_force": "day", **said}
    keys = {
        "APCA-API-KEY-ID": live.env["ALPACA_API_KEY"],
        "APCA-API-SECRET-KEY": live.env["ALPACA_SECRET_KEY"],
    }
    live.alpaca.session.post(f"{live.alpaca.url}/v2/orders", json=body, headers=keys).raise_for_status()
    live.alpaca.simulator.simulation.clock.advance(60)


def test_positions_come_from_the_broker_and_a_symbol_that_vanished_becomes_0(named: Live) -> None:
    past_the_engine(named)
    assert named("sync").code == 0
    assert held(named) == {"SPY": 2.0}
    past_the_engine(named, side="sell")
    done = named("sync")
    assert "paper: 0 positions read from the broker" in done.told
    assert held(named) == {"SPY": 0.0}


def test_what_filled_after_its_run_had_ended_reaches_the_ledger(named: Live) -> None:
    limit = {"order_type": "limit", "limit_price": 1}
    named.cli("drop", stdin=jsonl(order(client_intent_id="late", qty=3, **limit)))
    assert named("run", EXEC_SETTLE_S="0").code == 0
    (placed,) = named.orders()
    store = EmbeddedStore(named.data / "engine.db")
    assert store.ledger_document(placed["id"]) is None
    named.alpaca.simulator.venue.fill_now(placed["id"], None)
    assert named("sync", "--json").json["left_open"] == 0
    document = store.ledger_document(placed["id"])
    assert document is not None
    assert (document["filled_qty"], document["client_intent_id"]) == (3.0, "late")


def test_with_nothing_new_it_asks_at_most_five_times(named: Live) -> None:
    named("sync")
    named.alpaca.seen.clear()
    assert named("sync").code == 0
    assert len(named.alpaca.seen) <= 5
    assert {request.split()[0] for request in named.alpaca.seen} == {"GET"}


def test_beside_a_run_it_does_nothing_and_says_so(named: Live) -> None:
    with exclusive(named.data, since="now"):
        done = named("sync", "--json")
    assert (done.code, done.json["synced"]) == (0, False)


def test_without_a_name_for_the_account_it_is_a_setting_to_correct(live: Live) -> None:
    done = live("sync")
    assert done.code == 2
    assert "EXEC_BROKER_ACCOUNT_ID is not set" in done.err.splitlines()[-1]


def test_a_broker_that_is_down_ends_with_1_and_leaves_the_book_as_it_was(named: Live) -> None:
    past_the_engine(named)
    named("sync")
    named.alpaca.status = 401
    assert named("sync").code == 1
    assert held(named) == {"SPY": 2.0}
