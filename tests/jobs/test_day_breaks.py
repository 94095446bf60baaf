"""A day's end tells what differed between broker and ledger, and what of it is still open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.desk import order
from tests.jobs.command_line import jsonl
from tests.jobs.live_machine import Live

SPY = {"symbol": "SPY", "side": "buy", "type": "market", "time_in_force": "day"}


@pytest.fixture
def named(live: Live) -> Live:
    live.env["EXEC_BROKER_ACCOUNT_ID"] = "paper"
    return live


def traded_by_hand(live: Live, qty: str) -> None:
    live.alpaca.simulator.venue.place_order({**SPY, "qty": qty})


def test_a_session_says_what_became_of_every_row_and_counts_cancels_apart(named: Live) -> None:
    resting = order(client_intent_id="rests", order_type="limit", limit_price=1)
    named.cli("drop", stdin=jsonl(resting, order(qty=0), order(qty=500)))
    assert named("run").code == 0
    named.cli("drop", stdin=jsonl(order(client_intent_id="c", action="cancel", target_intent_id="rests")))
    ran = named("run", "--json")
    assert (ran.json["orders"], ran.json["cancels"]) == ({"sent": 0, "adopted": 0}, 1)
    session = ran.json["trading_date"]
    said = named("day", session, "--json").json
    assert said["rows"] == {"quarantined": 1, "placed": 1, "rejected": 1, "canceled": 1}
    assert (said["summary"][0]["orders"], said["summary"][0]["cancels"]) == (1, 1)
    told = named("day", session).told
    assert "refused by a rule 1" in told
    assert "all that were dropped 4" in told
    shown = named("status", "--json").json["runs"][-1]
    assert (shown["sent"], shown["cancels"]) == (0, 1)


def test_a_trade_by_hand_is_reported_taken_in_and_trading_goes_on(named: Live, data: Path) -> None:
    named.cli("drop", stdin=jsonl(order(client_intent_id="one", qty=2)))
    assert named("run").code == 0
    traded_by_hand(named, "3")
    named.cli("drop", stdin=jsonl(order(client_intent_id="two")))
    refused = named("run", "--json")
    assert (refused.code, refused.json["decisions"]["by_reason"]) == (4, {"position_unreconciled": 1})
    assert named("status", "--json").json["runs"][-1]["state"] == "done, broker and ledger differ"
    told = named("sync")
    assert told.code == 4
    assert "manual trade. SPY: order " in told.told
    (proposal,) = {path for path in data.glob("syncs/*/*/proposal.csv") if path.parent.name in told.out}
    session = refused.json["trading_date"]
    open_day = named("day", session)
    assert (open_day.code, "OPEN: 1" in open_day.told) == (4, True)
    accepted = named("positions", "accept", proposal, "--by", "ann", "--why", "by phone")
    assert accepted.code == 0
    assert named("sync").code == 0
    assert named("day", session).code == 0
    named.cli("drop", stdin=jsonl(order(client_intent_id="three")))
    assert named("run", "--json").json["results"]["by_status"] == {"placed": 1}


def test_an_order_that_the_broker_rejects_after_its_acceptance_is_shown_by_run_status_and_day(
    named: Live,
) -> None:
    named.alpaca.fault({"fault": "reject_after_acceptance"})
    named.cli("drop", stdin=jsonl(order(client_intent_id="one"), order(client_intent_id="two", qty=2)))
    ran = named("run", "--json")
    assert ran.code == 0
    assert ran.json["results"] == {
        "by_status": {"broker_rejected": 1, "placed": 1},
        "by_order_status": {"rejected": 1, "filled": 1},
    }
    assert named("status", "--json").json["runs"][-1]["state"] == "done, 1 refused by the broker"
    day = named("day", ran.json["trading_date"])
    assert "refused by the broker 1" in day.told
    assert "paper momentum one SPY rejected_after_acceptance: " in day.told
    (rejected,) = named("day", ran.json["trading_date"], "--json").json["rejected"]
    assert (rejected["client_intent_id"], rejected["reason"]) == ("one", "rejected_after_acceptance")


def test_a_cancel_of_no_known_order_is_not_counted_as_refused_by_the_broker(named: Live) -> None:
    named.cli("drop", stdin=jsonl(order(client_intent_id="c", action="cancel", target_intent_id="nosuch")))
    ran = named("run")
    assert ran.code == 0
    assert "Results: 1 cancel of no known order; 0 orders sent" in ran.told
    state = named("status", "--json").json["runs"][-1]
    assert state["state"] == "done, 1 cancel of no known order"
    day = named("day", state["trading_date"])
    assert "cancels of no known order 1" in day.told
    assert "momentum c cancel target_unknown: the broker knows no order nosuch" in day.told
    for said in (ran, day, named("status")):
        assert "refused by the broker" not in said.told.lower()
