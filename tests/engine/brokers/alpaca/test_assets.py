"""Asset records: one by its symbol, the list, and what is recorded of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.brokers.alpaca.assets import only_of, parse_asset
from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.assets import Asset
from engine.brokers.interaction import Interaction
from engine.errors import BrokerError, BrokerRejected, RunStopped
from engine.waiting.deadline import Deadline
from replay.simulator.wire.faults import from_json
from tests.engine.brokers.simulated import Venue, simulated_venue


@pytest.fixture
def venue() -> Any:
    with simulated_venue() as found:
        yield found


def asset(symbol: str, tradable: Any = True, fractionable: Any = True, shortable: Any = True) -> Asset:
    return Asset(symbol=symbol, tradable=tradable, fractionable=fractionable, shortable=shortable)


class Kept:
    """A recorder in memory."""

    def __init__(self) -> None:
        self.interactions: list[Interaction] = []

    def next_number(self) -> int:
        return len(self.interactions) + 1

    def keep(self, interaction: Interaction) -> None:
        self.interactions.append(interaction)


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("SPY", asset("SPY")),
        ("OCGN", asset("OCGN", fractionable=False)),
        ("AMC", asset("AMC", shortable=False)),
        ("BRK.B", asset("BRK.B")),
    ],
)
def test_an_asset_is_what_the_broker_records(venue: Venue, symbol: str, expected: Asset) -> None:
    assert venue.broker.asset(symbol) == expected


@pytest.mark.parametrize("symbol", ["TCEHY", "TWTR"])
def test_an_asset_that_is_inactive_or_closed_to_orders_is_not_tradable(venue: Venue, symbol: str) -> None:
    found = venue.broker.asset(symbol)
    assert found is not None
    assert found.tradable is False


def test_a_symbol_that_the_broker_does_not_know_has_no_record(venue: Venue) -> None:
    assert venue.broker.asset("NOSUCH") is None


def test_a_halted_asset_is_not_tradable_and_its_orders_are_refused(venue: Venue) -> None:
    venue.simulator.venue.change_asset("AAPL", tradable=False, shortable=False)
    assert venue.broker.asset("AAPL") == asset("AAPL", tradable=False, shortable=False)
    listed = {one.symbol: one for one in venue.broker.active_assets(asked_for=())}
    assert (listed["AAPL"].tradable, listed["SPY"].tradable) == (False, True)
    with pytest.raises(Exception, match="is not tradable"):
        venue.place(symbol="AAPL")
    assert venue.place(symbol="SPY")["symbol"] == "SPY"
    with simulated_venue() as other:
        assert other.broker.asset("AAPL") == asset("AAPL")


def test_the_list_has_every_active_asset_and_no_other(venue: Venue) -> None:
    listed = {one.symbol for one in venue.broker.active_assets(asked_for=())}
    assert {"SPY", "AAPL", "BRK.B", "TCEHY"} <= listed
    assert "TWTR" not in listed


def test_the_list_is_recorded_with_the_assets_that_were_asked_for_alone(venue: Venue) -> None:
    recorder = Kept()
    listed = venue.broker.recorded(recorder, "paper").active_assets(asked_for=["SPY", "KO"])
    assert len(listed) > 100
    (kept,) = recorder.interactions
    assert kept.response is not None
    rows = json.loads(kept.response["body"]["string"])
    assert sorted(row["symbol"] for row in rows) == ["KO", "SPY"]
    assert rows[0]["id"]


def test_an_asset_is_recorded_whole(venue: Venue) -> None:
    recorder = Kept()
    venue.broker.recorded(recorder, "paper").asset("SPY")
    (kept,) = recorder.interactions
    assert kept.response is not None
    assert json.loads(kept.response["body"]["string"])["name"].startswith("SPDR")


def test_a_body_that_is_no_list_of_assets_is_recorded_as_it_is() -> None:
    for body in (b"<html>", b'{"message": "no"}', b'[{"symbol": 1}]', b"[1]"):
        assert only_of({"SPY"}, body) == body


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, asset("BTC/USD")),
        ({"fractionable": None}, asset("BTC/USD", fractionable=None)),
        ({"tradable": "yes", "shortable": 1}, asset("BTC/USD", tradable=None, shortable=None)),
        ({"status": "halted"}, asset("BTC/USD", tradable=False)),
    ],
)
def test_a_flag_that_is_neither_true_nor_false_is_unknown(fields: Any, expected: Asset) -> None:
    body = {
        "symbol": "BTCUSD",
        "status": "active",
        "tradable": True,
        "fractionable": True,
        "shortable": True,
    }
    assert parse_asset(json.dumps({**body, **fields}).encode()) == expected


def test_a_record_of_2019_has_no_fractionable_flag() -> None:
    recorded = {
        "id": "cf80d13f-470c-4947-8593-c5e098aeba4e", "class": "us_equity", "exchange": "NYSE",
        "symbol": "CRM", "status": "active", "tradable": True, "marginable": True, "shortable": True,
        "easy_to_borrow": True,
    }  # fmt: skip
    assert parse_asset(json.dumps(recorded).encode()) == asset("CRM", fractionable=None)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"fault": "html_error", "status": 404}, BrokerError),
        ({"fault": "html_error", "status": 403}, BrokerRejected),
        ({"fault": "html_error", "status": 503}, BrokerError),
        ({"fault": "truncated_body"}, BrokerError),
        ({"fault": "rate_limited", "seconds": 600}, BrokerRejected),
    ],
)
def test_a_reply_that_is_not_alpacas_word_is_an_error_and_never_no_record(
    venue: Venue, fault: dict[str, Any], error: type[BrokerError]
) -> None:
    venue.simulator.faults.add(from_json({**fault, "path": "/v2/assets*", "times": None}))
    for ask in (lambda: venue.broker.asset("SPY"), lambda: venue.broker.active_assets(asked_for=["SPY"])):
        with pytest.raises(error):
            ask()


def test_a_record_of_another_asset_is_an_error(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    body = venue.simulator.venue.get_asset("KO")
    monkeypatch.setattr(venue.simulator.venue, "get_asset", lambda _: body)
    with pytest.raises(BrokerError, match="the reply describes asset KO"):
        venue.broker.asset("SPY")


def test_no_read_begins_after_its_deadline(venue: Venue) -> None:
    late: AlpacaBroker = venue.broker.reading_until(Deadline.after(-1))
    before = len(venue.simulator.simulation.state()["requests"])
    with pytest.raises(RunStopped):
        late.asset("SPY")
    assert len(venue.simulator.simulation.state()["requests"]) == before
    assert venue.broker.reading_until(Deadline.after(60)).asset("SPY") == asset("SPY")
