"""Corporate actions of an account: their words, and which of them cash in lieu belongs to."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from engine.model.breaks import BrokerBook, CorporateAction
from tests.engine.reconciliation.test_breaks_found import compared, fill, ledger, only, split, units


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("SPLIT", "split"),
        ("SPIN", "spin-off"),
        ("MA", "merger or acquisition"),
        ("NC", "name change"),
        ("REO", "reorganization"),
        ("REORG", "removal of worthless shares"),
        ("DIV", "stock dividend"),
        ("ACATS", "transfer from or to another broker"),
        ("FOPT", "transfer free of payment"),
        ("JNLS", "journal entry in shares"),
        ("CFEE", "fee in kind"),
        ("CIL", "cash in lieu"),
        ("VOF", "activity VOF"),
    ],
)
def test_an_action_is_described_by_what_it_is(kind: str, word: str) -> None:
    theirs = BrokerBook(positions={"SPY": 13.0}, corporate_actions=[split("a1", 3.0, kind=kind)])
    found = only(compared(theirs, ledger(SPY=10)))
    assert found.said.startswith(f"SPY: {word} of 2026-03-16 (a1) changed the position by +3;")


def in_lieu(activity_id: str = "cil", **said: Any) -> CorporateAction:
    return split(activity_id, None, kind="CIL", is_cash_in_lieu=True, **said)


REVERSE_SPLIT = [split("a1", -15.0), split("a2", 7.5)]


def test_cash_in_lieu_pays_for_the_fraction_of_its_split_beside_a_trade() -> None:
    theirs = BrokerBook(
        positions={"SPY": 8.0}, fills=[fill("f1", qty=1.0)], corporate_actions=[*REVERSE_SPLIT, in_lieu()]
    )
    found = compared(theirs, ledger(SPY=15))
    assert [(one.kind, one.activity_id, one.difference_qty) for one in found] == [
        ("manual_trade", "f1", units(1)),
        ("corporate_action", "a1 a2 cil", units(-8)),
    ]
    assert "split, cash in lieu of 2026-03-16 (a1 a2 cil) changed the position by -8" in found[1].said


@pytest.mark.parametrize(("held", "rest"), [(6.5, -1.0), (5.0, -2.5)])
def test_cash_in_lieu_pays_for_less_than_a_share(held: float, rest: float) -> None:
    theirs = BrokerBook(positions={"SPY": held}, corporate_actions=[*REVERSE_SPLIT, in_lieu()])
    found = compared(theirs, ledger(SPY=15))
    assert [(one.kind, one.difference_qty) for one in found] == [
        ("corporate_action", units(-7.5)),
        ("position_unexplained", units(rest)),
    ]


def test_cash_in_lieu_without_an_action_of_known_size_takes_the_difference() -> None:
    theirs = BrokerBook(positions={"SPY": 7.0}, corporate_actions=[split("a1", 0.0), in_lieu()])
    found = only(compared(theirs, ledger(SPY=7.5)))
    assert (found.kind, found.difference_qty) == ("corporate_action", units(-0.5))


@pytest.mark.parametrize(
    ("of_split", "of_spin", "of_lieu", "expected"),
    [
        ({"group_id": "g1"}, {"group_id": "g2"}, {"group_id": "g2"}, "a2 cil"),
        ({}, {"day": date(2026, 3, 13)}, {"day": date(2026, 3, 13)}, "a2 cil"),
        (
            {"group_id": "g1"},
            {"day": date(2026, 3, 13)},
            {"group_id": "g1", "day": date(2026, 3, 13)},
            "a1 cil",
        ),
        ({}, {}, {"day": date(2026, 3, 13), "group_id": "g3"}, "a1 cil"),
    ],
)
def test_cash_in_lieu_belongs_to_its_group_else_its_day_else_to_any_action(
    of_split: dict[str, Any], of_spin: dict[str, Any], of_lieu: dict[str, Any], expected: str
) -> None:
    actions = [split("a1", 4.25, **of_split), split("a2", 2.25, kind="SPIN", **of_spin), in_lieu(**of_lieu)]
    theirs = BrokerBook(positions={"SPY": 16.0}, corporate_actions=actions)
    found = compared(theirs, ledger(SPY=10))
    assert expected in [one.activity_id for one in found]
    assert sorted(one.difference_qty for one in found) in (
        [units(2.25), units(3.75)],
        [units(1.75), units(4.25)],
    )


def test_an_action_of_unclear_size_explains_what_one_of_known_size_leaves() -> None:
    actions = [split("a1", 4.0), split("a2", None)]
    found = compared(BrokerBook(positions={"SPY": 16.0}, corporate_actions=actions), ledger(SPY=10))
    assert [(one.kind, one.activity_id, one.difference_qty) for one in found] == [
        ("corporate_action", "a1", units(4)),
        ("corporate_action", "a2", units(2)),
    ]
    assert "changed the position by +4" in found[0].said
    assert "came with a change of +2" in found[1].said
