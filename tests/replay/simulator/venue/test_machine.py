"""Random sequences of requests, prices and time: what must hold after every one of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from replay.simulator.intake.refusal import Refusal
from tests.replay.simulator.venue.desk import Body, Desk
from tests.replay.simulator.venue.invariants import Told, check_everything

SYMBOLS = st.sampled_from(["AAPL", "TSLA", "OCGN", "PENNY"])
PRICES = st.sampled_from(
    ["90", "95", "98.5", "99", "99.99", "100", "100.01", "101", "102.5", "105", "110", "0.45", "0.5"]
)
NAMES = st.sampled_from((
    "symbol", "qty", "notional", "side", "type", "time_in_force", "limit_price", "stop_price", "trail_price",
    "trail_percent", "extended_hours", "client_order_id", "order_class", "take_profit", "stop_loss", "trail",
    "position_intent", "legs",
))  # fmt: skip
ODD = st.sampled_from(
    [
        "1e999",
        "NaN",
        "-1",
        "0",
        "∞",
        "\ud800",
        "10" * 40,
        "٣",
        "limit",
        "day",
        "buy",
        "AAPL",
        "oco",
        "x" * 200,
    ]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | ODD,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=5,
)
NEAR_MISSES = st.builds(
    lambda good, bad: {**good, **bad},
    st.just({"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}),
    st.dictionaries(NAMES, JUNK, min_size=1, max_size=2),
)
QUERIES = st.dictionaries(
    st.sampled_from((
        "status", "limit", "after", "until", "direction", "nested", "symbols", "side", "asset_class", "date",
        "before_order_id", "after_order_id", "page_size", "page_token", "activity_types", "category",
        "order_id",
        "client_order_id", "qty", "percentage", "cancel_orders", "start", "end", "exchange", "date_type",
        "period", "timeframe", "intraday_reporting", "markets", "time",
    )),
    st.text(max_size=12)
    | st.sampled_from((
        "open", "closed", "all", "-1", "0", "1", "500", "9" * 30, "asc", "true", "2026-10-08", "0001-01-01",
        "9999-12-31", "2026-10-08T16:00:00.000000001Z", "NaN", "1e400", "FILL", "AAPL,TSLA", "50.5",
        "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "x" * 300, "²", "1_000",
        "1D", "1H", "9999A", "continuous",
    )),
    max_size=4,
)  # fmt: skip
SIDES = st.sampled_from(["buy", "sell"])
SIMPLE = st.fixed_dictionaries({
    "symbol": SYMBOLS,
    "side": SIDES,
    "qty": st.sampled_from(["1", "3", "10", "0.5", "2.25", 7, 100, "5000", "0.000000001"]),
    "time_in_force": st.sampled_from(["day", "day", "gtc", "gtc", "ioc", "fok", "opg", "cls"]),
}, optional={"extended_hours": st.booleans()})  # fmt: skip
PRICED = st.one_of(
    st.just({"type": "market"}),
    st.fixed_dictionaries({"type": st.just("limit"), "limit_price": PRICES}),
    st.fixed_dictionaries({"type": st.just("stop"), "stop_price": PRICES}),
    st.fixed_dictionaries({"type": st.just("stop_limit"), "stop_price": PRICES, "limit_price": PRICES}),
    st.fixed_dictionaries({"type": st.just("trailing_stop"), "trail_price": st.just("1.5")}),
)
GROUPED = st.fixed_dictionaries({
    "symbol": SYMBOLS,
    "side": SIDES,
    "qty": st.sampled_from([1, 6, 20]),
    "type": st.just("limit"),
    "time_in_force": st.sampled_from(["day", "gtc"]),
    "order_class": st.sampled_from(["bracket", "oco", "oto"]),
    "limit_price": PRICES,
    "stop_loss": st.fixed_dictionaries({"stop_price": PRICES}, optional={"limit_price": PRICES}),
}, optional={"take_profit": st.fixed_dictionaries({"limit_price": PRICES})})  # fmt: skip
CHANGES = st.sampled_from([
    {"qty": "4"}, {"qty": 12}, {"limit_price": "99"}, {"limit_price": 104}, {"stop_price": "96"},
    {"trail": 2},
    {"limit_price": 97, "time_in_force": "gtc"}, {"limit_price": "102", "qty": "2"}, {}, {"qty": "0.5"},
    {"limit_price": 103, "client_order_id": "again"},
])  # fmt: skip
PAUSES = st.sampled_from([0.0, 0.002, 0.02, 0.02, 1.0, 1.0])


class VenueMachine(RuleBasedStateMachine):
    """One account under any sequence of requests; refused ones change nothing, the rest keeps the books."""

    desk: Desk
    told: Told

    @initialize(
        seed=st.integers(0, 3),
        partial=st.sampled_from([0.0, 0.5]),
        hour=st.sampled_from(["12:00", "13:00", "09:29", "15:49", "15:59", "18:00", "21:00"]),
    )
    def begin(self, seed: int, partial: float, hour: str) -> None:
        self.desk = Desk(f"2026-10-08 {hour}", seed=seed, partial=partial, cash="20000")
        self.told = Told(self.desk.venue)

    def ask(self, method: str, *args: Any) -> None:
        refusal = None
        before = self.desk.venue.state()
        try:
            getattr(self.desk.venue, method)(*args)
        except Refusal as error:
            refusal = error
        if refusal is not None:
            assert 400 <= refusal.status < 500
            assert refusal.body["message"]
            assert self.desk.venue.state() == before

    def pick(self, place: int) -> str:
        """An order: mostly one that is open, now and then one that isn't."""
        ids = [order["id"] for order in self.desk.venue.state()["orders"]]
        still = [order["id"] for order in self.desk.venue.list_orders({"limit": "500", "direction": "asc"})]
        among = ids if place % 7 == 0 or not still else still
        return str(among[place % len(among)]) if among else "nothing"

    @rule(order=SIMPLE, priced=PRICED, then=PAUSES)
    def simple(self, order: Body, priced: Body, then: float) -> None:
        self.ask("place_order", {**order, **priced})
        self.desk.tick(then)

    @rule(order=SIMPLE, notional=st.sampled_from([1, "250.5", 5000]))
    def notional(self, order: Body, notional: object) -> None:
        self.ask("place_order", {**order, "type": "market", "qty": None, "notional": notional})

    @rule(order=GROUPED, then=PAUSES)
    def grouped(self, order: Body, then: float) -> None:
        self.ask("place_order", order)
        self.desk.tick(then)

    @rule(body=NEAR_MISSES)
    def malformed(self, body: object) -> None:
        self.ask("place_order", body)

    @rule(place=st.integers(0, 50), body=CHANGES | JUNK, then=PAUSES)
    def replace(self, place: int, body: object, then: float) -> None:
        self.ask("replace_order", self.pick(place), body)
        self.desk.tick(then)

    @rule(place=st.integers(0, 50))
    def cancel(self, place: int) -> None:
        self.ask("cancel_order", self.pick(place))

    @rule(
        symbol=SYMBOLS, query=st.sampled_from([{}, {"qty": "1"}, {"percentage": "50"},
        {"percentage": "33.333333333"}])
    )  # fmt: skip
    def close(self, symbol: str, query: dict[str, str]) -> None:
        self.ask("close_position", symbol, query)

    @rule(place=st.integers(0, 50), qty=st.sampled_from([None, Decimal(1), Decimal("0.5"), Decimal(1000)]))
    def fill(self, place: int, qty: Decimal | None) -> None:
        self.ask("fill_now", self.pick(place), qty)

    @rule(place=st.integers(0, 250))
    def reject(self, place: int) -> None:
        if place < 50:
            self.ask("reject_after_acceptance", self.pick(place))

    @rule(what=st.integers(0, 11), symbol=SYMBOLS, ratio=st.sampled_from(["2", "0.1", "0.333333"]))
    def seldom(self, what: int, symbol: str, ratio: str) -> None:
        match what:
            case 0:
                self.ask("cancel_all_orders")
            case 1 | 2:
                self.ask("close_all_positions", {"cancel_orders": str(what == 1).lower()})
            case 3:
                self.desk.venue.split(symbol, Decimal(ratio))
            case 4:
                self.desk.venue.hold_cancels()
            case 5 | 6:
                self.desk.venue.release_cancels()
            case 7:
                self.ask("configure", {"no_shorting": symbol == "AAPL", "max_margin_multiplier": "2"})
            case _:
                pass

    @rule(
        method=st.sampled_from((
            "list_orders", "calendar", "list_assets", "get_order_by_client_order_id", "portfolio_history",
            "clocks", "announcements",
        )),
        query=QUERIES,
    )  # fmt: skip
    def ask_for_lists(self, method: str, query: dict[str, str]) -> None:
        if method != "calendar" or {"start", "end"} <= query.keys():
            self.ask(method, query)

    @rule(kind=st.sampled_from([None, "FILL", "DIV", "fill"]) | st.text(max_size=4), query=QUERIES)
    def ask_for_activities(self, kind: str | None, query: dict[str, str]) -> None:
        self.ask("activities", kind, query)

    @rule(text=st.text(max_size=40), query=QUERIES)
    def ask_for_one(self, text: str, query: dict[str, str]) -> None:
        self.ask("get_order", text, query)
        self.ask("get_position", text)
        self.ask("close_position", "AAPL", query)
        self.ask("get_asset", text)

    @rule(symbol=SYMBOLS, price=PRICES, after=st.sampled_from([0.001, 0.003, 1.0]))
    def price(self, symbol: str, price: str, after: float) -> None:
        self.desk.price(symbol, price, after=after)

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.005, 0.02, 1.0, 3600.0, 86400.0]))
    def time(self, seconds: float) -> None:
        self.desk.tick(seconds)

    @invariant()
    def everything_agrees(self) -> None:
        check_everything(self.desk.venue)

    @invariant()
    def the_updates_say_all(self) -> None:
        self.told.check()


VenueMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestVenue = VenueMachine.TestCase


@given(JUNK | st.dictionaries(NAMES, JUNK, max_size=10) | NEAR_MISSES)
@settings(max_examples=400, deadline=None)
def test_any_json_value_as_a_body_is_taken_or_refused(body: object) -> None:
    desk = Desk()
    before = desk.venue.state()
    try:
        desk.venue.place_order(body)
    except Refusal:
        assert desk.venue.state() == before


@given(
    JUNK | st.dictionaries(st.sampled_from(["suspend_trade", "no_shorting", "max_margin_multiplier"]), JUNK)
)
@settings(deadline=None)
def test_any_json_value_as_configurations_is_taken_or_refused(body: object) -> None:
    desk = Desk()
    before = desk.venue.configurations()
    try:
        after = desk.venue.configure(body)
    except Refusal:
        after = desk.venue.configurations()
        assert after == before
    assert after.keys() == before.keys()
