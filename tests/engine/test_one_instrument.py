"""From file to decision: one limit for each instrument and account, however they are written."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from engine import DryRunBroker, ExecutionEngine, OrderIntent, RiskConfig, RiskManager
from engine.record.run_folder import RunFolder
from engine.run.stages import finish
from engine.stores.inbox.inbox import drop_file
from tests.desk import NOON, Desk, off, order, outcomes, reasons, rows_of

FORMS = [("BRK.B", ("BRK.B", "BRK/B", "BRK-B", " brk/b ")), ("BTC/USD", ("BTC/USD", "BTCUSD", "btc-usd"))]
UNSEEN = [
    "paper\u200b",
    "p\u202eaper",
    "paper\u2028",
    "pa\x85per",
    "paper\u00a0",
    "paper\ufe0f",
    "\uff50aper",
]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def symbols(folder: RunFolder) -> list[str]:
    found: list[str] = folder.table("intents.parquet")["symbol"].to_pylist()
    return found


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
@pytest.mark.parametrize(("canonical", "forms"), FORMS)
def test_all_forms_of_a_symbol_share_one_limit(
    desk: Desk, name: str, canonical: str, forms: tuple[str, ...]
) -> None:
    rows = [order(symbol=form, qty=40, client_intent_id=f"id-{n}") for n, form in enumerate(forms)]
    desk.drop(name, *rows)
    folder = desk.run()
    assert symbols(folder) == [canonical] * len(forms)
    assert reasons(folder) == ["ok", "ok", *["max_position_size_exceeded"] * (len(forms) - 2)]


@pytest.mark.parametrize(("canonical", "forms"), FORMS)
def test_a_position_that_is_kept_in_another_form_counts(
    desk: Desk, canonical: str, forms: tuple[str, ...]
) -> None:
    for n, form in enumerate(forms):
        desk.hold(**{form: 60})
        desk.drop(f"{n}.jsonl", order(symbol=canonical, qty=41, client_intent_id=f"id-{n}"))
        assert reasons(desk.run()) == ["max_position_size_exceeded"]


def test_the_form_in_the_file_stays_in_the_archive(desk: Desk) -> None:
    desk.drop("a.jsonl", order(symbol="brk/b"))
    assert symbols(desk.run()) == ["BRK.B"]
    (kept,) = desk.kept("archive").values()
    assert json.loads(kept)["symbol"] == "brk/b"


def test_rows_that_differ_in_the_form_of_their_symbol_have_the_same_derived_id(desk: Desk) -> None:
    desk.drop("a.jsonl", order(symbol="BTCUSD"))
    desk.run()
    desk.drop("b.jsonl", order(symbol="BTC/USD"))
    assert rows_of(desk.run())["duplicate"] == 1


def test_single_intents_share_one_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    risk = RiskManager(RiskConfig(), kill_switch=off, clock=lambda: NOON)
    engine = ExecutionEngine(broker=DryRunBroker(), broker_name="alpaca", dry_run=True, risk=risk)
    said = [
        engine.execute_intent(intent=OrderIntent(**order(symbol=symbol, qty=60))).risk.reason
        for symbol in ("BRK/B", "BRK.B", "BTCUSD", "BTC/USD")
    ]
    assert said == ["ok", "max_position_size_exceeded"] * 2


@pytest.mark.parametrize("field", ["broker_account_id", "strategy_id", "symbol", "client_intent_id"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
@pytest.mark.parametrize("text", UNSEEN)
def test_a_name_with_what_is_not_seen_is_quarantined_and_shown_escaped(
    desk: Desk, field: str, name: str, text: str
) -> None:
    desk.drop(name, order(qty=60), order(qty=60, **{field: text}))
    folder = desk.run()
    assert reasons(folder) == ["ok"]
    (refused,) = folder.json("collected.json")["refused"]
    assert refused["field"] == field
    shown = refused["message"].removeprefix(name)
    assert shown.isascii() or text.startswith("\uff50")
    assert "expected " in shown


def test_a_column_of_parquet_is_read_as_strictly(desk: Desk) -> None:
    frame = pd.DataFrame([order(broker_account_id=text) for text in ("paper", *UNSEEN)])
    desk.drop("a.parquet", content=frame.to_parquet(None))
    folder = desk.run()
    assert rows_of(folder) == {"dropped": 8, "batched": 1, "quarantined": 7, "duplicate": 0}
    assert [one["row"] for one in folder.json("collected.json")["refused"]] == [2, 3, 4, 5, 6, 7, 8]


def test_blanks_around_a_name_are_trimmed(desk: Desk) -> None:
    desk.drop("a.csv", order(broker_account_id=" paper\t", strategy_id=" momentum "))
    folder = desk.run()
    assert outcomes(folder)
    assert folder.table("intents.parquet")["broker_account_id"].to_pylist() == ["paper"]


# created_at ahead of the clock


def test_a_row_created_ahead_of_the_clock_is_quarantined_with_its_remedy(desk: Desk) -> None:
    at, ahead = (desk.now + timedelta(seconds=s) for s in (5, 5.001))
    desk.drop("a.jsonl", order(created_at=at.isoformat()), order(created_at=ahead.isoformat()))
    folder = desk.run(RiskConfig(intent_max_age_s=60))
    assert reasons(folder) == ["ok"]
    (refused,) = folder.json("collected.json")["refused"]
    assert (refused["row"], refused["field"]) == (2, "created_at")
    assert (
        "expected a time that has come, at most 5 s after this machine's. Correct the clock"
        in refused["message"]
    )


def test_a_file_whose_own_time_is_ahead_counts_as_of_when_it_was_collected(desk: Desk) -> None:
    content = b'{"strategy_id": "s", "broker_account_id": "paper", "symbol": "SPY", "side": "buy", "qty": 1}'
    drop_file("a.json", content, desk.inbox)
    (path,) = desk.inbox.iterdir()
    hour_ahead = desk.now.timestamp() + 3600
    os.utime(path, (hour_ahead, hour_ahead))
    folder = desk.run()
    assert reasons(folder) == ["ok"]
    assert folder.table("intents.parquet")["created_at"].to_pylist() == [NOON]


def test_what_a_resumed_run_collects_later_is_not_ahead_of_it(desk: Desk) -> None:
    folder = desk.begin()
    desk.later(hours=1)
    desk.drop("a.jsonl", order(created_at=desk.now.isoformat()))
    finish(folder, desk.context())
    assert reasons(folder) == ["ok"]


def test_a_single_intent_created_ahead_of_the_clock_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    risk = RiskManager(RiskConfig(), kill_switch=off, clock=lambda: NOON)
    decision = risk.validate(intent=OrderIntent(**order(created_at=NOON + timedelta(seconds=6))))
    assert decision.reason == "invalid_intent"
    assert "created_at" in decision.messages[0]
    assert risk.validate(intent=OrderIntent(**order(created_at=NOON + timedelta(seconds=5)))).allowed
