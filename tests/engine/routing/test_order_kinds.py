"""All order types, classes and times in force: what goes out, and what is refused before it does."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.risk.config import RiskConfig
from tests.desk import NOON, Row, order
from tests.engine.routing.trading import GENEROUS, TradingDesk, doing, exit_code, results, standing_still

EIGHT, FIVE_PM = NOON - timedelta(hours=4), NOON + timedelta(hours=5)
PLAIN = {
    "client_order_id": "one",
    "symbol": "SPY",
    "side": "buy",
    "qty": "2",
    "type": "market",
    "time_in_force": "day",
    "extended_hours": False,
}
BRACKET = {"order_class": "bracket", "take_profit_limit_price": 150, "stop_loss_stop_price": 80}

# What an intent says, what goes out beside ``PLAIN`` (None: it is left out), and when in the day.
KINDS: dict[str, tuple[Row, Row, datetime]] = {
    "market": ({}, {}, NOON),
    "sell short": ({"side": "sell"}, {"side": "sell"}, NOON),
    "limit": (
        {"order_type": "limit", "limit_price": 90.25}, {"type": "limit", "limit_price": "90.25"}, NOON,
    ),
    "limit below a dollar": (
        {"order_type": "limit", "limit_price": 0.1234}, {"type": "limit", "limit_price": "0.1234"}, NOON,
    ),
    "stop": ({"order_type": "stop", "stop_price": 150}, {"type": "stop", "stop_price": "150"}, NOON),
    "stop to sell": (
        {"side": "sell", "order_type": "stop", "stop_price": 60},
        {"side": "sell", "type": "stop", "stop_price": "60"}, NOON,
    ),
    "stop limit": (
        {"order_type": "stop_limit", "stop_price": 150, "limit_price": 151.5},
        {"type": "stop_limit", "stop_price": "150", "limit_price": "151.5"}, NOON,
    ),
    "trailing by price": (
        {"side": "sell", "order_type": "trailing_stop", "trail_price": 2.5},
        {"side": "sell", "type": "trailing_stop", "trail_price": "2.5"}, NOON,
    ),
    "trailing by percent": (
        {"order_type": "trailing_stop", "trail_percent": 1.5, "time_in_force": "gtc"},
        {"type": "trailing_stop", "trail_percent": "1.5", "time_in_force": "gtc"}, NOON,
    ),
    "gtc": (
        {"order_type": "limit", "limit_price": 50, "time_in_force": "gtc"},
        {"type": "limit", "limit_price": "50", "time_in_force": "gtc"}, NOON,
    ),
    "ioc": ({"time_in_force": "ioc"}, {"time_in_force": "ioc"}, NOON),
    "fok": (
        {"order_type": "limit", "limit_price": 150, "time_in_force": "fok"},
        {"type": "limit", "limit_price": "150", "time_in_force": "fok"}, NOON,
    ),
    "cls": ({"time_in_force": "cls"}, {"time_in_force": "cls"}, NOON),
    "opg": ({"time_in_force": "opg"}, {"time_in_force": "opg"}, EIGHT),
    "extended hours": (
        {"order_type": "limit", "limit_price": 150, "extended_hours": True},
        {"type": "limit", "limit_price": "150", "extended_hours": True}, FIVE_PM,
    ),
    "extended hours, gtc": (
        {"order_type": "limit", "limit_price": 50, "extended_hours": True, "time_in_force": "gtc"},
        {"type": "limit", "limit_price": "50", "extended_hours": True, "time_in_force": "gtc"}, FIVE_PM,
    ),
    "a fraction": ({"qty": 0.123456789}, {"qty": "0.123456789"}, NOON),
    "a fraction at a limit": (
        {"qty": 0.5, "order_type": "limit", "limit_price": 90},
        {"qty": "0.5", "type": "limit", "limit_price": "90"}, NOON,
    ),
    "notional": ({"qty": None, "notional": 123.45}, {"qty": None, "notional": "123.45"}, NOON),
    "bracket": (
        BRACKET,
        {"order_class": "bracket", "take_profit": {"limit_price": "150"}, "stop_loss": {"stop_price": "80"}},
        NOON,
    ),
    "bracket with a limit in its stop loss": (
        {**BRACKET, "order_type": "limit", "limit_price": 90, "stop_loss_limit_price": 79.5,
         "time_in_force": "gtc"},
        {"type": "limit", "limit_price": "90", "time_in_force": "gtc", "order_class": "bracket",
         "take_profit": {"limit_price": "150"}, "stop_loss": {"stop_price": "80", "limit_price": "79.5"}},
        NOON,
    ),
    "oto with a take profit": (
        {"order_class": "oto", "take_profit_limit_price": 150},
        {"order_class": "oto", "take_profit": {"limit_price": "150"}}, NOON,
    ),
    "oto with a stop loss": (
        {"order_class": "oto", "stop_loss_stop_price": 80},
        {"order_class": "oto", "stop_loss": {"stop_price": "80"}}, NOON,
    ),
}  # fmt: skip


def desk_at(timestamp: datetime, data: Path) -> TradingDesk:
    at = {"start_ns": int(timestamp.timestamp()) * 10**9}
    return TradingDesk(data, now=timestamp, simulator=standing_still(**at), settle_s=0.0)


@pytest.mark.parametrize(("said", "changes", "timestamp"), KINDS.values(), ids=KINDS.keys())
def test_an_intent_goes_out_as_the_order_that_it_says(
    tmp_path: Path, said: Row, changes: Row, timestamp: datetime
) -> None:
    desk = desk_at(timestamp, tmp_path / "data")
    config = RiskConfig(accounts=frozenset({"paper"}), fail_open="notional" in said)
    row = desk.one(config=config, **{"qty": 2, **said})
    assert (row["status"], row["reason"]) == ("placed", "ok")
    (sent,) = [seen["body"] for seen in desk.requests("POST")]
    assert sent == {name: value for name, value in (PLAIN | changes).items() if value is not None}
    assert desk.at_broker("one")["type"] == sent["type"]


def test_an_exit_pair_goes_out_as_one_order_with_the_take_profit_for_its_price(desk: TradingDesk) -> None:
    desk.one(client_intent_id="entry", qty=2)
    said: Row = {"take_profit_limit_price": 150, "stop_loss_stop_price": 80}
    row = desk.one(qty=2, side="sell", order_type="limit", limit_price=150, order_class="oco", **said)
    assert row["status"] == "placed"
    sent = desk.requests("POST")[-1]["body"]
    legs = {"take_profit": {"limit_price": "150"}, "stop_loss": {"stop_price": "80"}}
    assert sent == PLAIN | {"side": "sell", "type": "limit", "order_class": "oco"} | legs
    assert [one["type"] for one in desk.orders()[1:]] == ["limit", "stop"]


def test_an_order_by_notional_needs_a_rule_that_may_be_skipped(desk: TradingDesk) -> None:
    row = desk.one(qty=None, notional=100)
    assert (row["status"], row["reason"]) == ("rejected", "risk_data_unavailable")
    assert desk.posts() == []


@pytest.mark.parametrize("order_type", ["market", "limit"])
def test_an_order_by_notional_is_settled_with_the_shares_that_it_bought(
    desk: TradingDesk, order_type: str
) -> None:
    price = {"order_type": "limit", "limit_price": 150} if order_type == "limit" else {}
    desk.drop("a.json", order(client_intent_id="one", qty=None, notional=100, **price))
    run = desk.live(RiskConfig(fail_open=True))
    (row,) = results(run)
    assert (row["status"], row["order_status"]) == ("placed", "filled")
    assert 0.5 < row["filled_qty"] < 2
    assert sum(fill["qty"] for fill in run.table("fills.parquet").to_pylist()) == row["filled_qty"]
    assert (desk.trades(), exit_code(run)) == (1, 0)


REFUSED: dict[str, tuple[Row, str]] = {
    "a price between cents": ({"order_type": "limit", "limit_price": 90.123}, "limit_price"),
    "a price below a dollar, too fine": ({"order_type": "limit", "limit_price": 0.12345}, "limit_price"),
    "a leg's price between cents": ({**BRACKET, "take_profit_limit_price": 150.001}, "take_profit"),
    "a fraction that lives for days": (
        {"qty": 0.5, "time_in_force": "gtc", "order_type": "limit", "limit_price": 90}, "fraction",
    ),
    "a fraction of a group": ({**BRACKET, "qty": 1.5}, "fraction"),
    "notional below a dollar": ({"qty": None, "notional": 0.99}, "notional"),
    "notional between cents": ({"qty": None, "notional": 10.001}, "notional"),
    "a trail of nearly nothing": ({"order_type": "trailing_stop", "trail_percent": 0.05}, "trail_percent"),
    "a stop at the opening": (
        {"order_type": "stop", "stop_price": 150, "time_in_force": "opg"}, "time_in_force",
    ),
    "extended hours at the market": ({"extended_hours": True}, "extended_hours"),
    "a group at the close": ({**BRACKET, "time_in_force": "cls"}, "time_in_force"),
    "a group by a stop": ({**BRACKET, "order_type": "stop", "stop_price": 120}, "order_type"),
    "exits on the wrong side": (
        {**BRACKET, "take_profit_limit_price": 70, "stop_loss_stop_price": 80}, "take_profit_limit_price",
    ),
    "a currency pair": ({"symbol": "BTC/USD"}, "symbol"),
    "an option": ({"symbol": "SPY260320C00500000"}, "option"),
    "crypto": ({"asset_class": "CRYPTO"}, "asset_class"),
}  # fmt: skip


@pytest.mark.parametrize(("said", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_venue_cannot_take_is_refused_before_it_is_sent_and_says_why(
    desk: TradingDesk, said: Row, words: str
) -> None:
    desk.drop("a.json", order(client_intent_id="one", **{"qty": 2, **said}))
    run = desk.live(RiskConfig(fail_open=True))
    (row,) = results(run)
    assert (row["status"], row["reason"]) == ("broker_rejected", "not_accepted_by_venue")
    assert words in row["message"]
    assert row["attempted"] is False
    assert desk.posts() == []
    assert exit_code(run) == 0


def test_what_the_venue_cannot_take_does_not_keep_the_others_from_leaving(desk: TradingDesk) -> None:
    bad: dict[str, Any] = {"order_type": "limit", "limit_price": 90.123}
    rows = [order(client_intent_id=f"order-{n}", **(bad if n % 2 else {})) for n in range(6)]
    desk.drop("a.json", *rows)
    run = desk.live(GENEROUS)
    assert [row["status"] for row in results(run)] == ["placed", "broker_rejected"] * 3
    assert desk.posts() == ["order-0", "order-2", "order-4"]
    noted = [row["client_order_id"] for row in run.json("attempts/000001.json")["orders"]]
    assert noted == desk.posts()


def test_an_order_for_the_evening_counts_on_the_session_that_it_is_in_new_york(tmp_path: Path) -> None:
    evening = datetime(2026, 3, 2, 19, 30, tzinfo=ZoneInfo("America/New_York"))
    desk = desk_at(evening, tmp_path / "data")
    desk.between = doing(lambda _: desk.tick(1))
    row = desk.one(order_type="limit", limit_price=150, extended_hours=True)
    assert row["filled_qty"] == 1.0
    assert (desk.trades("2026-03-02"), desk.trades("2026-03-03")) == (1, 0)
    document = desk.store.ledger_document(row["broker_order_id"])
    assert document is not None
    assert document["filled_at"].startswith("2026-03-03T00:3")  # in UTC the next day
