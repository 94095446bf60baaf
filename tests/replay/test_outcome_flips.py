"""Orders of intents that are allowed then and now, and of which something else became."""

from __future__ import annotations

from pathlib import Path

import pytest

import replay
from replay.comparison import Comparison
from replay.flip_frames import outcome_flips_schema
from tests.jobs.command_line import Command

DAYS = Path(__file__).parents[2] / "fixtures" / "days"
TOO_OLD = {"EXEC_INTENT_MAX_AGE_S": 1}
FIRST = "2026-03-02"


@pytest.fixture(scope="module")
def found() -> Comparison:
    return replay.replay(replay.days(DAYS)[0], TOO_OLD)


def test_orders_that_are_too_old_by_their_turn_are_outcome_flips_and_no_flips(found: Comparison) -> None:
    assert (len(found.flips), len(found.outcome_flips)) == (0, 30)
    assert sum(found.by_outcome.values()) == 30
    assert all(outcome.endswith(" -> expired") for outcome in found.by_outcome)
    flips = found.outcome_flips
    assert (set(flips["status"]), set(flips["reason"])) == ({"expired"}, {"intent_expired"})
    assert set(flips["cause"]) == {"limits"}
    assert "expired" not in set(flips["recorded_status"])
    assert flips["notional_usd"].notna().all()


def test_each_outcome_flip_is_a_row_of_the_results_that_differs(found: Comparison) -> None:
    results = found.results[found.results["differs"]]
    assert found.outcome_flips["client_intent_id"].tolist() == results["client_intent_id"].tolist()
    assert found.outcome_flips["filled_qty"].tolist() == results["filled_qty"].tolist()
    assert found.outcome_flips["recorded_filled_qty"].tolist() == results["recorded_filled_qty"].tolist()


def test_they_are_counted_by_run_and_kept_where_intents_are_not(found: Comparison) -> None:
    assert found.summary["outcome_flips"].sum() == 30
    kept = found.counted()
    assert kept.outcome_flips.equals(found.outcome_flips)
    assert kept.record()["outcome_flips"] == 30


def test_an_intent_that_is_refused_now_is_a_flip_and_no_outcome_flip() -> None:
    found = replay.replay(replay.days(DAYS)[0], {"EXEC_MAX_DAILY_TRADES": 0})
    assert len(found.flips) > 0
    assert not set(found.flips["client_intent_id"]) & set(found.outcome_flips["client_intent_id"])


def test_under_the_recorded_limits_there_are_none_and_the_frame_has_its_columns() -> None:
    flips = replay.replay(replay.days(DAYS)[0]).outcome_flips
    assert flips.empty
    assert flips.dtypes.equals(outcome_flips_schema().dtypes)


def test_the_frame_has_the_columns_of_the_empty_one(found: Comparison) -> None:
    assert list(found.outcome_flips.columns) == list(outcome_flips_schema().columns)


def test_decisions_alone_tell_of_no_outcomes() -> None:
    assert replay.replay(replay.days(DAYS)[0], TOO_OLD, decisions_only=True).outcome_flips.empty


def test_the_command_says_so_in_text_and_json(cli: Command) -> None:
    args = ("replay", FIRST, "--data", DAYS, "--set", "EXEC_INTENT_MAX_AGE_S=1")
    told = cli(*args).told
    assert "30 intents are allowed as before and have another outcome." in told
    assert "placed (filled) -> expired intent_expired limits" in told
    said = cli(*args, "--json").json
    assert (said["flips"], said["outcome_flips"]) == (0, 30)
    assert sum(said["by_outcome"].values()) == 30
