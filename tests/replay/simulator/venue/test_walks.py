"""Long walks at random through all that an account can do, with what must hold checked as they go."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from replay.simulator.intake.refusal import Refusal
from tests.replay.simulator.venue.desk import Body, Desk
from tests.replay.simulator.venue.invariants import check_everything

SYMBOLS = ("AAPL", "AAPL", "TSLA", "OCGN", "PENNY")
STEPS = 250


class Walk:
    """A trader without a plan."""

    def __init__(self, seed: int, *, partial: float = 0.3, idle: bool = False) -> None:
        self.chance = Random(seed)
        self.desk = Desk(
            self.chance.choice(["2026-10-08 12:00", "2026-10-08 09:15", "2026-10-08 15:40"]),
            partial=partial,
            seed=seed,
        )
        self.answers: list[Any] = []
        self.idle = idle

    def ask(self, method: str, *args: Any) -> Any:
        before = self.desk.venue.state()
        try:
            answer = getattr(self.desk.venue, method)(*args)
        except Refusal as refusal:
            assert self.desk.venue.state() == before, method
            answer = {"refused": refusal.body["message"]}
        self.answers.append(answer)
        return answer

    def step(self) -> None:
        action = self.chance.choices(
            [self.simple, self.grouped, self.replace, self.cancel, self.exit, self.move, self.seldom],
            [30, 15, 15, 8, 8, 40, 1],
        )[0]
        action()
        self.pause()

    def pause(self) -> None:
        seconds = self.chance.choice(
            [
                0,
                0.002,
                0.005,
                0.02,
                0.2,
                1,
                5,
                60,
                600 if self.chance.random() < 0.2 else 0,
                9000 if self.chance.random() < 0.1 else 0,
            ]
        )
        if self.idle:  # somebody looks in again and again
            for _ in range(7):
                self.desk.tick(seconds / 7)
                self.desk.venue.account()
            return
        for _ in range(7):
            self.desk.clock.t_ns += round(seconds / 7 * 1e9)
        self.desk.venue.advance()

    def near(self, symbol: str, away: float) -> str:
        price = float(self.desk.market.price(symbol, self.desk.clock.t_ns))
        return f"{price * (1 + away / 100):.2f}" if price > 2 else f"{price * (1 + away / 100):.4f}"

    def simple(self) -> None:
        chance = self.chance
        symbol = chance.choice(SYMBOLS)
        kind = chance.choice(["market", "market", "limit", "limit", "stop", "stop_limit", "trailing_stop"])
        body: Body = {
            "symbol": symbol,
            "side": chance.choice(["buy", "sell"]),
            "type": kind,
            "time_in_force": chance.choice(["day", "day", "day", "gtc", "gtc", "ioc", "fok", "opg", "cls"]),
        }
        body["notional" if chance.random() < 0.1 else "qty"] = chance.choice(
            ["1", "2", "7", "10", "40", "2.5"]
        )
        up = 1 if body["side"] == "buy" else -1
        if kind in {"limit", "stop_limit"}:
            body["limit_price"] = self.near(
                symbol, chance.uniform(-1.5, 1.5) + (up if kind == "stop_limit" else 0)
            )
        if kind in {"stop", "stop_limit"}:
            body["stop_price"] = self.near(symbol, up * chance.uniform(0.1, 1.5))
        if kind == "trailing_stop":
            body[chance.choice(["trail_price", "trail_percent"])] = chance.choice(["0.5", "1"])
        if kind == "limit" and chance.random() < 0.2:
            body["extended_hours"] = True
        self.ask("place_order", body)

    def grouped(self) -> None:
        chance = self.chance
        symbol = chance.choice(SYMBOLS)
        side = chance.choice(["buy", "sell"])
        order_class = chance.choice(["bracket", "bracket", "oto", "oco", "oco"])
        exit_sells = (side == "sell") == (order_class == "oco")
        up = 1 if exit_sells else -1
        profit = {"limit_price": self.near(symbol, up * chance.uniform(0.1, 1))}
        loss = {"stop_price": self.near(symbol, -up * chance.uniform(0.1, 1))}
        if chance.random() < 0.3:
            loss["limit_price"] = self.near(symbol, -up * chance.uniform(0.1, 2))
        body: Body = {
            "symbol": symbol, "side": side, "qty": chance.choice([1, 6, 20]), "order_class": order_class,
            "type": "limit" if order_class == "oco" else chance.choice(["market", "limit"]),
            "time_in_force": chance.choice(["day", "gtc"]), "take_profit": profit, "stop_loss": loss,
        }  # fmt: skip
        if order_class == "oto":
            del body[chance.choice(["take_profit", "stop_loss"])]
        if body["type"] == "limit" and order_class != "oco":
            body["limit_price"] = self.near(symbol, chance.uniform(-0.1, 0.1))
        self.ask("place_order", body)

    def some_open_order(self) -> str:
        still = self.desk.venue.list_orders({"limit": "500", "nested": self.chance.choice(["true", "false"])})
        among = [order["id"] for parent in still for order in (parent, *(parent["legs"] or []))]
        return str(self.chance.choice(among)) if among else "none"

    def replace(self) -> None:
        order_id = self.some_open_order()
        if order_id == "none":
            return
        order = self.desk.get(order_id)
        changes: Body = {}
        if order["limit_price"] and self.chance.random() < 0.8:
            changes["limit_price"] = self.near(order["symbol"], self.chance.uniform(-1, 1))
        if order["stop_price"] and order["type"] != "trailing_stop" and self.chance.random() < 0.8:
            changes["stop_price"] = self.near(order["symbol"], self.chance.uniform(-1, 1))
        if order["type"] == "trailing_stop":
            changes["trail"] = "0.7"
        if not order["order_class"] and self.chance.random() < 0.3:
            changes["qty"] = self.chance.choice(["1", "3", "12"])
        self.ask("replace_order", order_id, changes)
        if self.chance.random() < 0.2:
            self.ask("fill_now", order_id, self.chance.choice([None, Decimal(1)]))

    def cancel(self) -> None:
        order_id = self.some_open_order()
        self.ask("cancel_order", order_id)
        if self.chance.random() < 0.3:
            self.ask("fill_now", order_id, self.chance.choice([None, Decimal(1)]))
        if self.chance.random() < 0.2:
            self.ask("reject_after_acceptance", self.some_open_order())

    def exit(self) -> None:
        query = self.chance.choice([{}, {"qty": "1"}, {"percentage": "50"}, {"percentage": "33.333333333"}])
        self.ask("close_position", self.chance.choice(SYMBOLS), query)

    def move(self) -> None:
        for _ in range(self.chance.randint(1, 4)):
            symbol = self.chance.choice(SYMBOLS)
            price = self.near(symbol, self.chance.gauss(0, 0.5))
            self.desk.price(symbol, price, after=self.chance.choice([0.001, 0.05, 1, 30]))

    def seldom(self) -> None:
        match self.chance.randrange(6):
            case 0:
                self.ask("close_all_positions", {"cancel_orders": self.chance.choice(["true", "false"])})
            case 1:
                self.ask("cancel_all_orders")
            case 2:
                self.desk.venue.split(
                    self.chance.choice(SYMBOLS), Decimal(self.chance.choice(["2", "0.5", "0.333"]))
                )
            case 3:
                self.ask("configure", {"max_margin_multiplier": self.chance.choice(["1", "2", "4"])})
            case 4:
                self.desk.venue.hold_cancels()
                self.cancel()
                self.desk.tick(1)
                self.desk.venue.release_cancels()
            case _:
                self.desk.tick(86400)


@pytest.mark.parametrize("seed", range(8))
def test_books_limits_and_statuses_hold_all_the_way(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(STEPS):
        walk.step()
        check_everything(walk.desk.venue)


@pytest.mark.parametrize("seed", range(4))
def test_same_seed_and_same_requests_give_the_same_answers(seed: int) -> None:
    first, second = Walk(seed), Walk(seed)
    for walk in (first, second):
        for _ in range(STEPS):
            walk.step()
    assert first.answers == second.answers
    assert first.desk.venue.state() == second.desk.venue.state()


@pytest.mark.parametrize("seed", range(5))
def test_looking_in_more_often_changes_nothing_that_happens(seed: int) -> None:
    seldom, often = Walk(seed), Walk(seed, idle=True)
    for _ in range(STEPS):
        seldom.step()
        often.step()
        assert seldom.answers[-1:] == often.answers[-1:]
    assert seldom.desk.venue.state() == often.desk.venue.state()


def test_the_walks_come_by_everything() -> None:
    seen: Counter[tuple[str, str]] = Counter()
    for seed in range(20):
        walk = Walk(seed)
        for _ in range(STEPS):
            walk.step()
        for order in walk.desk.venue.state()["orders"]:
            seen[order["order_class"] or "simple", order["status"]] += 1
            seen[order["type"], order["status"]] += 1
    for kind in ("simple", "bracket", "oco", "oto", "market", "limit", "stop", "stop_limit", "trailing_stop"):
        for status in ("filled", "canceled"):
            assert seen[kind, status], (kind, status)
    for kind in ("simple", "bracket", "oco", "oto"):
        assert seen[kind, "replaced"], kind
    for status in ("expired", "rejected", "partially_filled"):
        assert sum(count for (_, found), count in seen.items() if found == status), status
