"""Input frames that only some limits need: read, recorded, hashed, read back and replayed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pandas as pd
import pytest

import replay
from engine import DryRunBroker, ExecutionEngine, OrderIntent
from engine.api import engine as api
from engine.api.rehearsal import rehearse_collecting, rehearse_deciding
from engine.errors import DataUnavailable, RecordError
from engine.model.calendar import NEW_YORK
from engine.model.schema import inputs_schemas
from engine.record.run_folder import INPUT_FRAMES, LIMIT_FRAMES, STANDING_FRAMES, RunFolder
from engine.risk import evaluate
from engine.risk.config import RiskConfig
from engine.risk.inputs import RiskInputs
from engine.run import input_sources
from engine.run.reading import Reading
from engine.run.risk_inputs import inputs_of
from engine.run.stages import finish
from engine.safety.trading_states import HALTED, Scope, Scoped, TradingStates
from replay import not_recorded
from tests.desk import NOON, Desk, content_of, order, reasons
from tests.replay.recording import place_of

ASSETS = pd.DataFrame(
    [("SPY", True, False, None)], columns=["symbol", "tradable", "fractionable", "shortable"]
)
LATCHES = pd.DataFrame(
    [("momentum", "strategy_repeats", pd.Timestamp(NOON), "5 refusals in a row", "")],
    columns=["strategy_id", "rule", "since", "why", "broker_account_id"],
)
HOURS = pd.DataFrame(
    {
        "opens_at": [datetime(2026, 3, 2, 14, 30, tzinfo=UTC)],
        "closes_at": [datetime(2026, 3, 2, 21, tzinfo=UTC)],
        "extended_opens_at": [datetime(2026, 3, 2, 9, tzinfo=UTC)],
        "extended_closes_at": [datetime(2026, 3, 3, 1, tzinfo=UTC)],
    }
)

Sources = Mapping[str, Callable[[Reading], pd.DataFrame]]


@pytest.fixture
def needs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sources], None]:
    """Make runs need some frames, each from a source of the test."""

    def need(sources: Sources) -> None:
        monkeypatch.setattr(input_sources, "frames_needed", lambda _: frozenset(sources))
        monkeypatch.setattr(input_sources, "SOURCES", sources)

    return need


def unavailable(_: Reading) -> pd.DataFrame:
    raise DataUnavailable("the asset records are down")


def run(desk: Desk) -> RunFolder:
    desk.drop("a.jsonl", order(), order(symbol="QQQ", strategy_id="other", broker_account_id="second"))
    return desk.run()


def rows(frame: pd.DataFrame | None) -> list[dict[str, Any]]:
    assert frame is not None
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]


def test_the_frames_of_the_record_are_those_of_the_schemas_and_of_the_inputs() -> None:
    names = [*INPUT_FRAMES, *LIMIT_FRAMES]
    assert names == list(inputs_schemas())
    assert set(names) <= {one.name for one in fields(RiskInputs)}


def test_a_run_without_limits_that_need_more_reads_and_writes_four_frames(desk: Desk) -> None:
    folder = run(desk)
    assert folder.json("inputs.json")["frames"] == list(INPUT_FRAMES)
    assert not {f"{name}.parquet" for name in LIMIT_FRAMES} & folder.names()
    assert inputs_of(folder).assets is None


def test_a_frame_that_is_needed_is_recorded_hashed_and_read_back(desk: Desk, needs: Any) -> None:
    needs({"assets": lambda _: ASSETS, "latches": lambda _: LATCHES, "session_hours": lambda _: HOURS})
    folder = run(desk)
    assert folder.table("assets.parquet").schema == inputs_schemas()["assets"]
    hashed = folder.json("manifest.json")["content"]
    assert {"assets.parquet", "latches.parquet", "session_hours.parquet"} <= hashed.keys()
    inputs = inputs_of(folder)
    assert rows(inputs.assets) == [
        {"symbol": "SPY", "tradable": True, "fractionable": False, "shortable": None}
    ]
    assert rows(inputs.latches) == rows(LATCHES)
    assert rows(inputs.session_hours) == rows(HOURS)
    assert inputs.reconciled is None


def test_a_source_is_handed_the_batch_that_it_is_read_for(desk: Desk, needs: Any) -> None:
    asked: list[Reading] = []

    def source(reading: Reading) -> pd.DataFrame:
        asked.append(reading)
        return ASSETS

    needs({"assets": source})
    folder = run(desk)
    (reading,) = asked
    assert (reading.accounts, reading.symbols, reading.strategies) == (
        ["paper", "second"],
        ["QQQ", "SPY"],
        ["momentum", "other"],
    )
    assert (reading.mode, reading.run_id, reading.calendar) == ("dry", folder.run_id, "XNYS")
    assert (reading.as_of, reading.trading_date) == (pd.Timestamp(NOON), folder.trading_date)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (unavailable, "the asset records are down"),
        (lambda _: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda _: ASSETS.drop(columns="shortable"), "KeyError: "),
        (lambda _: ASSETS.assign(tradable="perhaps"), "ArrowInvalid: "),
    ],
)
def test_a_source_that_fails_makes_its_frame_unavailable(
    desk: Desk, needs: Any, source: Any, why: str
) -> None:
    needs({"assets": source, "latches": lambda _: LATCHES})
    folder = run(desk)
    sealed = folder.json("inputs.json")["unavailable"]
    assert sealed.keys() == {"assets"}
    assert sealed["assets"].startswith(why)
    assert [event["source"] for event in desk.events("risk_data_unavailable")] == ["assets"]
    inputs = inputs_of(folder)
    assert inputs.assets is None
    assert rows(inputs.latches) == rows(LATCHES)
    assert reasons(folder) == ["ok", "ok"]


def test_a_source_that_hangs_is_unavailable_after_the_deadline(desk: Desk, needs: Any) -> None:
    answered = threading.Event()

    def hang(_: Reading) -> pd.DataFrame:
        answered.wait(60)
        return HOURS

    needs({"session_hours": hang})
    desk.drop("a.jsonl", order())
    folder = desk.run(context=desk.context(risk_data_timeout_s=0.1))
    answered.set()
    assert folder.json("inputs.json")["unavailable"]["session_hours"].startswith(
        "session_hours: no answer within 0.1 s."
    )


def test_sources_are_read_at_the_same_time(desk: Desk, needs: Any) -> None:
    together = threading.Barrier(2, timeout=30)

    def waiting(frame: pd.DataFrame) -> Callable[[Reading], pd.DataFrame]:
        def source(_: Reading) -> pd.DataFrame:
            together.wait()
            return frame

        return source

    needs({"assets": waiting(ASSETS), "latches": waiting(LATCHES)})
    assert run(desk).json("inputs.json")["unavailable"] == {}


def test_a_needed_frame_without_a_source_is_unavailable(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frozenset({"latches"}))
    monkeypatch.setattr(input_sources, "SOURCES", {})
    why = run(desk).json("inputs.json")["unavailable"]
    assert why == {"latches": "latches has no source in this version of the engine"}


# --- frames that every run reads


def test_what_is_halted_is_read_and_recorded_whatever_the_limits(desk: Desk) -> None:
    desk.states().set(Scoped(Scope.SYMBOL, "QQQ"), HALTED, why="so")
    folder = run(desk)
    (row,) = rows(inputs_of(folder).trading_states)
    assert (row["scope"], row["name"], row["state"], row["set_by"]) == ("symbol", "QQQ", "HALTED", "a test")
    (recording,) = replay.read(place_of(desk, folder))
    frame = recording.frames["trading_states"]
    assert frame is not None
    assert frame.num_rows == 1


def test_where_nothing_is_halted_the_record_has_no_frame_and_reads_as_active(desk: Desk) -> None:
    folder = run(desk)
    assert "trading_states.parquet" not in folder.names()
    assert rows(inputs_of(folder).trading_states) == []
    assert rows(inputs_of(folder).overrides) == []


def test_states_that_can_not_be_read_are_unavailable_and_not_active(desk: Desk) -> None:
    def states() -> TradingStates:
        raise DataUnavailable("the store is down")

    desk.drop("a.jsonl", order())
    folder = desk.run(context=desk.context(trading_states=states))
    assert folder.json("inputs.json")["unavailable"]["trading_states"] == "the store is down"
    assert inputs_of(folder).trading_states is None
    (recording,) = replay.read(place_of(desk, folder))
    assert recording.frames["trading_states"] is None


def test_an_intent_that_is_judged_without_a_run_is_judged_by_the_states(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXEC_DATA_DIR", str(desk.data))
    desk.states().set(Scoped(Scope.SYMBOL, "SPY"), HALTED, why="so")
    engine = ExecutionEngine(broker=DryRunBroker(), broker_name="alpaca", dry_run=True)
    intent = OrderIntent(strategy_id="s", broker_account_id="paper", symbol="spy", side="buy", qty=1)
    with patch.object(api, "evaluate", wraps=evaluate) as gate:
        engine.execute_intent(intent=intent)
    assert [row["name"] for row in rows(gate.call_args.args[1].trading_states)] == ["SPY"]


# --- interrupted and older runs


def test_frames_of_an_interrupted_stage_are_read_again(desk: Desk, needs: Any) -> None:
    desk.drop("a.jsonl", order())
    folder = desk.begin()
    finish(folder, desk.context(), until="intents.parquet")
    needs({"assets": lambda _: ASSETS})
    folder.write("assets.parquet", inputs_schemas()["assets"].empty_table())
    finish(folder, desk.context())
    assert len(rows(inputs_of(folder).assets)) == 1


def test_a_snapshot_that_the_version_before_sealed_is_judged(desk: Desk, needs: Any) -> None:
    desk.drop("a.jsonl", order())
    folder = desk.begin()
    finish(folder, desk.context(), until="inputs.json")
    sealed = folder.json("inputs.json")
    folder.remove("inputs.json")
    folder.write("inputs.json", {name: value for name, value in sealed.items() if name != "frames"})
    needs({"assets": lambda _: ASSETS})
    finish(folder, desk.context())
    assert reasons(folder) == ["ok"]
    (recording,) = replay.read(place_of(desk, folder))
    assert recording.not_recorded == set(LIMIT_FRAMES) - set(STANDING_FRAMES)
    assert replay.replay(desk.data).differences == 0


# --- replay


def test_replay_judges_by_the_recorded_frames_value_for_value(desk: Desk, needs: Any) -> None:
    needs({"assets": lambda _: ASSETS, "latches": lambda _: LATCHES, "reconciled": unavailable})
    folder = run(desk)
    needs({})
    (recording,) = replay.read(place_of(desk, folder))
    assert recording.frames["reconciled"] is None
    assert recording.not_recorded == set(LIMIT_FRAMES) - {"assets", "latches", "reconciled", *STANDING_FRAMES}
    with patch.object(not_recorded, "evaluate", wraps=evaluate) as gate:
        found = replay.replay(recording)
    assert (found.differences, found.notes) == (0, [])
    inputs = gate.call_args.args[1]
    recorded = inputs_of(folder)
    for name in LIMIT_FRAMES:
        ours, theirs = getattr(inputs, name), getattr(recorded, name)
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            pd.testing.assert_frame_equal(ours, theirs)


def test_runs_with_and_without_the_frames_are_replayed_together(desk: Desk, needs: Any) -> None:
    run(desk)
    needs({"assets": lambda _: ASSETS})
    run(desk)
    needs({"assets": lambda _: ASSETS.assign(tradable=False)})
    run(desk)
    assert replay.replay(desk.data).differences == 0


def test_a_frame_that_has_changed_is_named(desk: Desk, needs: Any) -> None:
    needs({"assets": lambda _: ASSETS})
    folder = run(desk)
    folder.remove("assets.parquet")
    folder.write("assets.parquet", inputs_schemas()["assets"].empty_table())
    with pytest.raises(RecordError, match=r"assets\.parquet has changed since it was recorded"):
        replay.replay(desk.data)


# --- one intent at a time, and rehearsals


def test_an_engine_for_single_intents_reads_the_same_sources(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, needs: Any
) -> None:
    monkeypatch.setenv("EXEC_DATA_DIR", str(tmp_path))
    asked: list[Reading] = []

    def source(reading: Reading) -> pd.DataFrame:
        asked.append(reading)
        return ASSETS

    needs({"assets": source, "latches": unavailable})
    engine = ExecutionEngine(broker=DryRunBroker(), broker_name="alpaca", dry_run=True)
    intent = OrderIntent(
        strategy_id="s", broker_account_id="paper", symbol="spy", side="buy", qty=1, order_type="market"
    )
    with patch.object(api, "evaluate", wraps=evaluate) as gate:
        result = engine.execute_intent(intent=intent)
    inputs = gate.call_args.args[1]
    assert rows(inputs.assets)[0]["symbol"] == "SPY"
    assert inputs.latches is None
    assert result.risk.messages == ("latches is unavailable: the asset records are down",)
    (reading,) = asked
    assert (reading.mode, reading.run_id, reading.symbols) == ("dry", "", ["SPY"])


def test_a_rehearsal_reads_the_same_sources_and_writes_nothing(desk: Desk, needs: Any) -> None:
    needs({"assets": lambda _: ASSETS})
    files = [("a.jsonl", content_of("a.jsonl", [order()]))]
    folder, _ = rehearse_collecting(files, desk.settings(), RiskConfig(), desk.context())
    rehearse_deciding(folder, desk.context())
    assert rows(inputs_of(folder).assets)[0]["tradable"] is True
    assert not (desk.data / "runs").exists()


# --- the session's hours


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (NOON, ["09:30", "16:00", "04:00", "20:00"]),
        (datetime(2026, 11, 27, 17, tzinfo=UTC), ["09:30", "13:00", "04:00", "17:00"]),
        (datetime(2026, 11, 28, 1, 30, tzinfo=UTC), ["09:30", "16:00", "04:00", "20:00"]),  # Monday's
    ],
)
def test_the_sessions_hours_are_those_of_the_runs_session(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, now: datetime, hours: list[str]
) -> None:
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frozenset({"session_hours"}))
    desk.now = now
    folder = run(desk)
    (row,) = rows(inputs_of(folder).session_hours)
    times = [row[name].tz_convert(NEW_YORK) for name in inputs_schemas()["session_hours"].names]
    assert {time.date() for time in times} == {folder.trading_date}
    assert [f"{time:%H:%M}" for time in times] == hours


@pytest.mark.filterwarnings("ignore:Series.values returning:pandas.errors.Pandas4Warning")
def test_extended_hours_that_are_unknown_are_missing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frozenset({"session_hours"}))
    desk.drop("a.jsonl", order())
    (row,) = rows(inputs_of(desk.run(EXEC_CALENDAR="XLON")).session_hours)
    assert row["closes_at"] == pd.Timestamp("2026-03-02T16:30Z")
    assert (row["extended_opens_at"], row["extended_closes_at"]) == (None, None)
