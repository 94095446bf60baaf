from __future__ import annotations

from pathlib import Path

from tests.jobs.command_line import Command


def test_simulated_days_are_a_data_folder_like_any_other(cli: Command, tmp_path: Path) -> None:
    out = tmp_path / "days"
    done = cli("simulate", "--days", 1, "--seed", 7, "--out", out, "--json")
    assert done.code == 0
    (day,) = done.json["days"]
    assert (day["trading_date"], day["runs"]) == ("2026-03-02", 5)
    assert day["sent"] > 0
    status = cli("status", "--json", EXEC_DATA_DIR=str(out))
    assert len(status.json["runs"]) == 5


def test_a_day_that_is_none_and_a_folder_that_is_used_are_mistakes_of_the_caller(
    cli: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("x")
    for args in (("--out", tmp_path), ("--out", tmp_path / "new", "--start", "monday")):
        assert cli("simulate", *args).code == 2
    assert not (tmp_path / "new").exists()
