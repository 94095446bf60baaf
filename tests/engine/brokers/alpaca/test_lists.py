"""What AlpacaBroker lists: against the simulator where all is well, against ``loopback`` where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.alpaca.lists import parse_fills, parse_positions
from engine.errors import BrokerError, BrokerRejected, UsageError
from engine.model.orders import BrokerFill, BrokerPosition
from tests.engine.brokers.loopback import HTML_ERROR, ORDER, Loopback, says
from tests.engine.brokers.simulated import NOON, Venue, intent, simulated_venue

POSITION: dict[str, Any] = {  # as recorded in 2019
    "asset_id": "fc6a5dcd-4a70-4b8d-b64f-d83a6dae9ba4",
    "symbol": "FB",
    "exchange": "NASDAQ",
    "asset_class": "us_equity",
    "qty": "-100",
    "avg_entry_price": "198.4",
    "side": "short",
    "market_value": "-19922",
    "cost_basis": "-19840",
    "current_price": "199.22",
}
FILL: dict[str, Any] = {  # as recorded in 2020, with the field of 2026
    "id": "20200522035112065::a80dfbdf-42ea-459f-82ea-61cf91691913",
    "activity_type": "FILL",
    "transaction_time": "2020-05-22T19:51:12.065361999Z",
    "type": "fill",
    "price": "186.98",
    "qty": "26",
    "side": "buy",
    "symbol": "WAT",
    "leaves_qty": "0",
    "order_id": "b48a6dd1-0100-458e-8a30-463a9cf6aaf7",
    "cum_qty": "26",
    "order_status": "filled",
}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LISTS: dict[str, tuple[Callable[[AlpacaBroker], list[Any]], dict[str, Any]]] = {
    "open orders": (lambda broker: broker.open_orders(), ORDER),
    "orders since": (lambda broker: broker.orders_since(LONG_AGO), ORDER),
    "positions": (lambda broker: broker.positions(), POSITION),
    "fills": (lambda broker: broker.fills(after=None), FILL),
}
each_list = pytest.mark.parametrize("name", LISTS)
each_paged_list = pytest.mark.parametrize("name", [name for name in LISTS if name != "positions"])


@pytest.fixture(scope="module")
def large() -> Iterator[Venue]:
    """1,200 limit orders that wait, and 250 fills after them."""
    with simulated_venue(cash=10**9) as venue:
        for number in range(1200):
            price, order_id = f"{1 + number % 7}", f"waits-{number}"
            venue.place(type="limit", limit_price=price, client_order_id=order_id)
        venue.wait()
        for number in range(250):
            venue.place(symbol="MSFT", client_order_id=f"fills-{number}")
        venue.wait()
        yield venue


@pytest.fixture
def small() -> Iterator[Venue]:
    with simulated_venue() as venue:
        yield venue


def asked(server: Loopback) -> list[dict[str, str]]:
    queries = [parse_qs(urlsplit(seen.path).query) for seen in server.seen]
    return [{name: values[-1] for name, values in query.items()} for query in queries]


# --- all of it ------------------------------------------------------------------------------------------


def test_all_open_orders_are_listed_once_and_oldest_first_over_several_pages(large: Venue) -> None:
    found = [order.client_order_id for order in large.broker.open_orders()]
    assert found == [f"waits-{number}" for number in range(1200)]


def test_all_orders_since_a_timestamp_are_listed_whatever_became_of_them(large: Venue) -> None:
    found = large.broker.orders_since(NOON)
    assert len(found) == 1450
    assert {order.order_status for order in found} == {"new", "filled"}
    assert all(order.submitted_at is not None and order.submitted_at >= NOON for order in found)


def test_an_order_of_the_very_timestamp_is_among_those_since_then(large: Venue) -> None:
    first = large.broker.open_orders()[0].submitted_at
    assert first is not None
    assert len(large.broker.orders_since(first)) == 1450
    assert len(large.broker.orders_since(first + timedelta(seconds=1))) == 250


def test_all_fills_are_listed_once_and_in_their_order(large: Venue) -> None:
    fills = large.broker.fills(after=None)
    assert len({fill.fill_id for fill in fills}) == len(fills) == 250
    assert [fill.filled_at for fill in fills] == sorted(fill.filled_at for fill in fills)
    assert {(fill.symbol, fill.side, fill.qty, fill.leaves_qty) for fill in fills} == {
        ("MSFT", "buy", 1.0, 0.0)
    }
    assert {fill.order_status for fill in fills} == {"filled"}


def test_fills_after_a_timestamp_leave_out_what_was_long_before(large: Venue) -> None:
    last = large.broker.fills(after=None)[-1].filled_at
    assert len(large.broker.fills(after=last - timedelta(seconds=1))) == 250
    assert large.broker.fills(after=last + timedelta(seconds=5)) == []


def test_a_group_is_listed_under_its_entry_with_its_legs(small: Venue) -> None:
    small.place(
        type="limit",
        limit_price="100",
        order_class="bracket",
        take_profit={"limit_price": "110"},
        stop_loss={"stop_price": "90"},
    )
    (entry,) = small.broker.open_orders()
    assert (entry.order_class, entry.order_type, entry.limit_price) == ("bracket", "limit", 100.0)
    assert [(leg.side, leg.order_type, leg.order_status, leg.qty) for leg in entry.legs] == [
        ("sell", "limit", "held", 1.0),
        ("sell", "stop", "held", 1.0),
    ]
    assert [(leg.limit_price, leg.stop_price) for leg in entry.legs] == [(110.0, None), (None, 90.0)]


def test_positions_are_signed(small: Venue) -> None:
    small.place(qty="3")
    small.place(symbol="MSFT", side="sell", qty="2")
    small.wait()
    found = {position.symbol: position for position in small.broker.positions()}
    assert {symbol: position.qty for symbol, position in found.items()} == {"AAPL": 3.0, "MSFT": -2.0}
    short = found["MSFT"]
    assert short.asset_class == "us_equity"
    assert short.avg_price is not None
    assert short.avg_price > 0
    assert short.market_value is not None
    assert short.market_value < 0


def test_an_empty_account_has_empty_lists(small: Venue) -> None:
    assert [ask(small.broker) for ask, _ in LISTS.values()] == [[], [], [], []]


def test_an_order_is_found_by_its_client_id_with_all_that_it_is(small: Venue) -> None:
    placed = small.broker.place_order(
        intent=intent(order_type="limit", limit_price=1.05, qty=2.0, time_in_force="gtc")
    )
    found = small.broker.find_order(client_order_id="intent-1")
    assert found is not None
    assert found.broker_order_id == placed.broker_order_id
    assert (found.qty, found.notional, found.limit_price, found.stop_price) == (2.0, None, 1.05, None)
    assert (found.order_type, found.time_in_force, found.order_class) == ("limit", "gtc", "")
    assert found.created_at == NOON
    assert not found.is_final


def test_an_order_that_alpaca_does_not_know_is_none(small: Venue) -> None:
    assert small.broker.find_order(client_order_id="never-sent") is None


# --- how it is asked for --------------------------------------------------------------------------------


def page(first: int, count: int, **more: Any) -> list[dict[str, Any]]:
    return [ORDER | {"id": f"order-{number}"} | more for number in range(first, first + count)]


def fills(first: int, count: int) -> list[dict[str, Any]]:
    return [FILL | {"id": f"fill-{number}"} for number in range(first, first + count)]


def test_pages_of_orders_go_on_after_the_last_id_and_not_by_time(
    server: Loopback, broker: AlpacaBroker
) -> None:
    server.answers = [says(200, page(0, 500)), says(200, page(500, 3))]
    timestamp = datetime(2026, 10, 8, 12, 0, 0, 5, tzinfo=UTC)
    assert [order.broker_order_id for order in broker.orders_since(timestamp)] == [
        f"order-{number}" for number in range(503)
    ]
    always = {"status": "all", "nested": "true", "direction": "asc", "limit": "500"}
    assert asked(server) == [
        always | {"after": "2026-10-08T12:00:00.000004Z"},
        always | {"after_order_id": "order-499"},
    ]


def test_pages_of_fills_go_on_after_the_last_id(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(200, fills(0, 100)), says(200, fills(100, 100)), says(200, [])]
    assert len(broker.fills(after=datetime(2026, 10, 8, 12, 0, 0, 5, tzinfo=UTC))) == 200
    always = {"direction": "asc", "page_size": "100", "after": "2026-10-08T11:59:59Z"}
    assert asked(server) == [
        always,
        always | {"page_token": "fill-99"},
        always | {"page_token": "fill-199"},
    ]


@pytest.mark.parametrize("group", [{"order_class": "bracket"}, {"legs": [ORDER]}])
def test_a_page_is_the_last_where_it_is_short_with_every_order_of_its_groups_counted(
    server: Loopback, broker: AlpacaBroker, group: dict[str, Any]
) -> None:
    server.answers = [says(200, page(0, 167, **group)), says(200, page(167, 166, **group))]
    assert len(broker.open_orders()) == 167 + 166


def test_a_list_of_sought_orders_ends_with_the_page_that_has_the_last_of_them(
    server: Loopback, broker: AlpacaBroker
) -> None:
    ids = [row["id"] for row in page(0, 500)]
    server.answers = [says(200, page(0, 500))]
    assert len(broker.orders_since(LONG_AGO, sought=[ids[0], ids[-1]])) == 500
    assert len(server.seen) == 1


def test_a_list_of_sought_orders_ends_where_asking_for_each_that_is_missing_is_no_dearer(
    server: Loopback, broker: AlpacaBroker
) -> None:
    server.answers = [says(200, page(at, 500)) for at in (0, 500, 1000, 1500)]
    assert len(broker.orders_since(LONG_AGO, sought=["gone-1", "gone-2"])) == 1000
    assert len(server.seen) == 2


def test_a_row_that_comes_twice_counts_once_and_as_it_was_last(
    server: Loopback, broker: AlpacaBroker
) -> None:
    server.answers = [says(200, page(0, 500)), says(200, page(499, 2, status="filled"))]
    found = broker.orders_since(LONG_AGO)
    assert len(found) == 501
    assert [order.order_status for order in found[498:]] == ["accepted", "filled", "filled"]


@pytest.mark.parametrize(
    ("name", "again"),
    [("open orders", page(0, 500)), ("orders since", page(0, 500)), ("fills", fills(0, 100))],
)
def test_pages_without_end_are_an_error(
    server: Loopback, broker: AlpacaBroker, name: str, again: list[dict[str, Any]]
) -> None:
    server.answers = [says(200, again)] * 3
    with pytest.raises(BrokerError, match=rf"does not come to an end: after {len(again)} rows"):
        LISTS[name][0](broker)
    assert len(server.seen) == 2


def test_a_timestamp_without_a_timezone_is_an_error_before_anything_is_asked(
    server: Loopback, broker: AlpacaBroker
) -> None:
    naive = LONG_AGO.replace(tzinfo=None)
    with pytest.raises(UsageError, match="2020-01-01T00:00:00 has no timezone"):
        broker.fills(after=naive)
    with pytest.raises(UsageError, match="has no timezone"):
        broker.orders_since(naive)
    assert server.seen == []


# --- replies that are no list ---------------------------------------------------------------------------


@each_list
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "it is not JSON"),
        (HTML_ERROR.encode(), "it is not JSON"),
        (b"[{]", "it is not JSON"),
        (b"{}", "it is not a JSON list"),
        (b"null", "it is not a JSON list"),
        (b"[null]", "its row 1 is not a JSON object"),
        (b"[[]]", "its row 1 is not a JSON object"),
        (b"[{}]", "in its row 1, its "),
    ],
)
def test_a_200_without_a_list_of_objects_is_a_broker_error(
    server: Loopback, broker: AlpacaBroker, name: str, body: bytes, said: str
) -> None:
    server.answers = [says(200, body)]
    with pytest.raises(BrokerError, match=r"the reply is no list of \w+ \(") as caught:
        LISTS[name][0](broker)
    assert said in str(caught.value)
    assert not isinstance(caught.value, BrokerRejected)


@each_list
def test_one_row_that_cannot_be_read_spoils_the_list(
    server: Loopback, broker: AlpacaBroker, name: str
) -> None:
    ask, row = LISTS[name]
    server.answers = [says(200, [row, row | {"id": "other", "symbol": 7, "status": 7}])]
    with pytest.raises(BrokerError, match=r"in its row 2, its (symbol|status) is 7"):
        ask(broker)


@each_paged_list
def test_a_second_page_that_is_missing_spoils_the_list(
    server: Loopback, broker: AlpacaBroker, name: str
) -> None:
    ask, row = LISTS[name]
    full = [row | {"id": f"row-{number}"} for number in range(100 if name == "fills" else 500)]
    server.answers = [says(200, full), says(503)]
    with pytest.raises(BrokerError, match="HTTP 503"):
        ask(broker)


@pytest.mark.parametrize("changes", [
    {"symbol": None}, {"symbol": ""}, {"qty": None}, {"qty": "many"}, {"qty": "NaN"}, {"qty": ""},
    {"qty": True}, {"side": None}, {"side": "flat"}, {"side": "long"}, {"avg_entry_price": "x"},
    {"market_value": "1,5"}, {"market_value": []}, {"qty": "1e999"},
])  # fmt: skip
def test_a_position_is_read_whole_or_not_at_all(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"in its row 2, its "):
        parse_positions(json.dumps([POSITION, POSITION | changes]).encode())


@pytest.mark.parametrize(
    ("changes", "qty"),
    [
        ({}, -100.0),
        ({"qty": "100"}, -100.0),  # the side says it too
        ({"qty": "0.557436865", "side": "long"}, 0.557436865),
        ({"qty": -3}, -3.0),
        ({"qty": "0", "side": "long"}, 0.0),
    ],
)
def test_the_sign_of_a_position_follows_its_side(changes: dict[str, Any], qty: float) -> None:
    (position,) = parse_positions(json.dumps([POSITION | changes]).encode())
    assert position.qty == qty


def test_a_position_comes_with_its_figures_and_the_broker_s_words() -> None:
    assert parse_positions(json.dumps([POSITION]).encode()) == [
        BrokerPosition(
            symbol="FB",
            qty=-100.0,
            avg_price=198.4,
            market_value=-19922.0,
            asset_class="us_equity",
            raw=POSITION,
        )
    ]


def test_a_position_without_prices_is_one_all_the_same() -> None:
    bare = {name: POSITION[name] for name in ("symbol", "qty", "side")} | {"market_value": None}
    (position,) = parse_positions(json.dumps([bare]).encode())
    assert (position.avg_price, position.market_value, position.asset_class) == (None, None, "")


def test_a_fill_comes_with_its_figures_and_the_broker_s_words() -> None:
    assert parse_fills(json.dumps([FILL]).encode()) == [
        BrokerFill(
            fill_id="20200522035112065::a80dfbdf-42ea-459f-82ea-61cf91691913",
            broker_order_id="b48a6dd1-0100-458e-8a30-463a9cf6aaf7",
            symbol="WAT",
            side="buy",
            qty=26.0,
            price=186.98,
            filled_at=datetime(2020, 5, 22, 19, 51, 12, 65361, tzinfo=UTC),
            cum_qty=26.0,
            leaves_qty=0.0,
            order_status="filled",
            raw=FILL,
        )
    ]


@pytest.mark.parametrize(("word", "side"), [("buy", "buy"), ("sell", "sell"), ("sell_short", "sell")])
def test_a_fill_is_a_buy_or_a_sell(word: str, side: str) -> None:
    (fill,) = parse_fills(json.dumps([FILL | {"side": word}]).encode())
    assert fill.side == side


def test_an_id_of_any_shape_will_do_and_what_nothing_hangs_on_may_be_missing() -> None:
    odd = FILL | {"id": "5f0c2a9b1d3e", "cum_qty": None, "leaves_qty": "?", "order_status": 3}
    (fill,) = parse_fills(json.dumps([odd]).encode())
    assert (fill.fill_id, fill.cum_qty, fill.leaves_qty, fill.order_status) == (
        "5f0c2a9b1d3e",
        None,
        None,
        "",
    )


@pytest.mark.parametrize("changes", [
    {"id": None}, {"id": ""}, {"order_id": None}, {"symbol": None}, {"side": "hold"}, {"side": None},
    {"qty": None}, {"qty": "-26"}, {"qty": "NaN"}, {"price": None}, {"price": "?"},
    {"transaction_time": None}, {"transaction_time": "2020-05-22"}, {"activity_type": "DIV"},
])  # fmt: skip
def test_a_fill_is_read_whole_or_not_at_all(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"in its row 2, its "):
        parse_fills(json.dumps([FILL, FILL | changes]).encode())


# --- looking one up -------------------------------------------------------------------------------------


NOT_FOUND = {"code": 40410000, "message": "order not found for intent-1"}


def test_none_is_what_alpaca_itself_does_not_know(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(404, NOT_FOUND)]
    assert broker.find_order(client_order_id="intent-1") is None
    assert server.seen[0].path == "/v2/orders:by_client_order_id?client_order_id=intent-1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        "<html><title>404 Not Found</title><hr>nginx</html>",
        {"message": "order not found for intent-1"},
        {"code": 40410000, "message": "endpoint not found."},
        {"code": 40410001, "message": "order not found for intent-1"},
        [NOT_FOUND],
        json.dumps(NOT_FOUND)[:-5],
    ],
)
def test_another_404_is_no_answer(server: Loopback, broker: AlpacaBroker, body: object) -> None:
    server.answers = [says(404, body)]
    with pytest.raises(BrokerError, match=r"HTTP 404.* Nothing was changed; retry") as caught:
        broker.find_order(client_order_id="intent-1")
    assert type(caught.value) is BrokerError


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_another_refusal_passes_through(server: Loopback, broker: AlpacaBroker, status: int) -> None:
    server.answers = [says(status, NOT_FOUND)]
    with pytest.raises(BrokerRejected) as caught:
        broker.find_order(client_order_id="intent-1")
    assert caught.value.status == status


def test_another_order_than_was_asked_for_is_no_answer(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(200, ORDER)]
    with pytest.raises(BrokerError, match="the reply describes order intent-1"):
        broker.find_order(client_order_id="intent-2")


def test_a_client_id_is_one_parameter_whatever_is_in_it(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(404, NOT_FOUND)]
    assert broker.find_order(client_order_id="a&b=c#d e/é") is None
    assert asked(server) == [{"client_order_id": "a&b=c#d e/é"}]
