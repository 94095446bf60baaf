"""What may be sent, read from the sealed decisions by other code than the orders themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pyarrow as pa
import pytest

from engine.errors import EngineError
from engine.model.orders import INTENT_NAMES
from engine.model.schema import intents_schema
from engine.record.run_folder import BATCH, DECISIONS, RunFolder
from engine.routing.release_check import Allowance, ApprovedOrder, OrderMismatch, allowed_intents

Row = dict[str, Any]


class Sealed:
    """The sealed batch and decisions of a run."""

    def __init__(self, *rows: Row) -> None:
        plain = {"strategy_id": "momentum", "broker_account_id": "paper", "symbol": "SPY", "side": "buy"}
        batch = [{**plain, "action": "new", **row} for row in rows]
        self._tables = {
            BATCH: pa.Table.from_pylist(batch, schema=intents_schema()),
            DECISIONS: pa.table({"allowed": [row.get("allowed", True) for row in rows]}),
        }

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        table = self._tables[name]
        return table if columns is None else table.select(list(columns))


def sealed(*rows: Row) -> RunFolder:
    return cast(RunFolder, Sealed(*rows))


def one(client_intent_id: str, **said: Any) -> Row:
    return {"client_intent_id": client_intent_id, "qty": 1.0} | said


def orders_of(folder: RunFolder, account: str = "paper") -> tuple[Allowance, list[ApprovedOrder]]:
    return Allowance.of(folder, account), allowed_intents(folder)


def test_the_orders_are_the_allowed_rows_in_the_order_of_the_batch_with_their_places() -> None:
    folder = sealed(
        one("a", allowed=False), one("b", qty=2.5), one("c", allowed=False), one("d", symbol="KO")
    )
    found = allowed_intents(folder)
    assert [(order.row, order.key) for order in found] == [(1, ("paper", "b")), (3, ("paper", "d"))]
    assert [(order.intent.symbol, order.intent.qty) for order in found] == [("SPY", 2.5), ("KO", 1.0)]


def test_an_order_has_every_term_of_its_row() -> None:
    terms = {"order_type": "limit", "limit_price": 12.5, "time_in_force": "gtc", "metadata": '{"a": 1}'}
    (found,) = allowed_intents(sealed(one("a", **terms)))
    said = {name: getattr(found.intent, name) for name in INTENT_NAMES}
    assert {name: said[name] for name in terms} == terms | {"metadata": {"a": 1}}


def test_an_allowance_has_the_allowed_orders_of_its_account_and_no_cancels() -> None:
    folder = sealed(
        one("a", qty=0.3),
        one("refused", allowed=False),
        one("b", side="sell", qty=None, notional=100.01),
        one("other", broker_account_id="live"),
        {"client_intent_id": "c", "action": "cancel", "target_intent_id": "a"},
        one("d", symbol="BTCUSD", action=None),
    )
    assert dict(Allowance.of(folder, "paper").orders) == {
        ("paper", "a"): ("SPY", "buy", 300_000_000, -1),
        ("paper", "b"): ("SPY", "sell", -1, 100_010_000_000),
        ("paper", "d"): ("BTC/USD", "buy", 1_000_000_000, -1),
    }


def test_what_was_allowed_is_sent_cancels_beside_it_and_again_under_the_same_id() -> None:
    allowance, orders = orders_of(
        sealed(
            one("a", qty=0.1),
            one("b", qty=0.2, symbol="KO"),
            one("c", qty=None, notional=5.0),
            one("d", qty=None, action="cancel"),
        )
    )
    allowance.check_all(orders)
    for order in [*orders[:3], *orders[:3]]:
        allowance.check(order)
    assert (allowance.units, allowance.left_units) == (300_000_000, 300_000_000)
    assert (allowance.usd_units, allowance.left_usd_units) == (5_000_000_000, 5_000_000_000)


@pytest.mark.parametrize(
    ("places", "named", "counts"),
    [
        ([0], ["b"], "1 orders are about to be sent where 2 were allowed"),
        ([0, 1, 1], ["b"], "3 orders are about to be sent where 2 were allowed"),
        ([0, 1, 2], ["never"], "3 orders are about to be sent where 2 were allowed"),
        ([0, 2], ["b", "never"], "2 orders are about to be sent where 2 were allowed"),
    ],
)
def test_orders_that_are_fewer_more_or_others_than_were_allowed_are_not_sent(
    places: list[int], named: list[str], counts: str
) -> None:
    allowance, orders = orders_of(sealed(one("a"), one("b")))
    never = ApprovedOrder(2, replace(orders[0].intent, client_intent_id="never"))
    with pytest.raises(OrderMismatch, match=counts) as error:
        allowance.check_all([[*orders, never][place] for place in places])
    assert f"they differ in {[('paper', name) for name in named]}." in str(error.value)
    assert isinstance(error.value, EngineError)


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": "QQQ"},
        {"side": "sell"},
        {"qty": 1.000000001},
        {"qty": None},
        {"qty": None, "notional": 1.0},
        {"notional": 1.0},
        {"client_intent_id": "never"},
        {"broker_account_id": "live"},
    ],
)
def test_an_order_that_differs_from_what_was_allowed_is_not_sent(changes: Row) -> None:
    allowance, (order,) = orders_of(sealed(one("a")))
    with pytest.raises(OrderMismatch, match="is about to be sent as"):
        allowance.check(ApprovedOrder(0, replace(order.intent, **changes)))
    assert allowance.left_units == 0


def test_one_instrument_is_one_however_it_is_written() -> None:
    allowance, (order,) = orders_of(sealed(one("a", symbol="BTC/USD")))
    allowance.check(ApprovedOrder(0, replace(order.intent, symbol="BTCUSD")))
    allowance.check(ApprovedOrder(0, replace(order.intent, symbol="BTC/USD")))


def test_more_shares_than_were_allowed_in_all_are_not_sent_whatever_the_single_orders_say() -> None:
    """The total is counted for itself: it would notice an order that the comparison lets through twice."""
    allowance, orders = orders_of(sealed(one("a", qty=2.0), one("b", qty=3.0)))
    allowance.left_units = 1  # which a lost count left behind
    allowance.check(orders[0])
    with pytest.raises(OrderMismatch, match="2 orders of 5000000001 units and 0 units of USD are about"):
        allowance.check(orders[1])


def test_more_usd_than_were_allowed_in_all_are_not_sent_whatever_the_single_orders_say() -> None:
    allowance, (order,) = orders_of(sealed(one("a", qty=None, notional=5.0)))
    allowance.left_usd_units = 1
    with pytest.raises(OrderMismatch, match="1 orders of 0 units and 5000000001 units of USD are about"):
        allowance.check(order)


def test_more_orders_than_were_allowed_are_not_sent_whatever_the_single_orders_say() -> None:
    allowance, (order,) = orders_of(sealed(one("a", qty=None, notional=5.0)))
    allowance.left.add(("paper", "a lost one"))
    with pytest.raises(OrderMismatch, match="about to be sent where 1 of 0 and 5000000000 were"):
        allowance.check(order)
