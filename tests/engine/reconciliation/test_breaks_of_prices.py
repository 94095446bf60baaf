"""Average prices of our orders, compared where the same quantity has filled on both sides."""

from __future__ import annotations

from engine.model.breaks import BrokerBook
from tests.engine.reconciliation.test_breaks_found import compared, kinds, ledger, listed, only, own


def test_a_price_that_differs_is_found_for_less_than_a_share() -> None:
    theirs = BrokerBook(
        positions={"SPY": 0.5}, recent_orders=[listed(filled_qty=0.5, filled_avg_price=101.5)]
    )
    ours = own(filled_qty=0.5, filled_avg_price=101.2)
    assert kinds(compared(theirs, ledger(SPY=0.5), orders=[ours])) == ["price_differs"]


def test_an_average_price_that_our_record_lacks_is_no_difference() -> None:
    theirs = BrokerBook(
        positions={"SPY": 10.0}, recent_orders=[listed(filled_qty=10.0, filled_avg_price=650.0)]
    )
    assert compared(theirs, ledger(SPY=10), orders=[own(filled_qty=10.0)]) == []


def test_an_order_that_has_not_filled_has_no_price_that_differs() -> None:
    theirs = BrokerBook(
        positions={}, open_orders=[listed(order_status="new", filled_qty=0.0, filled_avg_price=1.0)]
    )
    assert compared(theirs, {}, orders=[own(is_open=True, filled_avg_price=2.0)]) == []


def test_where_the_quantity_differs_the_price_of_it_is_no_second_difference() -> None:
    theirs = BrokerBook(
        positions={"SPY": 7.0}, recent_orders=[listed(filled_qty=7.0, filled_avg_price=101.5)]
    )
    ours = own(filled_qty=5.0, filled_avg_price=101.2)
    assert kinds(compared(theirs, ledger(SPY=5), orders=[ours])) == ["quantity_differs"]


def test_two_averages_of_nothing_do_not_differ() -> None:
    theirs = BrokerBook(
        positions={"SPY": 10.0}, recent_orders=[listed(filled_qty=10.0, filled_avg_price=0.0)]
    )
    assert compared(theirs, ledger(SPY=10), orders=[own(filled_qty=10.0, filled_avg_price=0.0)]) == []


def test_an_order_whose_price_is_unknown_or_the_same_hides_no_other_of_its_symbol() -> None:
    prices = {"own-1": None, "own-2": 650.0, "own-3": 101.5}
    theirs = BrokerBook(
        positions={"SPY": 30.0},
        recent_orders=[listed(id_, filled_qty=10.0, filled_avg_price=price) for id_, price in prices.items()],
    )
    ours = [own(id_, filled_qty=10.0, filled_avg_price=650.0) for id_ in prices]
    found = only(compared(theirs, ledger(SPY=30), orders=ours))
    assert (found.kind, found.broker_order_id) == ("price_differs", "own-3")
