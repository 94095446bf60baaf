"""When each account's books were last compared with the broker's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from engine.model.calendar import NEW_YORK, session_begins, trading_date
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run import input_sources
from engine.run.risk_inputs import inputs_of
from engine.stores.protocols import SyncMark
from tests.desk import NOON, Desk, order
from tests.live_desk import LiveDesk, simulated


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frozenset({"reconciled"}))


@pytest.fixture
def live(tmp_path: Path) -> LiveDesk:
    return LiveDesk(tmp_path / "live", simulator=simulated(), settle_s=0.0)


def seen(folder: RunFolder) -> dict[str, pd.Timestamp]:
    frame = inputs_of(folder).reconciled
    assert frame is not None, folder.json("inputs.json")["unavailable"]
    return dict(zip(frame["broker_account_id"], frame["reconciled_at"], strict=True))


def run_live(desk: LiveDesk) -> RunFolder:
    desk.drop(f"{desk.now:%d%H%M}.jsonl", order(client_intent_id=f"{desk.now:%d%H%M}"))
    return desk.live(RiskConfig(max_position_qty=0, accounts=frozenset({"paper"})))


def mark(desk: Desk, synced_at: datetime, reconciled_on: date | None, account: str = "paper") -> None:
    frame = pd.DataFrame({"symbol": [], "qty": [], "avg_price": [], "market_value": []}).astype(
        {"symbol": "str", "qty": "float64", "avg_price": "float64", "market_value": "float64"}
    )
    own = SyncMark(
        synced_at=synced_at, trading_date=trading_date(synced_at), reconciled_on=reconciled_on, open_breaks=0
    )
    desk.store.keep_book(account, frame, mark=own)


def test_a_live_run_has_compared_its_accounts_itself(live: LiveDesk) -> None:
    first = run_live(live)
    assert seen(first) == {"paper": pd.Timestamp(NOON)}
    assert first.json("inputs.json")["compared"] == {"paper": NOON.isoformat()}
    assert seen(run_live(live)) == {"paper": pd.Timestamp(NOON + timedelta(minutes=1))}


def test_an_account_that_was_not_compared_keeps_the_time_of_the_last_comparison(
    live: LiveDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_live(live)
    monkeypatch.setattr(
        "engine.reconciliation.account_books.why_not_comparable",
        lambda *_: "a run of another folder is unfinished",
    )
    second = run_live(live)
    assert second.json("inputs.json")["not_compared"].keys() == {"paper"}
    assert seen(second) == seen(run_live(live)) == {"paper": pd.Timestamp(NOON)}


def test_an_account_that_was_never_compared_has_no_row(
    live: LiveDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.reconciliation.account_books.why_not_comparable", lambda *_: "never")
    assert seen(run_live(live)) == {}


def test_a_dry_run_takes_the_comparison_of_the_last_live_run(live: LiveDesk) -> None:
    run_live(live)
    live.later(hours=2)
    live.drop("dry.jsonl", order(client_intent_id="dry"), order(broker_account_id="other"))
    assert seen(live.run()) == {"paper": pd.Timestamp(NOON)}


def test_a_sync_without_a_run_counts_from_the_beginning_of_its_session(desk: Desk) -> None:
    mark(desk, NOON - timedelta(hours=1), date(2026, 3, 2))
    desk.drop("a.jsonl", order())
    assert seen(desk.run()) == {
        "paper": pd.Timestamp(datetime(2026, 2, 27, 20, tzinfo=NEW_YORK)).tz_convert(UTC)
    }


def test_the_later_one_of_mark_and_record_counts(live: LiveDesk) -> None:
    run_live(live)
    later = NOON + timedelta(days=1)
    mark(live, later, date(2026, 3, 3))
    live.now = later + timedelta(hours=1)
    live.drop("dry.jsonl", order(client_intent_id="dry"))
    assert seen(live.run()) == {"paper": pd.Timestamp(session_begins(date(2026, 3, 3))).tz_convert(UTC)}


def test_a_sync_that_never_agreed_is_no_comparison_without_breaks(desk: Desk) -> None:
    mark(desk, NOON, None)
    desk.drop("a.jsonl", order())
    assert seen(desk.run()) == {}


def test_a_desk_that_never_synced_has_no_rows(desk: Desk) -> None:
    desk.drop("a.jsonl", order())
    assert seen(desk.run()) == {}


@pytest.mark.parametrize(
    ("session", "begins"),
    [
        (date(2026, 3, 2), datetime(2026, 2, 27, 20, tzinfo=NEW_YORK)),
        (date(2026, 3, 3), datetime(2026, 3, 2, 20, tzinfo=NEW_YORK)),
        (date(2026, 11, 27), datetime(2026, 11, 25, 20, tzinfo=NEW_YORK)),
    ],
)
def test_a_session_begins_where_the_one_before_it_ends(session: date, begins: datetime) -> None:
    assert session_begins(session) == begins
    assert trading_date(begins) == session
    assert trading_date(begins - timedelta(microseconds=1)) < session
