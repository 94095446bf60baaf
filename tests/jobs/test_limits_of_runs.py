"""The limits file travels with its runs: judged by, copied, hashed, kept by resumed runs and by replays."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow.parquet  # noqa: F401 - it is not imported by halves while the clock is frozen
import pytest
from freezegun import freeze_time

from tests.desk import order
from tests.jobs.command_line import Command, Done, jsonl
from tests.jobs.test_limits import HEAD, SESSION

TIGHT = f"{HEAD}[limits]\nmax_daily_trades = 60\n[symbol.SPY]\nmax_position_qty = 10\n"
TEMPORARY = """
[temporary.index-rebalance]
scope = "symbol.SPY"
max_position_qty = 40
until = 2026-12-18
approved_by = "ann"
why = "index rebalance"
"""
EXPIRED = TEMPORARY.replace("2026-12-18", "2026-11-29")


@pytest.fixture(autouse=True)
def _in_a_session() -> object:
    with freeze_time(SESSION, tick=True):
        yield


@pytest.fixture
def file(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = data.parent / "limits.toml"
    path.write_text(TIGHT)
    monkeypatch.setenv("EXEC_LIMITS_FILE", str(path))
    return path


def run_with(cli: Command, qty: float, **env: str) -> Done:
    assert cli("drop", stdin=jsonl(order(symbol="SPY", qty=qty)), **env).code == 0
    return cli("run", "--json", **env)


def only_run(data: Path) -> Path:
    (folder,) = (path.parent for path in data.glob("runs/*/*/run.json"))
    return folder


def sealed(data: Path) -> list[Path]:
    return sorted(path for path in data.rglob("*") if path.name in {"run.json", "intents.parquet"})


@pytest.mark.parametrize(("qty", "allowed"), [(10, 1), (10.5, 0)])
def test_a_run_judges_by_the_sections_of_the_file(cli: Command, file: Path, qty: float, allowed: int) -> None:
    assert run_with(cli, qty).json["decisions"]["allowed"] == allowed


def test_a_run_copies_the_file_with_its_hash(cli: Command, file: Path, data: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + TIGHT.replace("\n", "\r\n").encode())
    assert run_with(cli, 5).code == 0
    folder = only_run(data)
    copy = (folder / "limits.toml").read_bytes()
    assert copy == file.read_bytes()
    digest = hashlib.sha256(copy).hexdigest()
    start = json.loads((folder / "run.json").read_text())
    assert (start["limits_file"]["sha256"], start["limits_file"]["path"]) == (digest, str(file))
    assert json.loads((folder / "manifest.json").read_text())["content"]["limits.toml"] == digest


def test_a_run_without_a_file_has_no_copy(cli: Command, data: Path) -> None:
    assert run_with(cli, 5).code == 0
    assert not (only_run(data) / "limits.toml").exists()
    assert json.loads((only_run(data) / "run.json").read_text())["limits_file"] is None


def test_a_resumed_run_goes_on_with_the_file_it_began_with(cli: Command, file: Path, data: Path) -> None:
    cli("drop", stdin=jsonl(order(symbol="SPY", qty=20)))
    assert cli("collect").code == 0
    (only_run(data) / "limits.toml").unlink()  # killed right after run.json
    file.write_text(TIGHT.replace("max_position_qty = 10", "max_position_qty = 99"))
    resumed = cli("run", "--json").json["resumed"]
    assert [one["decisions"]["by_reason"] for one in resumed] == [{"max_position_size_exceeded": 1}]
    (begun, _) = sorted(data.glob("runs/*/*/"))
    assert (begun / "limits.toml").read_text() == TIGHT


def test_a_resumed_run_is_not_asked_whether_its_file_has_expired(
    cli: Command, file: Path, data: Path
) -> None:
    file.write_text(TIGHT + TEMPORARY)
    cli("drop", stdin=jsonl(order(symbol="SPY", qty=20)))
    assert cli("collect").code == 0
    file.write_text(TIGHT)
    with freeze_time("2026-12-21T15:00:00Z", tick=True):
        resumed = cli("run", "--json").json["resumed"]
    assert [one["decisions"]["allowed"] for one in resumed] == [1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.write_text(TIGHT.replace("[limits]", "[limit]")), ":5: [limit] is no section"),
        (lambda file: file.unlink(), "EXEC_LIMITS_FILE is '"),
        (lambda file: file.write_text(TIGHT + EXPIRED), ":10: [temporary."),
        (lambda file: file.write_text(TIGHT.replace("2027-03-31", "2026-10-30")), ":3: review_by is 2026-"),
        (lambda file: file.write_text(TIGHT.replace('["*"]', '["zzz"]')), ":4: acknowledged_off has 'zzz'"),
        (lambda file: file.write_bytes(b"a = \xe4"), ":1: the byte 0xe4 is not UTF-8"),
    ],
)  # fmt: skip
def test_a_file_that_can_not_be_used_stops_a_run_before_anything_is_sealed(
    cli: Command, file: Path, data: Path, change: object, message: str
) -> None:
    cli("drop", stdin=jsonl(order(symbol="SPY", qty=5)))
    change(file)  # type: ignore[operator]
    for command in (("run",), ("collect",), ("doctor",)):
        done = cli(*command)
        assert done.code == 2
        assert message in done.out + done.err
    assert sealed(data) == []
    assert len(list((data / "inbox").iterdir())) == 1


def test_what_stops_trading_does_not_read_the_file(cli: Command, file: Path) -> None:
    file.write_text("no limits")
    assert cli("halt", "--why", "x").code == 0
    assert cli("status").code in {0, 3}
    assert cli("recover", "--why", "x").code == 0


def test_a_temporary_limit_is_named_by_every_run_while_it_holds(cli: Command, file: Path) -> None:
    file.write_text(TIGHT + TEMPORARY)
    remark = (
        "[temporary.index-rebalance] of the limits file: max_position_qty is 40 in symbol.SPY through "
        "2026-12-18, approved by ann: index rebalance."
    )
    done = run_with(cli, 40)
    assert done.json["remarks"] == [remark]
    assert done.json["decisions"]["allowed"] == 1
    assert [one["message"] for one in done.events if one["event"] == "limits_notice"] == [remark]
    assert remark in cli("run").told
    assert remark in cli("doctor").told


def test_a_section_of_an_account_that_may_not_trade_is_named(cli: Command, file: Path) -> None:
    file.write_text(f"{TIGHT}[account.papr]\nmax_daily_trades = 1\n")
    (remark,) = run_with(cli, 5, EXEC_BROKER_ACCOUNT_ID="paper").json["remarks"]
    assert remark == (
        "[account.papr] of the limits file is about the account papr, which is none of those that may trade. "
        "Did you mean paper?"
    )
    assert cli("run", "--json", EXEC_BROKER_ACCOUNT_ID="papr").json["remarks"] == []
    assert cli("run", "--json").json["remarks"] == []


def test_a_file_whose_review_is_due_warns_in_every_run(cli: Command, file: Path) -> None:
    file.write_text(TIGHT.replace("2027-03-31", "2026-11-29"))
    (remark,) = run_with(cli, 5).json["remarks"]
    assert "limits.toml:3: the limits were to be reviewed by 2026-11-29, by risk desk." in remark


def test_a_variable_and_the_file_are_both_enforced(cli: Command, file: Path) -> None:
    assert run_with(cli, 8, EXEC_MAX_POSITION_QTY="7").json["decisions"]["allowed"] == 0
    assert run_with(cli, 11, EXEC_MAX_POSITION_QTY="12").json["decisions"]["allowed"] == 0
    assert run_with(cli, 6, EXEC_MAX_POSITION_QTY="7").json["decisions"]["allowed"] == 1


def test_a_default_holds_only_where_nothing_sets_the_limit_for_all(cli: Command, file: Path) -> None:
    file.write_text(f"{HEAD}[symbol.SPY]\nmax_position_qty = 500\n")
    assert run_with(cli, 101).json["decisions"]["allowed"] == 0
    file.write_text(f"{HEAD}[limits]\nmax_position_qty = 500\n")
    assert run_with(cli, 102).json["decisions"]["allowed"] == 1


def test_explain_names_the_section_that_limits_the_age(cli: Command, file: Path) -> None:
    file.write_text(f"{HEAD}[symbol.SPY]\nintent_max_age_s = 60\n")
    cli("drop", stdin=jsonl(order(symbol="SPY", created_at="2026-11-30T14:00:00Z")))
    done = cli("run")
    assert "intent_expired" in done.told
    assert "oldest allowed 60 s by [symbol.SPY]" in done.told


def test_check_judges_by_the_file(cli: Command, file: Path) -> None:
    rows = jsonl(order(symbol="SPY", qty=11))
    assert cli("check", "--against-limits", stdin=rows).code == 4
    file.write_text(TIGHT + TEMPORARY)
    assert cli("check", "--against-limits", stdin=rows).code == 0
    file.write_text(TIGHT + EXPIRED)
    assert cli("check", "--against-limits", stdin=rows).code == 2


def replayed(cli: Command, *options: object) -> Done:
    return cli("replay", SESSION[:10], "--json", *options)


def test_a_replay_judges_by_the_copy(cli: Command, file: Path, data: Path) -> None:
    file.write_text(TIGHT + TEMPORARY)
    run_with(cli, 30)
    file.unlink()
    with freeze_time("2028-01-03T15:00:00Z", tick=True):
        found = replayed(cli).json
    assert (found["differences"], found["flips"]) == (0, 0)


def test_a_replay_notices_a_copy_that_was_changed(cli: Command, file: Path, data: Path) -> None:
    run_with(cli, 5)
    copy = only_run(data) / "limits.toml"
    copy.chmod(0o600)
    copy.write_text(TIGHT.replace("= 10", "= 11"))
    done = replayed(cli)
    assert done.code == 1
    assert "limits.toml has changed since it was recorded" in done.json["error"]


def test_a_replay_under_another_limits_file(cli: Command, file: Path, data: Path) -> None:
    run_with(cli, 8)
    other = file.with_name("other.toml")
    other.write_text(TIGHT.replace("max_position_qty = 10", "max_position_qty = 7"))
    found = replayed(cli, "--limits", other).json
    assert (found["flips"], found["by_rule"]) == (1, {"max_position_size_exceeded": 1})
    assert found["limits"] == {"limits_file": str(other)}
    assert f"with limits_file {other}" in cli("replay", SESSION[:10], "--limits", other).told
    assert replayed(cli, "--limits", file).json["flips"] == 0


def test_a_replay_under_a_file_where_the_run_had_none(cli: Command, data: Path, tmp_path: Path) -> None:
    run_with(cli, 90)
    run_with(cli, 110)
    other = tmp_path / "other.toml"
    other.write_text(f"{HEAD}[limits]\nmax_position_qty = 120\n")
    assert replayed(cli, "--limits", other).json["flips"] == 1  # the default of 100 doesn't hold beside it
    other.write_text(f"{HEAD}[symbol.SPY]\nmax_position_qty = 120\n")
    assert replayed(cli, "--limits", other).json["flips"] == 0


def test_another_file_is_judged_at_the_session_of_the_record(cli: Command, file: Path, data: Path) -> None:
    run_with(cli, 8)
    other = file.with_name("other.toml")
    with freeze_time("2028-01-03T15:00:00Z", tick=True):
        other.write_text(TIGHT + TEMPORARY)
        assert replayed(cli, "--limits", other).code == 0
        other.write_text(TIGHT + EXPIRED)
        done = replayed(cli, "--limits", other)
    assert done.code == 2
    assert "ended with the session of 2026-11-29" in done.json["error"]


def test_a_replay_still_reads_limits_by_name(cli: Command, data: Path, tmp_path: Path) -> None:
    run_with(cli, 90)
    flat = tmp_path / "flat.toml"
    flat.write_text("max_position_size_exceeded = 50\n")
    assert replayed(cli, "--limits", flat).json["flips"] == 1
