"""Replays of runs at several accounts, whose jobs died and were followed by others."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from requests import PreparedRequest, Response

import replay
from engine.record.journal import Journal
from engine.record.run_folder import RunFolder
from tests.desk import order
from tests.engine.routing.trading import Killed, Send, is_order
from tests.engine.test_several_accounts import ALPHA, BETA, TwoDesks
from tests.replay.recording import place_of
from tests.replay.test_broker_side import DyingOnceSettled, assert_the_same


@pytest.fixture
def desk(tmp_path: Path) -> TwoDesks:
    return TwoDesks(tmp_path / "data")


def died_before_alpha_began(desk: TwoDesks, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """Record a run whose first job dies once beta has an answer, and before an order of alpha is noted."""
    desk.drop(
        "a.json",
        order(client_intent_id="a-1", broker_account_id=ALPHA),
        order(client_intent_id="b-1", broker_account_id=BETA),
        order(client_intent_id="b-2", broker_account_id=BETA),
    )
    note, sent = Journal.attempt, []

    def attempt(journal: Journal, orders: Iterable[dict[str, Any]], *, at: str) -> None:
        noted = list(orders)
        if any(one["client_order_id"].startswith("a-") for one in noted):
            desk.dead.wait(5)
            raise Killed
        note(journal, noted, at=at)

    def beta(request: PreparedRequest, send: Send) -> Response:
        reply = send()
        if is_order(request):
            sent.append(request)
        if len(sent) == 2:
            raise desk.die()
        return reply

    desk.at_second = beta
    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(Journal, "attempt", attempt)
        desk.live()
    desk.at_second = None
    desk.disarm()
    desk.live()
    return desk.runs()[0]


def test_a_run_of_two_accounts_that_was_resumed_differs_in_nothing(desk: TwoDesks) -> None:
    desk.drop_both(order(client_intent_id="x", qty=3), order(client_intent_id="y", symbol="QQQ"))
    with suppress(Killed):
        desk.live(changes={"objects": DyingOnceSettled(desk)})
    desk.live()
    found = replay.replay(place_of(desk, desk.runs()[0]))
    assert_the_same(found)
    assert set(found.results["source"]) == {"recorded"}


def test_an_account_that_only_the_second_job_came_to_is_traded_by_that_one(
    desk: TwoDesks, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.place_by_hand(client_order_id="a-1")
    run = died_before_alpha_began(desk, monkeypatch)
    found = replay.replay(place_of(desk, run))
    assert_the_same(found)
    results = found.results.set_index("client_intent_id")
    assert (results.loc["a-1", "status"], results.loc["a-1", "reason"]) == (
        "broker_rejected",
        "id_used_before",
    )
