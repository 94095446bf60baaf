"""Recorded dry runs, replayed under their own limits and under others."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import replay
from engine.errors import RecordError
from engine.risk.config import RiskConfig
from replay import replaying
from replay.judging import judge
from tests.desk import Desk, on, order
from tests.replay.recording import of_other_code, place_of, rewritten

HALF = {"EXEC_MAX_POSITION_QTY": 50}


@pytest.fixture
def desk(dry_desk: Desk) -> Desk:
    """A desk that holds 40 SPY and 0 KO, with a run of four intents, one of them refused."""
    dry_desk.hold(SPY=40)
    dry_desk.drop(
        "a.json",
        order(qty=30, reference_price=400, client_intent_id="spy-30"),
        order(qty=45, symbol="KO", limit_price=60, order_type="limit", client_intent_id="ko-45"),
        order(qty=5, symbol="KO", client_intent_id="ko-5"),
        order(qty=500, client_intent_id="spy-500", strategy_id="reckless"),
    )
    dry_desk.run()
    return dry_desk


def only(frame: pd.DataFrame) -> dict[str, Any]:
    (row,) = frame.to_dict(orient="records")
    return {str(name): value for name, value in row.items()}


def test_a_run_replayed_under_its_own_limits_differs_in_nothing(desk: Desk) -> None:
    found = replay.replay(desk.data)
    assert (found.days, found.intents, found.differences, len(found.flips)) == (1, 4, 0, 0)
    assert found.first_differing_stage is None
    assert not found.decisions["differs"].any()


def test_runs_with_missing_data_kill_switch_cancels_and_ages_differ_in_nothing(dry_desk: Desk) -> None:
    later = (dry_desk.now + timedelta(seconds=5)).isoformat()
    rows = [
        order(client_intent_id="a", valid_until=later, created_at=dry_desk.now.isoformat()),
        order(client_intent_id="b", qty=None, notional=100),
        order(action="cancel", target_intent_id="a", client_intent_id="c"),
        order(broker_account_id="other", client_intent_id="d"),
    ]

    class Broken:
        def positions(self, *_: object, **__: object) -> pd.DataFrame:
            raise OSError("gone")

        def __getattr__(self, name: str) -> Any:
            return getattr(dry_desk.store, name)

    dry_desk.drop("a.json", *rows)
    dry_desk.run(RiskConfig(intent_max_age_s=60, accounts=frozenset({"paper"})))
    dry_desk.drop("b.json", *rows)
    dry_desk.run(context=dry_desk.context(kill_switch=on))
    dry_desk.drop("c.json", order(client_intent_id="e"), order(client_intent_id="f"))
    dry_desk.run(RiskConfig(fail_open=True), context=dry_desk.context(positions=Broken()))
    dry_desk.run()
    found = replay.replay(dry_desk.data)
    assert len(found.summary) == 4
    assert found.intents > 5
    assert (found.differences, found.first_differing_stage) == (0, None)


def test_a_flip_names_rule_figures_of_both_sides_and_what_it_is_worth(desk: Desk) -> None:
    found = replay.replay(desk.data, HALF)
    flip = only(found.flips)
    assert (flip["client_intent_id"], flip["strategy_id"], flip["symbol"]) == ("spy-30", "momentum", "SPY")
    assert (flip["direction"], flip["rule"], flip["cause"]) == (
        "newly_refused",
        "max_position_size_exceeded",
        "limits",
    )
    assert (flip["recorded_position_limit_qty"], flip["position_limit_qty"]) == (100, 50)
    assert (flip["recorded_projected_qty"], flip["projected_qty"]) == (70, 70)
    assert (flip["qty"], flip["price"], flip["price_source"], flip["notional_usd"]) == (
        30, 400, "reference", 12_000,
    )  # fmt: skip
    assert found.by_rule == {"max_position_size_exceeded": 1}
    assert found.first_differing_stage == "decisions"


def test_an_intent_that_is_allowed_only_now_is_a_flip_of_the_rule_that_refused_it(desk: Desk) -> None:
    flip = only(replay.replay(desk.data, {"max_position_size_exceeded": 1_000}).flips)
    assert (flip["client_intent_id"], flip["direction"]) == ("spy-500", "newly_allowed")
    assert (flip["rule"], flip["recorded_reason"], flip["reason"]) == (
        "max_position_size_exceeded",
        "max_position_size_exceeded",
        "ok",
    )


def test_what_is_let_through_counts_for_what_comes_after_it(desk: Desk) -> None:
    """With two trades a day instead of fifty, the third and fourth intent are refused."""
    found = replay.replay(desk.data, {"EXEC_MAX_DAILY_TRADES": 2})
    assert only(found.flips)["client_intent_id"] == "ko-5"
    assert found.decisions["reason"].astype(str).tolist() == [
        "ok",
        "ok",
        "max_daily_trades_exceeded",
        "max_daily_trades_exceeded",
    ]


def test_the_limits_themselves_are_no_differences(desk: Desk) -> None:
    found = replay.replay(desk.data, {"EXEC_MAX_POSITION_QTY": 99})
    assert found.differences == 0
    assert (found.decisions["position_limit_qty"] == 99).all()
    assert (found.recorded["position_limit_qty"] == 100).all()


def test_a_changed_figure_without_a_flip_is_a_difference(desk: Desk) -> None:
    found = replay.replay(desk.data, {"EXEC_POSITION_PROJECTION": "net", "EXEC_MAX_DAILY_TRADES": 1})
    refused = found.decisions.set_index("client_intent_id").loc["spy-500"]
    assert (refused["differs"], refused["cause"]) == (True, "limits")


def test_a_whole_configuration_may_be_given(desk: Desk) -> None:
    assert replay.replay(desk.data, RiskConfig(max_position_qty=50)).record()["flips"] == 1


def test_frames_have_a_row_for_each_intent_in_the_order_of_the_batch(desk: Desk) -> None:
    found = replay.replay(desk.data, HALF)
    ids = ["spy-30", "ko-45", "ko-5", "spy-500"]
    for frame in (found.decisions, found.recorded, found.results):
        assert frame["client_intent_id"].tolist() == ids
        assert frame.columns.is_unique
    assert found.decisions["notional_usd"].tolist()[:2] == [12_000, 2_700]
    assert found.results["status"].tolist() == ["rejected", "dry_run", "dry_run", "rejected"]
    assert found.results["recorded_status"].tolist() == ["dry_run", "dry_run", "dry_run", "rejected"]


def test_empty_frames_have_their_columns(desk: Desk) -> None:
    found, flipped = replay.replay(desk.data), replay.replay(desk.data, HALF)
    assert found.flips.columns.tolist() == flipped.flips.columns.tolist()
    assert (found.flips.dtypes.astype(str) == flipped.flips.dtypes.astype(str)).all()


def test_the_summary_has_a_row_for_each_run(desk: Desk) -> None:
    desk.run()
    summary = replay.replay(desk.data, HALF).summary
    assert summary["intents"].tolist() == [4, 0]
    assert summary["newly_refused"].tolist() == [1, 0]
    assert summary["first_differing_stage"].tolist() == ["decisions", ""]


def test_by_the_same_code_the_gate_is_asked_once(desk: Desk) -> None:
    with patch.object(replaying, "judge", wraps=judge) as judged:
        replay.replay(desk.data, HALF)
    assert judged.call_count == 1


def another_figure(decisions: pa.Table) -> pa.Table:
    place = decisions.schema.get_field_index("projected_qty")
    return decisions.set_column(place, "projected_qty", pa.array(decisions["projected_qty"].to_numpy() + 1))


def all_refused(decisions: pa.Table) -> pa.Table:
    place = decisions.schema.get_field_index("allowed")
    return decisions.set_column(place, "allowed", pa.array(np.zeros(decisions.num_rows, dtype=bool)))


def run_of(desk: Desk) -> Path:
    return place_of(desk, desk.context().runs.all()[0])


def test_other_code_that_decides_the_same_is_no_difference_and_is_reported(desk: Desk) -> None:
    of_other_code(run_of(desk))
    found = replay.replay(desk.data)
    assert (found.differences, found.summary["same_code"].tolist()) == (0, [False])


def test_what_other_code_decided_otherwise_differs_by_code(desk: Desk) -> None:
    of_other_code(run_of(desk))
    rewritten(run_of(desk), "decisions.parquet", another_figure)
    found = replay.replay(desk.data)
    assert (found.differences, len(found.flips)) == (4, 0)
    assert found.decisions["cause"].tolist() == ["code"] * 4
    assert found.summary["code_differences"].tolist() == [4]


def test_differences_by_code_and_by_limits_are_distinguished(desk: Desk) -> None:
    """The other code refused everything; under half the limit one of its refusals stays."""
    of_other_code(run_of(desk))
    rewritten(run_of(desk), "decisions.parquet", all_refused)
    found = replay.replay(desk.data, HALF)
    flips = found.flips.set_index("client_intent_id")
    assert flips["cause"].to_dict() == {"ko-45": "code", "ko-5": "code"}
    first = found.decisions.set_index("client_intent_id").loc["spy-30"]
    assert (first["differs"], first["cause"]) == (True, "code and limits")
    assert found.summary[["code_differences", "limit_differences"]].iloc[0].tolist() == [3, 4]


def test_a_record_that_contradicts_its_own_code_is_unexplained(desk: Desk) -> None:
    rewritten(run_of(desk), "decisions.parquet", all_refused)
    found = replay.replay(desk.data)
    assert set(found.flips["cause"]) == {"unexplained"}
    assert found.first_differing_stage == "decisions"


def test_a_rule_that_the_record_does_not_know_is_no_difference(desk: Desk) -> None:
    rewritten(run_of(desk), "decisions.parquet", lambda table: table.drop_columns(["check_intent_expired"]))
    assert replay.replay(desk.data).differences == 0


def test_a_rule_that_today_s_code_does_not_know_is_no_difference(desk: Desk) -> None:
    def more(table: pa.Table) -> pa.Table:
        return table.append_column("check_of_old", pa.array(["pass"] * table.num_rows).dictionary_encode())

    rewritten(run_of(desk), "decisions.parquet", more)
    assert replay.replay(desk.data).differences == 0


def test_records_of_several_books_are_compared_each_by_its_own(desk: Desk) -> None:
    desk.drop("b.json", order(qty=7))
    second = desk.run()
    rewritten(
        place_of(desk, second),
        "decisions.parquet",
        lambda table: table.drop_columns(["check_intent_expired"]),
    )
    found = replay.replay(desk.data)
    assert (found.differences, found.intents) == (0, 5)


def test_an_input_that_the_record_does_not_know_says_nothing_and_is_reported(desk: Desk) -> None:
    (recording,) = replay.read(run_of(desk))
    frames = {name: frame for name, frame in recording.frames.items() if name != "working_orders"}
    older = type(recording)(**{**vars(recording), "frames": frames})
    found = replay.replay(older)
    assert found.differences == 0
    assert any("older than the input working_orders" in note for note in found.notes)


def test_a_recorded_limit_that_is_gone_is_reported(desk: Desk) -> None:
    rewritten(run_of(desk), "run.json", lambda run: {**run, "config": {**run["config"], "of_old": 1}})
    assert any("the limit of_old" in note for note in replay.replay(desk.data).notes)


def test_days_may_be_replayed_piece_by_piece(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        desk.later(days=1)
        desk.drop("b.json", order(qty=60))
        desk.run()
    monkeypatch.setattr(replaying, "_RUNS_AT_ONCE", 2)
    pieces = list(replay.replay_each(replay.days(desk.data), HALF))
    assert [piece.intents for piece in pieces] == [5, 2]
    whole = replay.replay(desk.data, HALF)
    assert whole.days == 4
    pd.testing.assert_frame_equal(
        pd.concat([piece.flips for piece in pieces], ignore_index=True), whole.flips
    )


def test_nothing_is_compared_where_a_file_was_changed(desk: Desk) -> None:
    with (run_of(desk) / "run.json").open("a") as file:
        file.write("\n")
    with pytest.raises(RecordError, match=r"run\.json has changed"):
        replay.replay(desk.data)


def test_a_day_may_hold_many_runs_of_one_name(desk: Desk, tmp_path: Path) -> None:
    (day,) = replay.days(desk.data)
    found = replay.replay([day, day])
    assert found.intents == 8
    assert found.decisions["run_id"].nunique() == 2


def test_the_environment_has_no_say(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXEC_MAX_POSITION_QTY", "1")
    monkeypatch.setenv("EXECUTION_HALTED", "1")
    assert replay.replay(desk.data).differences == 0
