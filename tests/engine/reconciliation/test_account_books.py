"""Broker against ledger, as a sync compares them: what happened past the engine is found and named."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from requests import PreparedRequest, Response

from engine.errors import EngineError
from engine.reconciliation.adjustments import adjustments, read_proposal
from engine.reconciliation.break_files import latest_proposal
from engine.reconciliation.session import Session
from engine.reconciliation.sync import Synced, sync_all
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.stores.embedded.store import EmbeddedStore
from tests.desk import Row, order, outcomes
from tests.engine.routing.trading import (
    Killed,
    Send,
    TradingDesk,
    exit_code,
    is_order,
    path_of,
    reply,
    standing_still,
)

RESTING: Row = {"order_type": "limit", "limit_price": 50}
SESSION = Session(date(2026, 3, 2), "XNYS")


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def synced(desk: TradingDesk) -> Synced:
    """Sync without a run; the next thing is a minute later."""
    desk.data.mkdir(exist_ok=True)
    with desk.connections() as connections:
        answer = sync_all(desk.context(connections=connections), connections, SESSION)["paper"]
    assert not isinstance(answer, EngineError), answer
    desk.later(minutes=1)
    return answer


def found(desk: TradingDesk) -> list[tuple[str, str, float]]:
    """Return kind, symbol and shares of each open break."""
    return [(one.kind, one.symbol, one.difference_qty / 1e9) for one in synced(desk).open_breaks]


def accept_all(desk: TradingDesk) -> None:
    """Take in what the latest sync proposes, as `positions accept` does."""
    objects = desk.context().objects
    key = latest_proposal(objects)
    assert key is not None
    rows = read_proposal(objects.read(key).decode(), key)
    taken = adjustments(rows, by="a test", why="looked at it", at=desk.now, trading_date=SESSION.trading_date)
    desk.store.write_ledger(taken)


def judged(desk: TradingDesk, *rows: Row) -> RunFolder:
    desk.drop(f"judged-{desk.now:%H%M%S}.json", *rows)
    return desk.live(RiskConfig(max_position_qty=1000, accounts=frozenset({"paper"})))


# --- nothing to find


def test_what_the_engine_traded_itself_is_no_break(desk: TradingDesk) -> None:
    judged(desk, order(client_intent_id="a", qty=10), order(symbol="QQQ", side="sell", client_intent_id="b"))
    assert found(desk) == []
    mark = desk.store.sync_mark("paper")
    assert mark is not None
    assert (mark.reconciled_on, mark.open_breaks) == (SESSION.trading_date, 0)


def test_the_first_sync_takes_over_what_an_account_that_is_new_here_holds(desk: TradingDesk) -> None:
    desk.place_by_hand(symbol="SPY", qty="90")
    desk.tick(5)
    assert found(desk) == []
    assert desk.store.net_positions("paper") == {"SPY": 90_000_000_000}
    assert len(desk.events("opening_balance")) == 1
    assert found(desk) == []
    assert len(desk.events("opening_balance")) == 1
    assert desk.trades() == 0


def test_a_sync_with_nothing_new_asks_the_broker_at_most_five_times(desk: TradingDesk) -> None:
    judged(desk, order(qty=10), order(symbol="QQQ", client_intent_id="rests", **RESTING))
    synced(desk)
    before = len(desk.requests())
    synced(desk)
    assert len(desk.requests()) - before <= 5


def test_a_difference_of_documents_that_another_program_changed_unnoticed_is_no_break_but_unknown(
    desk: TradingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(desk) == []
    desk.place_by_hand(symbol="SPY", qty="90")
    desk.tick(5)
    assert found(desk) == [("manual_trade", "SPY", 90.0)]
    summed = EmbeddedStore.net_positions

    def recounted(
        store: EmbeddedStore, account: str, *, today: date, counting: bool = False
    ) -> dict[str, int]:
        return {"SPY": 90 * 10**9} if counting else summed(store, account, today=today)

    monkeypatch.setattr(EmbeddedStore, "net_positions", recounted)
    with desk.connections() as connections:
        answer = sync_all(desk.context(connections=connections), connections, SESSION)["paper"]
    assert isinstance(answer, EngineError)
    assert "another program has written or deleted ledger documents of account paper" in str(answer)


# --- each kind


def test_a_fill_after_the_run_is_late_and_repaired(desk: TradingDesk) -> None:
    desk.one(qty=10, **RESTING)
    desk.fill("one")
    answer = synced(desk)
    assert [(one.kind, one.is_repaired, one.difference_qty) for one in answer.breaks] == [
        ("late_fill", True, 0)
    ] or answer.breaks[0].kind == "late_fill"
    assert answer.open_breaks == []
    assert found(desk) == []


def test_a_trade_by_hand_is_found_each_time_until_it_is_taken_in(desk: TradingDesk) -> None:
    judged(desk, order(qty=10))
    synced(desk)
    desk.place_by_hand(symbol="SPY", qty="4", side="sell")
    desk.tick(5)
    assert found(desk) == [("manual_trade", "SPY", -4.0)]
    assert found(desk) == [("manual_trade", "SPY", -4.0)]
    accept_all(desk)
    assert found(desk) == []
    assert desk.store.net_positions("paper") == {"SPY": 6_000_000_000}


def test_a_trade_that_the_broker_tells_of_only_after_a_clean_comparison_is_still_read(
    tmp_path: Path,
) -> None:
    """It happened 1.9 s before that comparison, and neither positions nor executions had it yet."""
    desk = TradingDesk(tmp_path / "data", simulator=standing_still())
    judged(desk, order(qty=10))
    desk.tick(60)
    assert found(desk) == []
    held = desk.by_hand("GET", "/v2/positions")
    desk.fill(desk.place_by_hand(symbol="SPY", qty="4", side="sell")["client_order_id"])
    desk.tick(1.9)

    def behind(request: PreparedRequest, send: Send) -> Response:
        if path_of(request) == "/v2/positions":
            return reply(request, 200, held)
        if path_of(request).startswith("/v2/account/activities"):
            return reply(request, 200, [])
        return send()

    desk.between = behind
    assert found(desk) == []
    desk.disarm()
    assert found(desk) == [("manual_trade", "SPY", -4.0)]


def test_a_split_is_found_and_taken_in(desk: TradingDesk) -> None:
    judged(desk, order(qty=10))
    synced(desk)
    desk.control("POST", "split", {"symbol": "SPY", "ratio": "4"})
    assert found(desk) == [("corporate_action", "SPY", 30.0)]
    accept_all(desk)
    assert found(desk) == []


def test_an_open_order_by_hand_is_found_and_may_be_let_stand(desk: TradingDesk) -> None:
    synced(desk)
    desk.place_by_hand(symbol="IWM", qty="3", type="limit", limit_price="40")
    assert found(desk) == [("unknown_order", "IWM", 0.0)]
    accept_all(desk)
    assert found(desk) == []


def test_orders_of_the_engines_own_that_rest_are_no_break(desk: TradingDesk) -> None:
    group: Row = {"order_class": "bracket", "take_profit_limit_price": 150, "stop_loss_stop_price": 40}
    judged(desk, order(client_intent_id="rests", **RESTING), order(symbol="QQQ", qty=5, **group))
    assert found(desk) == []
    assert found(desk) == []


# --- what comes of it


def test_until_it_is_explained_only_what_shrinks_the_position_passes(desk: TradingDesk) -> None:
    judged(desk, order(qty=10))
    desk.place_by_hand(symbol="SPY", qty="4")
    desk.tick(5)
    run = judged(
        desk,
        order(qty=1, client_intent_id="grows"),
        order(qty=14, side="sell", client_intent_id="shrinks"),
        order(symbol="QQQ", client_intent_id="other"),
    )
    assert outcomes(run) == [("rejected", "position_unreconciled"), ("placed", "ok"), ("placed", "ok")]
    assert exit_code(run) == 4
    assert run.table("reconciliation.parquet")["kind"].to_pylist() == ["manual_trade"]
    accept_all(desk)
    again = judged(desk, order(qty=2, client_intent_id="again"))
    assert (outcomes(again), exit_code(again)) == ([("placed", "ok")], 0)


def test_breaks_are_kept_with_what_is_proposed(desk: TradingDesk) -> None:
    synced(desk)
    desk.place_by_hand(symbol="SPY", qty="4")
    desk.tick(5)
    (only,) = synced(desk).open_breaks
    keys = desk.context().objects.list("syncs/")
    assert sorted(key.rpartition("/")[2] for key in keys) == ["proposal.csv", "reconciliation.parquet"]
    (event,) = desk.events("reconciliation_break")
    assert (event["severity"], event["kind"], only.said in event["message"]) == (
        "ERROR",
        "manual_trade",
        True,
    )


def test_while_a_run_is_not_finished_nothing_is_compared(desk: TradingDesk) -> None:
    def dies(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if is_order(request):
            raise desk.die()
        return answer

    desk.drop("a.json", order(client_intent_id="sent"))
    desk.between = dies
    with pytest.raises(Killed):
        desk.live()
    desk.disarm()
    desk.dead.clear()
    answer = synced(desk)
    assert answer.open_breaks == []
    assert "is not finished" in answer.not_compared
    desk.live()
    assert found(desk) == []


def test_an_older_sync_does_not_replace_a_newer_book(desk: TradingDesk) -> None:
    synced(desk)
    desk.later(hours=-1)
    with desk.connections() as connections:
        answer = sync_all(desk.context(connections=connections), connections, SESSION)["paper"]
    assert isinstance(answer, EngineError)
