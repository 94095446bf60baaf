"""``execution-engine replay``, as an operator or a quant calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.desk import Desk, order
from tests.engine.routing.trading import GENEROUS, TradingDesk
from tests.jobs.command_line import Command, one_line_error, script
from tests.replay.recording import of_other_code, place_of, rewritten


@pytest.fixture
def desk(dry_desk: Desk) -> Desk:
    """A desk with a run of two intents on each of three days."""
    for name in ("a", "b", "c"):
        dry_desk.drop(
            f"{name}.json",
            order(client_intent_id=f"{name}-spy", qty=60, reference_price=400),
            order(client_intent_id=f"{name}-ko", symbol="KO", qty=5),
        )
        dry_desk.run()
        dry_desk.later(days=1)
    return dry_desk


HALF = ("--set", "EXEC_MAX_POSITION_QTY=50")


def test_a_day_under_its_own_limits(desk: Desk, cli: Command) -> None:
    done = cli("replay", "2026-03-02", "--data", desk.data)
    assert done.code == 0
    assert "Replay · session 2026-03-02, 1 run, 2 intents · under the recorded limits" in done.told
    assert "No difference: decisions and results are those of the record, value for value." in done.told


def test_a_day_under_half_the_limit(desk: Desk, cli: Command) -> None:
    done = cli("replay", "2026-03-02", "--data", desk.data, *HALF)
    assert done.code == 0
    assert "with max_position_qty 50" in done.told
    assert "1 intent is refused now, 24,000 USD." in done.told
    assert "max_position_size_exceeded refused now limits - EXEC_MAX_POSITION_QTY 1 60 24,000" in done.told
    assert "allowed then (position 60, limit 100), refused now (position 60, limit 50)" in done.told


def test_json_has_the_figures(desk: Desk, cli: Command) -> None:
    told = cli("replay", "2026-03-02..2026-03-03", "--data", desk.data, *HALF, "--json").json
    assert told["exit_code"] == 0
    assert (told["days"], told["intents"], told["flips"], told["differences"]) == (2, 4, 2, 4)
    assert told["by_rule"] == {"max_position_size_exceeded": 2}
    assert told["first_differing_stage"] == "decisions"
    assert told["limits"] == {"max_position_qty": 50.0}
    same = cli("replay", "2026-03-02", "--data", desk.data, "--json").json
    assert (same["differences"], same["flips"], same["by_rule"], same["first_differing_stage"]) == (
        0,
        0,
        {},
        None,
    )


@pytest.mark.parametrize(
    ("what", "days"),
    [("2026-03-03..", 2), ("..2026-03-03", 2), ("2026-03-01..2026-03-31", 3), ("20260303T", 1)],
)
def test_ranges_may_be_open_and_runs_shortened(desk: Desk, cli: Command, what: str, days: int) -> None:
    assert cli("replay", what, "--data", desk.data, "--json").json["days"] == days


def test_a_run_may_be_named_or_pointed_at(desk: Desk, cli: Command) -> None:
    run = place_of(desk, desk.context().runs.all()[1])
    for what in (run.name, run):
        assert cli("replay", what, "--data", desk.data, "--json").json["intents"] == 2


def test_without_a_place_the_data_folder_of_the_settings_is_meant(
    desk: Desk, cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXEC_DATA_DIR", str(desk.data))
    assert cli("replay", "2026-03-02", "--json").json["intents"] == 2


def test_a_limits_file_and_the_command_line_go_together(desk: Desk, cli: Command, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text("max_position_size_exceeded = 50\nmax_daily_trades_exceeded = 1\n")
    told = cli("replay", "2026-03-02", "--data", desk.data, "--limits", limits, "--json").json
    assert told["by_rule"] == {"max_position_size_exceeded": 1}
    over = ("--set", "max_position_qty=100")
    told = cli("replay", "2026-03-02", "--data", desk.data, "--limits", limits, *over, "--json").json
    assert told["by_rule"] == {"max_daily_trades_exceeded": 1}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("2026-04-01",), "no session of 2026-04-01 is recorded in"),
        (("2026-03-05..2026-03-01",), "it has 2026-03-02 to 2026-03-04"),
        (("2026-03-02..soon",), "the range is '2026-03-02..soon'; expected two sessions"),
        (("nonsense",), "'nonsense' is not a session, range or finished run"),
        (("2026",), "is the beginning of 3 runs"),
        (("2026-03-02", "--set", "EXEC_MAX_POSITON_QTY=5"), "Did you mean EXEC_MAX_POSITION_QTY?"),
        (("2026-03-02", "--set", "5"), "expected NAME=VALUE"),
        (("2026-03-02", "--set", "EXEC_MAX_POSITION_QTY"), "--set is EXEC_MAX_POSITION_QTY; expected NAME"),
        (("./nowhere/at/all",), "holds no recorded run"),
    ],
)
def test_what_cannot_be_replayed_says_why_and_what_to_write(
    desk: Desk, cli: Command, arguments: tuple[str, ...], error: str
) -> None:
    done = cli("replay", *arguments, "--data", desk.data)
    assert (done.code, done.out) == (2, "")
    assert error in one_line_error(done)


def test_a_changed_file_is_named_and_nothing_else_is_reported(desk: Desk, cli: Command) -> None:
    run = place_of(desk, desk.context().runs.all()[0])
    content = (run / "decisions.parquet").read_bytes()
    (run / "decisions.parquet").write_bytes((run / "results.parquet").read_bytes())
    done = cli("replay", "2026-03-02", "--data", desk.data)
    assert (done.code, done.out) == (1, "")
    assert f"{run}/decisions.parquet has changed since it was recorded" in one_line_error(done)
    told = cli("replay", "2026-03-02", "--data", desk.data, "--json")
    assert told.code == told.json["exit_code"] == 1
    assert "decisions.parquet has changed" in told.json["error"]
    (run / "decisions.parquet").write_bytes(content)
    (run / "inputs.json").unlink()
    done = cli("replay", "2026-03-02", "--data", desk.data)
    assert (done.code, done.out) == (1, "")
    assert "inputs.json is missing" in one_line_error(done)


def test_code_differences_are_distinguished(desk: Desk, cli: Command) -> None:
    run = place_of(desk, desk.context().runs.all()[0])
    of_other_code(run)

    def refuse(decisions: object) -> object:
        import pyarrow as pa

        assert isinstance(decisions, pa.Table)
        place = decisions.schema.get_field_index("allowed")
        return decisions.set_column(place, "allowed", pa.array([False] * decisions.num_rows))

    rewritten(run, "decisions.parquet", refuse)
    done = cli("replay", "2026-03-02", "--data", desk.data)
    assert "2 of them differ because of today's code alone, under the recorded limits." in done.told
    assert "Recorded by other code than today's: 0.0.9+123456789abc." in done.told


def test_an_unfinished_run_is_left_out_and_named(desk: Desk, cli: Command) -> None:
    begun = desk.begin()
    done = cli("replay", "..", "--data", desk.data)
    assert done.code == 0
    assert f"Left out: run {begun.run_id} is not finished" in done.told
    assert cli("replay", "..", "--data", desk.data, "--json").json["unfinished"] == [begun.run_id]


def test_a_chained_replay_of_live_days_names_the_first_that_depends_on_a_flip(
    live_desk: TradingDesk, cli: Command
) -> None:
    live_desk.drop("a.json", order(client_intent_id="large", qty=120, reference_price=90))
    live_desk.live(GENEROUS.changed(max_position_qty=100))
    live_desk.tick(24 * 3600)
    live_desk.drop("b.json", order(client_intent_id="more", qty=90))
    live_desk.live(GENEROUS.changed(max_position_qty=100))
    more = ("--set", "EXEC_MAX_POSITION_QTY=200", "--chained")
    done = cli("replay", "2026-03-02..2026-03-03", "--data", live_desk.data, *more)
    assert done.code == 0
    assert "The first session that depends on an earlier flip: 2026-03-03." in done.told
    assert "1 orders were never sent then: their outcome is simulated, at one price each." in done.told
    assert "max_position_size_exceeded refused now earlier flips - EXEC_MAX_POSITION_QTY 1 90" in done.told
    told = cli("replay", "..", "--data", live_desk.data, *more, "--json").json
    assert (told["first_dependent_day"], told["simulated"]) == ("2026-03-03", 1)
    assert told["by_cause"] == {"limits": 1, "earlier flips": 1}


def test_the_installed_command_runs_where_nothing_is_set(desk: Desk, tmp_path: Path) -> None:
    done = script("replay", "2026-03-02", "--data", desk.data, *HALF, "--json", HOME=str(tmp_path))
    assert (done.code, done.json["flips"], done.err) == (0, 1, "")
