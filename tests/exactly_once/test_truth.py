"""Each way in which a promise can be broken is seen, and named by its kind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.desk import Row
from tests.exactly_once.kinds import KINDS, counted, said_of
from tests.exactly_once.limits import breaches_at_any_order
from tests.exactly_once.truth import Account, Record, after_a_command, of_intents

RUN = "20260302T170000Z-adhoc"


def sent(id_: str, *, status: str = "filled", number: str = "1") -> Row:
    return {"client_order_id": id_, "id": f"order-{number}", "status": status, "filled_qty": "1"}


def result(id_: str, status: str, *, allowed: bool = True) -> Row:
    said = {"client_intent_id": id_, "status": status, "reason": "a test", "broker_order_id": "order-1"}
    return {**said, "broker_account_id": "paper", "action": "new", "allowed": allowed, "run": RUN}


def account(*orders: Row) -> Account:
    return Account("paper", {"orders": list(orders), "positions": [], "fills": []})


def record(*rows: Row, exit_code: int = 0) -> Record:
    manifest: dict[str, Any] = {"exit_code": exit_code, "identities": []}
    return Record(rows=list(rows), manifests={RUN: manifest})


RIGHT = [
    ([sent("a")], [result("a", "placed")]),
    ([], [result("a", "expired")]),
    ([], [result("a", "rejected", allowed=False)]),
    ([sent("a")], [result("a", "halted"), result("a", "placed")]),
]
WRONG = [
    ([sent("a"), sent("a", number="2")], [result("a", "placed")], "doubled"),
    ([sent("a")], [result("a", "placed"), result("a", "placed")], "doubled"),
    ([], [], "lost"),
    ([], [result("a", "placed")], "lost"),
    ([], [result("a", "rejected")], "lost"),
    ([sent("a", number="2")], [result("a", "placed")], "doubtful"),
    ([sent("a")], [result("a", "expired")], "doubtful"),
    ([sent("a")], [result("a", "broker_rejected")], "doubtful"),
    ([sent("a")], [result("a", "rejected", allowed=False)], "doubtful"),
    ([sent("a"), sent("b")], [result("a", "placed")], "doubtful"),
    ([], [result("a", "unresolved")], "doubtful"),
]


@pytest.mark.parametrize(("orders", "rows"), RIGHT)
def test_an_intent_with_one_order_or_a_true_word_is_right(orders: list[Row], rows: list[Row]) -> None:
    assert list(of_intents(account(*orders), record(*rows), ["a"])) == []


@pytest.mark.parametrize(("orders", "rows", "kind"), WRONG)
def test_whatever_else_an_intent_has_is_wrong(orders: list[Row], rows: list[Row], kind: str) -> None:
    found = list(of_intents(account(*orders), record(*rows), ["a"]))
    assert found
    assert all(one.startswith(f"{kind}: ") for one in found)


def test_an_order_that_is_unresolved_with_exit_code_4_is_no_silent_doubt() -> None:
    assert list(of_intents(account(), record(result("a", "unresolved"), exit_code=4), ["a"])) == []


@pytest.mark.parametrize(
    ("code", "printed", "orders", "rows"),
    [
        (0, 4, [], []),
        (2, 2, [], []),
        (0, 0, [], [result("a", "unresolved")]),
        (3, 3, [], [result("a", "unresolved")]),
        (0, 0, [], [result("a", "placed")]),
        (0, 0, [sent("a")], [result("a", "expired")]),
    ],
)
def test_an_exit_code_that_is_not_the_truth_is_named(
    code: int, printed: int, orders: list[Row], rows: list[Row]
) -> None:
    said = {"exit_code": printed, "run_id": RUN}
    found = after_a_command(code, said, "", [account(*orders)], record(*rows))
    assert found
    assert all(one.startswith("exit code: ") for one in found)


def test_a_limit_that_could_have_been_passed_only_while_two_orders_worked_is_named() -> None:
    def bought(number: int, qty: str, **ends: str) -> Row:
        times = dict.fromkeys(("filled_at", "expired_at", "canceled_at", "failed_at", "replaced_at"))
        created = f"2026-03-02T17:00:0{number}Z"
        said = {"client_order_id": f"n{number}", "id": str(number), "qty": qty, "created_at": created}
        return {**said, "symbol": "SPY", "side": "buy", **times, **ends}

    first = bought(1, "6", canceled_at="2026-03-02T17:00:03Z")
    after, during = bought(4, "6"), bought(2, "6")
    assert breaches_at_any_order({"orders": [first, after], "fills": []}, 10) == []
    (found,) = breaches_at_any_order({"orders": [first, during], "fills": []}, 10)
    assert "n2" in found


def test_schedules_are_counted_by_what_was_wrong_with_them() -> None:
    counts = counted({"seed 1": ["lost: a", "lost: b"], "seed 2": ["lost: c", "a job was stuck"]})
    assert counts == {**dict.fromkeys(KINDS, 0), "lost": 2, "another": 1}
    said = said_of({**counts, "tried": 3, "jobs": 9, "orders": 40})
    assert said.startswith("exactly once: 3 schedules of 9 jobs with 40 orders; wrong: 0 doubled, 2 lost")
