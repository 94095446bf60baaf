"""Limits whose input a run did not record: reported, judged without, and no flips."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import replay
from engine.model.schema import inputs_schemas
from engine.record.objects import LocalObjects
from engine.record.run_folder import LIMIT_FRAMES, MANIFEST, STANDING_FRAMES, RunFolder
from engine.risk import RULE_BOOK
from engine.risk.config import RiskConfig
from engine.run.stages import finish
from replay.not_recorded import frames_of
from tests.desk import SESSION, Desk, order
from tests.engine.risk.limits_file.files import of_book
from tests.jobs.command_line import Command
from tests.replay.recording import place_of

VERSION_BEFORE = Path(__file__).parent / "version_before"
"""A dry run of four intents as version 0.1.0+fbdadaef39ea recorded it, before any rule read more frames."""
RUN = "20260302T170000Z-test"
ASSETS = {"asset_not_tradable": True}


def in_file(body: str, **limits: Any) -> RiskConfig:
    return RiskConfig(limits_file=of_book(body), **limits)


SWITCHED_ON = {
    "strategy_positions": in_file("[strategy.momentum]\nmax_position_qty = 1000"),
    "strategy_trades": in_file("[symbol.SPY]\nmax_daily_trades = 50"),
    "working_order_terms": RiskConfig(block_self_trades=True),
    "assets": RiskConfig(check_assets=True),
    "session_hours": RiskConfig(require_open_session=True),
    "earlier_orders": RiskConfig(max_equal_orders=5),
    "earlier_batches": in_file("[limits]\nmax_batch_ratio_to_median = 5"),
    "latches": in_file("[limits]\nmax_broker_rejects_in_a_row = 5"),
    "reconciled": RiskConfig(max_reconciliation_age_s=3600),
    "account_figures": RiskConfig(max_daily_loss_usd=1000),
    "prices": RiskConfig(max_order_notional_usd=1_000_000),
    "traded_notional": RiskConfig(max_daily_notional_usd=1_000_000),
    "usual_quantities": RiskConfig(max_qty_ratio_to_usual=10),
    "average_volumes": RiskConfig(max_pct_adv=10),
}
"""A limit for each frame that needs it, and lets pass what the run allowed."""


@pytest.fixture
def old() -> replay.Recording:
    (recording,) = replay.read(VERSION_BEFORE)
    return recording


def with_frame(recording: replay.Recording, name: str, rows: list[dict[str, Any]]) -> replay.Recording:
    """Return a recording that has a frame."""
    table = pa.Table.from_pylist(rows, schema=inputs_schemas()[name])
    return replace(recording, frames={**recording.frames, name: table})


def reasons(found: replay.Comparison) -> dict[str, str]:
    ids, names = found.decisions["client_intent_id"], found.decisions["reason"].astype("str")
    return dict(zip(ids, names, strict=True))


def test_a_run_of_the_version_before_differs_in_nothing_under_its_own_limits(old: replay.Recording) -> None:
    found = replay.replay(old)
    assert (found.differences, found.first_differing_stage, len(found.flips)) == (0, None, 0)
    assert (found.notes, len(found.not_recorded)) == ([], 0)
    assert found.decisions["not_recorded"].tolist() == [""] * 4


def test_the_same_limits_flip_there_what_they_refuse(old: replay.Recording) -> None:
    found = replay.replay(old, {"EXEC_MAX_POSITION_QTY": 50})
    assert found.flips["client_intent_id"].tolist() == ["spy-30"]
    assert found.flips["limit_source"].tolist() == ["EXEC_MAX_POSITION_QTY"]
    assert found.flips["recorded_limit_source"].tolist() in (["none"], [""])
    assert len(found.not_recorded) == 0


def test_a_limit_whose_input_is_not_recorded_is_reported_and_flips_nothing(old: replay.Recording) -> None:
    found = replay.replay(old, ASSETS)
    assert (found.differences, found.first_differing_stage, len(found.flips)) == (0, None, 0)
    (row,) = found.not_recorded.to_dict(orient="records")
    assert (row["rule"], row["frames"], row["run_id"]) == ("asset_not_tradable", "assets", RUN)
    assert f"{row['trading_date']:%Y-%m-%d}" == SESSION
    assert (row["intents"], row["allowed"]) == (4, 3)
    assert found.decisions["not_recorded"].tolist() == ["asset_not_tradable"] * 4
    assert found.decisions["check_asset_not_tradable"].tolist() == ["off"] * 4
    assert found.decisions["allowed"].tolist() == found.recorded["allowed"].tolist()


def test_other_limits_flip_as_usual_beside_it(old: replay.Recording) -> None:
    found = replay.replay(old, {**ASSETS, "EXEC_MAX_POSITION_QTY": 50})
    assert found.flips["client_intent_id"].tolist() == ["spy-30"]
    assert found.flips["rule"].tolist() == ["max_position_size_exceeded"]
    assert found.not_recorded[["intents", "allowed"]].to_numpy().tolist() == [[4, 2]]


def test_a_frame_that_is_recorded_is_judged(old: replay.Recording) -> None:
    flags = {"tradable": True, "fractionable": True, "shortable": True}
    rows = [{"symbol": "SPY", **flags}, {"symbol": "KO", **flags, "tradable": False}]
    found = replay.replay(with_frame(old, "assets", rows), ASSETS)
    assert found.flips["client_intent_id"].tolist() == ["ko-45", "ko-5"]
    assert found.flips["rule"].tolist() == ["asset_not_tradable"] * 2
    assert len(found.not_recorded) == 0


def test_a_frame_that_was_unavailable_then_refuses(old: replay.Recording) -> None:
    unavailable = replace(old, frames={**old.frames, "assets": None})
    found = replay.replay(unavailable, ASSETS)
    assert found.flips["reason"].tolist() == ["risk_data_unavailable"] * 3
    assert len(found.not_recorded) == 0


def test_runs_with_and_without_a_frame_are_judged_each_by_its_own(old: replay.Recording) -> None:
    later = replace(with_frame(old, "assets", []), run=replace(old.run, run_id="later"))
    found = replay.replay([later, old, old], ASSETS)
    assert found.flips["run_id"].tolist() == ["later"] * 3
    assert found.not_recorded["run_id"].tolist() == [RUN, RUN]
    (told,) = found.record()["not_recorded"]
    assert (told["sessions"], told["intents"], told["allowed"]) == (1, 8, 6)


def test_a_chained_replay_reports_it_too(old: replay.Recording) -> None:
    found = replay.replay([old, old], ASSETS, chained=True)
    assert (found.differences, len(found.flips), len(found.not_recorded)) == (0, 0, 2)


def test_the_levels_of_a_limit_that_are_recorded_are_judged(old: replay.Recording) -> None:
    levels = in_file("[strategy.momentum]\nmax_position_qty = 10\n[account.paper]\nmax_position_qty = 50")
    found = replay.replay(old, levels)
    assert found.flips["client_intent_id"].tolist() == ["spy-30"]
    assert found.flips["limit_source"].tolist() == ["[account.paper]"]
    (row,) = found.not_recorded.to_dict(orient="records")
    assert row["rule"] == "max_position_size_exceeded"
    assert row["frames"] == "strategy_positions, working_order_terms"
    assert found.decisions["check_max_position_size_exceeded"].tolist() == ["fail", "pass", "pass", "fail"]


def test_the_levels_of_strategies_are_judged_where_they_are_recorded(old: replay.Recording) -> None:
    recorded = with_frame(with_frame(old, "strategy_positions", []), "working_order_terms", [])
    found = replay.replay(recorded, in_file("[strategy.momentum]\nmax_position_qty = 10"))
    assert set(found.flips["limit_source"]) == {"[strategy.momentum]"}
    assert len(found.not_recorded) == 0


def test_the_other_limit_of_a_rule_is_judged(old: replay.Recording) -> None:
    found = replay.replay(old, in_file("[limits]\nmax_batch_ratio_to_median = 5\nmax_batch_orders = 2"))
    assert set(found.decisions["reason"]) == {"max_batch_orders_exceeded"}
    assert len(found.flips) == 3


def test_every_frame_that_a_rule_reads_is_tried_here() -> None:
    read = {frame for rule in RULE_BOOK for frame in frames_of(rule.name)}
    assert read == SWITCHED_ON.keys() == set(LIMIT_FRAMES) - set(STANDING_FRAMES)
    assert all(frame in config.frames_needed() for frame, config in SWITCHED_ON.items())


@pytest.mark.parametrize("frame", SWITCHED_ON)
def test_no_frame_that_is_not_recorded_flips_an_intent(old: replay.Recording, frame: str) -> None:
    found = replay.replay(old, SWITCHED_ON[frame])
    assert len(found.flips) == 0
    assert any(frame in frames.split(", ") for frames in found.not_recorded["frames"])
    assert reasons(found)["spy-500"] == "max_position_size_exceeded"


def test_a_run_under_limits_that_need_a_frame_has_it(dry_desk: Desk) -> None:
    dry_desk.drop("a.json", order())
    dry_desk.run(in_file("[strategy.momentum]\nmax_position_qty = 10"))
    found = replay.replay(dry_desk.data)
    assert (found.differences, len(found.not_recorded)) == (0, 0)


@pytest.mark.parametrize("last", ["intents.parquet", "inputs.json", "decisions.parquet", "results.parquet"])
def test_an_unfinished_run_of_the_version_before_resumes(
    dry_desk: Desk, old: replay.Recording, last: str
) -> None:
    stages = ["intents.parquet", "inputs.json", "decisions.parquet", "results.parquet"]
    place = dry_desk.data / "runs" / SESSION / RUN
    shutil.copytree(VERSION_BEFORE / "runs", dry_desk.data / "runs")
    for name in (MANIFEST, *stages[stages.index(last) + 1 :]):
        (place / name).unlink()
    dry_desk.hold(SPY=40)
    dry_desk.later(minutes=1)
    folder = RunFolder(LocalObjects(dry_desk.data), date.fromisoformat(SESSION), RUN)
    finish(folder, dry_desk.context())
    assert place_of(dry_desk, folder) == place
    found = replay.replay(dry_desk.data)
    assert (found.differences, len(found.not_recorded)) == (0, 0)
    assert found.recorded["allowed"].tolist() == [True, True, True, False]
    results = folder.table("results.parquet")["status"].to_pylist()
    assert results == old.results["status"].to_pylist()


def test_the_command_prints_what_could_not_be_judged_and_what_to_do(cli: Command) -> None:
    asked = ("replay", SESSION, "--data", VERSION_BEFORE, "--set", "asset_not_tradable=true")
    told = cli(*asked).told
    assert "No difference, as far as their input was recorded: decisions and results are those" in told
    assert f"asset_not_tradable assets {SESSION} {SESSION} 1 4 3" in told
    assert "Set the limit for runs, and replay those that were made since." in told
    record = cli(*asked, "--json").json
    (limit,) = record["not_recorded"]
    remedy = limit.pop("remedy")
    assert limit == {
        "rule": "asset_not_tradable",
        "frames": ["assets"],
        "sessions": 1,
        "first_session": SESSION,
        "last_session": SESSION,
        "intents": 4,
        "allowed": 3,
    }
    assert remedy.startswith("A run records only the inputs that its own limits need.")
    assert (record["flips"], record["differences"]) == (0, 0)


def test_the_command_names_the_level_on_both_sides(dry_desk: Desk, cli: Command, tmp_path: Path) -> None:
    dry_desk.drop(
        "a.json", order(client_intent_id="spy", qty=60), order(client_intent_id="ko", symbol="KO", qty=200)
    )
    dry_desk.run(in_file("[symbol.KO]\nmax_position_qty = 500", max_position_qty=100))
    asked = ("replay", SESSION, "--data", dry_desk.data, "--set", "max_position_qty=50")
    told = cli(*asked).told
    assert "max_position_size_exceeded refused now limits - EXEC_MAX_POSITION_QTY 1 60" in told
    assert "- -> EXEC_MAX_POSITION_QTY" in told
    assert cli(*asked, "--json").json["by_limit"] == [
        {
            "rule": "max_position_size_exceeded",
            "direction": "newly_refused",
            "recorded_limit_source": "none",
            "limit_source": "EXEC_MAX_POSITION_QTY",
            "flips": 1,
        }
    ]
    back = ("replay", SESSION, "--data", dry_desk.data, "--set", "max_position_qty=1000")
    assert "max_position_size_exceeded allowed now limits EXEC_MAX_POSITION_QTY - 1 200" in cli(*back).told
