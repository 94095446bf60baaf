"""Scopes that are halted, or set to reducing, while a run sends: their remaining orders stop, no others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from engine.accounts.connection import Connections
from engine.errors import DataUnavailable
from engine.record.run_folder import RunFolder
from engine.routing.state_watch import reason_of, scope_of
from engine.safety.trading_states import (
    EVERYTHING,
    HALTED,
    REDUCING,
    Scope,
    Scoped,
    TradingState,
    TradingStates,
)
from tests.desk import Row, order, outcomes
from tests.engine.routing.trading import Killed, TradingDesk, after_orders, exit_code, results

MOMENTUM, QQQ = Scoped(Scope.STRATEGY, "momentum"), Scoped(Scope.SYMBOL, "QQQ")
PAPER = Scoped(Scope.ACCOUNT, "paper")
ROWS = [
    order(client_intent_id="a", strategy_id="momentum", symbol="SPY"),
    order(client_intent_id="b", strategy_id="value", symbol="QQQ"),
    order(client_intent_id="c", strategy_id="momentum", symbol="QQQ"),
    order(client_intent_id="d", strategy_id="value", symbol="SPY"),
]
NOT_SENT = {
    MOMENTUM: {"c"},
    QQQ: {"b", "c"},
    PAPER: {"b", "c", "d"},
    Scoped(Scope.STRATEGY, "other"): set(),
    Scoped(Scope.ACCOUNT, "other"): set(),
}


class OneByOne(TradingDesk):
    """A desk whose orders leave one after the other, in the order of the batch."""

    @contextmanager
    def connections(self) -> Iterator[Connections]:
        with super().connections() as connections:
            at_work = tuple(replace(one, orders_at_once=1) for one in connections.at_work)
            yield replace(connections, at_work=at_work)


@pytest.fixture
def desk(tmp_path: Path) -> OneByOne:
    return OneByOne(tmp_path / "data")


def after_the_first_order(desk: OneByOne, scoped: Scoped, state: str = HALTED) -> None:
    desk.between = after_orders(
        lambda _: desk.states().set(scoped, state, why="fat finger") if len(desk.posts()) == 1 else None
    )


def run(desk: OneByOne, *rows: Row) -> RunFolder:
    desk.drop("a.json", *(rows or ROWS))
    return desk.live()


def withheld(folder: RunFolder) -> set[str]:
    return {row["client_intent_id"] for row in results(folder) if row["status"] == "halted"}


@pytest.mark.parametrize(("scoped", "not_sent"), NOT_SENT.items(), ids=[str(scoped) for scoped in NOT_SENT])
def test_a_scope_that_is_halted_while_a_run_sends_stops_its_remaining_orders_and_nothing_else(
    desk: OneByOne, scoped: Scoped, not_sent: set[str]
) -> None:
    after_the_first_order(desk, scoped)
    folder = run(desk)
    assert withheld(folder) == not_sent
    assert set(desk.placed_ids()) == {"a", "b", "c", "d"} - not_sent
    assert set(outcomes(folder)) == {("placed", "ok")} | (
        {("halted", f"trading_state_halted:{scoped.scope}")} if not_sent else set()
    )
    assert exit_code(folder) == (3 if not_sent else 0)


def test_the_outcome_names_scope_who_and_why_and_how_to_go_on(desk: OneByOne) -> None:
    after_the_first_order(desk, MOMENTUM)
    (message,) = {row["message"] for row in results(run(desk)) if row["status"] == "halted"}
    assert message.startswith(
        "not sent: strategy momentum is HALTED: fat finger (a test, 2026-03-02 17:00:00"
    )
    assert "`execution-engine recover --strategy momentum` ends that" in message
    assert message.endswith("then drop its file again from archive/2026-03-02/.")


def test_that_a_scope_is_halted_is_logged_once_for_all_of_its_orders(desk: OneByOne) -> None:
    after_the_first_order(desk, PAPER)
    run(desk)
    (event,) = desk.events("trading_halted")
    assert (event["reason"], event["scope"], event["name"]) == (
        "trading_state_halted:account",
        "account",
        "paper",
    )


def test_what_a_scope_withheld_may_be_dropped_again_once_it_has_recovered(desk: OneByOne) -> None:
    after_the_first_order(desk, MOMENTUM)
    run(desk)
    desk.disarm()
    desk.states().end(MOMENTUM, HALTED, why="corrected")
    desk.drop("b.json", *ROWS)
    assert [row["client_intent_id"] for row in results(desk.live())] == ["c"]
    assert sorted(desk.placed_ids()) == ["a", "b", "c", "d"]


def test_a_scope_that_recovers_in_mid_run_stays_halted_until_the_next(desk: OneByOne) -> None:
    halted = TradingStates((TradingState("account", "paper", HALTED, "2026-03-02T17:00:00Z", "ann", "so"),))
    answers = iter([halted])
    desk.drop("a.json", *ROWS)
    folder = desk.live(
        changes={
            "trading_states": lambda: next(answers, TradingStates()) if desk.posts() else TradingStates()
        }
    )
    assert withheld(folder) == {"b", "c", "d"}


def test_states_that_can_not_be_read_halt_everything(desk: OneByOne) -> None:
    def states() -> TradingStates:
        if desk.posts():
            raise DataUnavailable("the store is down")
        return TradingStates()

    desk.drop("a.json", *ROWS)
    folder = desk.live(changes={"trading_states": states})
    assert withheld(folder) == {"b", "c", "d"}
    halted = [row for row in results(folder) if row["status"] == "halted"]
    assert {row["reason"] for row in halted} == {"trading_state_unknown"}
    assert "the store is down" in halted[0]["message"]
    assert exit_code(folder) == 3


def test_cancels_pass_a_halted_scope(desk: OneByOne) -> None:
    run(desk, order(client_intent_id="rests", order_type="limit", limit_price=50))
    desk.states().set(MOMENTUM, HALTED, why="so")
    nothing = {"symbol": None, "side": None, "qty": None}
    run(desk, order(action="cancel", target_intent_id="rests", **nothing))
    assert desk.at_broker("rests")["status"] == "canceled"


@pytest.mark.parametrize("scoped", [MOMENTUM, EVERYTHING], ids=str)
def test_orders_decided_before_their_scope_was_reducing_are_withheld_to_be_judged_again(
    desk: OneByOne, scoped: Scoped
) -> None:
    after_the_first_order(desk, scoped, REDUCING)
    folder = run(desk)
    assert withheld(folder) == ({"c"} if scoped == MOMENTUM else {"b", "c", "d"})
    (row, *_) = [row for row in results(folder) if row["status"] == "halted"]
    assert row["reason"] == f"trading_state_reducing:{scoped.scope}"
    assert "is REDUCING: fat finger" in row["message"]
    assert row["message"].endswith(
        "To have it judged under that, drop its file again from archive/2026-03-02/."
    )


def test_what_reduces_a_position_is_sent_in_a_scope_that_became_reducing(desk: OneByOne) -> None:
    run(desk, order(client_intent_id="long", symbol="QQQ", qty=5))
    posted = len(desk.posts())
    desk.between = after_orders(
        lambda _: desk.states().set(EVERYTHING, REDUCING, why="so") if len(desk.posts()) > posted else None
    )
    rows: dict[str, Row] = {
        "first": {"symbol": "SPY"},
        "part": {"symbol": "QQQ", "side": "sell", "qty": 3},
        "rest": {"symbol": "QQQ", "side": "sell", "qty": 3},
        "more": {"symbol": "QQQ"},
    }
    desk.drop("b.json", *[order(client_intent_id=name, **row) for name, row in rows.items()])
    folder = desk.live()
    assert withheld(folder) == {"rest", "more"}
    assert set(desk.placed_ids()) == {"long", "first", "part"}


def test_a_job_that_was_killed_sends_no_order_of_a_scope_that_was_halted_meanwhile(desk: OneByOne) -> None:
    desk.drop("a.json", *ROWS)

    def dies(_: str) -> None:
        raise desk.die()

    desk.between = after_orders(dies)
    with suppress(Killed):
        desk.live()
    desk.disarm()
    desk.states().set(MOMENTUM, HALTED, why="so")
    desk.live()
    assert sorted(desk.placed_ids()) == ["a", "b", "d"]


@pytest.mark.parametrize("scoped", [MOMENTUM, QQQ, PAPER, EVERYTHING], ids=str)
def test_a_reason_names_the_scope_that_withheld_an_order(scoped: Scoped) -> None:
    entry = TradingState(str(scoped.scope), scoped.name, REDUCING, "2026-03-02T17:00:00Z", "ann", "so")
    assert scope_of(reason_of(entry), account="paper", symbol="qqq", strategy="momentum") == scoped


@pytest.mark.parametrize(
    "reason", ["kill_switch_enabled", "agent_state_not_ready:HALTED", "trading_state_unknown"]
)
def test_other_reasons_name_no_scope(reason: str) -> None:
    assert scope_of(reason, account="paper", symbol="QQQ", strategy="momentum") is None
