"""``override`` as a desk meets it: written, in force for a session, recorded, shown, expired."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet  # noqa: F401 - it can not be loaded while the time stands still
import pytest
from freezegun import freeze_time

import replay
from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolders
from tests.desk import Row, order
from tests.jobs.command_line import Command, Done, jsonl, one_line_error

MONDAY = datetime(2026, 3, 2, 17, tzinfo=UTC)
RULE = "max_position_size_exceeded"
BY = ("--by", "ann", "--why", "index rebalance")
LARGE = {"qty": 500, "symbol": "SPY"}


def at(days: float = 0) -> AbstractContextManager[object]:
    return freeze_time(MONDAY + timedelta(days=days))


def run(cli: Command, *rows: Row, days: float = 0) -> Done:
    with at(days):
        cli("drop", stdin=jsonl(*rows))
    with at(days + 0.01):
        return cli("run", "--json", EXEC_INBOX_SETTLE_S="0")


def written(cli: Command, *about: str, rule: str = RULE, days: float = 0) -> Done:
    with at(days):
        return cli("override", "--rule", rule, *about, *BY)


def files(data: Path) -> list[Path]:
    return sorted(data.glob("overrides/*.toml"))


def allowed(done: Done) -> int:
    return int(done.json["decisions"]["allowed"])


def by_hand(data: Path, text: str, name: str = "mine.toml") -> Path:
    (data / "overrides").mkdir(parents=True, exist_ok=True)
    path = data / "overrides" / name
    path.write_text(text)
    return path


HAND = f"""\
rule = "{RULE}"
symbol = "SPY"
expires_on = 2026-03-02
approved_by = "ann"
why = "index rebalance"
"""


@pytest.mark.parametrize(
    ("about", "passing"),
    [
        (("--strategy", "momentum"), {"a", "b"}),
        (("--symbol", "spy"), {"a", "c"}),
        (("--intent", "c"), {"c"}),
        (("--strategy", "other"), set()),
    ],
)
def test_one_strategy_symbol_or_intent_passes_one_rule(
    cli: Command, data: Path, about: tuple[str, str], passing: set[str]
) -> None:
    assert written(cli, *about).code == 0
    rows = [
        order(client_intent_id="a", qty=500, symbol="SPY"),
        order(client_intent_id="b", qty=500, symbol="QQQ"),
        order(client_intent_id="c", qty=500, symbol="SPY", strategy_id="value"),
    ]
    assert allowed(run(cli, *rows)) == len(passing)
    (folder,) = RunFolders(LocalObjects(data)).all()
    decisions = folder.table("decisions.parquet").to_pylist()
    assert {row["client_intent_id"] for row in decisions if row["allowed"]} == passing
    assert {row["client_intent_id"] for row in decisions if row["overridden"] == RULE} == passing


def test_the_command_says_what_holds_when_and_how_it_ends(cli: Command, data: Path) -> None:
    done = written(cli, "--strategy", "momentum")
    (file,) = files(data)
    assert f"Strategy momentum passes {RULE} in the session 2026-03-02: index rebalance (ann, ov" in done.told
    assert f"overrides/{file.name}" in done.told
    assert "It holds in that session only; to end it earlier, remove the file." in done.told
    (event,) = done.events
    assert (event["event"], event["rule"], event["approved_by"]) == ("override_written", RULE, "ann")


def test_an_override_is_recorded_shown_and_replayed(cli: Command, data: Path) -> None:
    written(cli, "--symbol", "SPY")
    done = run(cli, order(**LARGE, client_intent_id="large-one"))
    (row,) = done.json["overrides"]
    assert (row["rule"], row["symbol"], row["approved_by"], row["expires_on"]) == (
        *(RULE, "SPY", "ann"),
        "2026-03-02",
    )
    with at(0.02):
        assert f"OVERRIDDEN in this session: symbol SPY passes {RULE}" in cli("run").told
        assert f"Override, in force: symbol SPY passes {RULE}" in cli("status").told
        (kept,) = cli("status", "--json").json["overrides"]
        told = cli("explain", "large-one").told
        explained = cli("explain", "large-one", "--json").json
    assert (kept["state"], kept["symbol"]) == ("in force", "SPY")
    assert f"Overridden: symbol SPY passes {RULE} in the session 2026-03-02: index rebalance (ann" in told
    assert "index rebalance" in str(explained)
    found = replay.replay(data)
    assert (found.differences, found.results["status"].tolist()) == (0, ["dry_run"])


def test_it_holds_in_its_session_only_and_is_shown_as_expired_once(cli: Command, data: Path) -> None:
    written(cli, "--symbol", "SPY")
    (file,) = files(data)
    assert allowed(run(cli, order(**LARGE))) == 1
    with at(1):
        assert "Override, expired; the next run sets it aside: symbol SPY" in cli("status").told
    done = run(cli, order(**LARGE), days=1)
    (expired,) = done.json["expired_overrides"]
    assert (allowed(done), expired["symbol"], done.json["overrides"]) == (0, "SPY", [])
    assert files(data) == []
    (kept,) = data.glob("overrides/expired/*.toml")
    assert kept.name.startswith(file.stem)
    assert [event["event"] for event in done.events if event["event"] == "override_expired"] == [
        "override_expired"
    ]
    again = run(cli, order(**LARGE, client_intent_id="other"), days=1.02)
    assert (allowed(again), again.json["expired_overrides"]) == (0, [])


def test_the_run_that_sets_an_override_aside_prints_it(cli: Command) -> None:
    written(cli, "--symbol", "SPY")
    with at(1):
        told = cli("run").told
        assert "Expired, and set aside in overrides/expired/: symbol SPY passes" in told
        assert "Expired" not in cli("run").told


def test_one_for_the_next_session_does_not_hold_yet(cli: Command) -> None:
    with at():
        assert cli("override", "--rule", RULE, "--symbol", "SPY", *BY, "--until", "2026-03-03").code == 0
        assert "Override, of the next session: symbol SPY" in cli("status").told
    assert allowed(run(cli, order(**LARGE))) == 0
    assert allowed(run(cli, order(**LARGE), days=1)) == 1


def test_on_a_friday_evening_the_session_is_mondays(cli: Command, data: Path) -> None:
    with freeze_time(datetime(2026, 3, 7, 2, tzinfo=UTC)):
        cli("override", "--rule", RULE, "--symbol", "SPY", *BY)
    (file,) = files(data)
    assert file.name.startswith("2026-03-09-")


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--rule", "kill_switch_enabled", "--symbol", "SPY"], "kill_switch_enabled can't be overridden"),
        (["--rule", "duplicate_intent", "--symbol", "SPY"], "duplicate_intent can't be overridden"),
        (["--rule", "risk_data_unavailable", "--symbol", "SPY"], "data that is unavailable can't be"),
        (
            ["--rule", "max_positon_size_exceeded", "--symbol", "SPY"],
            "Did you mean max_position_size_exceeded?",
        ),
        (["--rule", RULE], "none of them is given; expected one of --intent, --strategy, --symbol"),
        (
            ["--rule", RULE, "--symbol", "SPY", "--intent", "a"],
            "--intent and --symbol is given; expected one",
        ),
        (["--rule", RULE, "--symbol", "A B"], "symbol is 'A B'; expected it as an intent has it"),
        (["--rule", RULE, "--intent", "a b"], "client_intent_id is 'a b'; expected it as an intent"),
        (["--rule", RULE, "--symbol", "SPY", "--until", "2026-03-04"], "an override lasts one session"),
        (["--rule", RULE, "--symbol", "SPY", "--until", "2026-03-01"], "an override lasts one session"),
        (["--rule", RULE, "--symbol", "SPY", "--until", "tomorrow"], "--until is 'tomorrow'"),
    ],
)
def test_what_may_not_be_overridden_is_refused_and_nothing_is_written(
    cli: Command, data: Path, args: list[str], why: str
) -> None:
    with at():
        done = cli("override", *args, *BY)
    assert (done.code, files(data)) == (2, [])
    assert why in one_line_error(done)


@pytest.mark.parametrize("options", [("--by", " ", "--why", "so"), ("--by", "ann", "--why", " ")])
def test_a_blank_name_or_reason_is_refused(cli: Command, data: Path, options: tuple[str, ...]) -> None:
    with at():
        assert cli("override", "--rule", RULE, "--symbol", "SPY", *options).code == 2
    assert files(data) == []


def test_the_first_of_two_stays(cli: Command, data: Path) -> None:
    written(cli, "--symbol", "SPY")
    with at():
        done = cli("override", "--rule", RULE, "--symbol", "spy", "--by", "bob", "--why", "second", "--json")
        assert (done.code, done.json["is_new"], done.json["override"]["approved_by"]) == (0, False, "ann")
        told = cli("override", "--rule", RULE, "--symbol", "SPY", "--by", "bob", "--why", "second").told
    assert f"It was so before, and the first reason stays: symbol SPY passes {RULE}" in told
    assert len(files(data)) == 1


def test_one_written_by_hand_counts(cli: Command, data: Path) -> None:
    by_hand(data, HAND)
    assert allowed(run(cli, order(**LARGE))) == 1


@pytest.mark.parametrize("command", ["run", "collect"])
def test_a_faulty_one_stops_every_run_before_anything_is_touched(
    cli: Command, data: Path, command: str
) -> None:
    by_hand(data, HAND.replace("max_position_size_exceeded", "kill_switch_enabled"))
    by_hand(data, HAND.replace("approved_by", "aproved_by"), "other.toml")
    with at():
        cli("drop", stdin=jsonl(order()))
        waiting = list((data / "inbox").iterdir())
        done = cli(command)
    assert done.code == 2
    assert "overrides/mine.toml:1: rule is 'kill_switch_enabled'" in done.err
    assert (
        "overrides/other.toml:4: 'aproved_by' is no key of an override. Did you mean approved_by?" in done.err
    )
    assert list((data / "inbox").iterdir()) == waiting
    assert not (data / "runs").exists()
    with at():
        assert "mine.toml:1: " in cli("status", "--json").json["stops_unknown"]["overrides"]
        assert any("mine.toml:1: " in fault for fault in cli("doctor", "--json").json["fatal"])


@pytest.mark.parametrize("name", ["README.md", "mine.toml.bak", ".mine.toml", "expired/old.toml"])
def test_other_files_are_no_overrides(cli: Command, data: Path, name: str) -> None:
    (data / "overrides" / "expired").mkdir(parents=True)
    by_hand(data, "no override", name)
    assert run(cli, order()).code == 0


def test_a_fault_in_one_that_has_expired_stops_nothing(cli: Command, data: Path) -> None:
    by_hand(data, HAND.replace("03-02", "02-27").replace(RULE, "a_rule_of_the_version_before"))
    done = run(cli, order())
    assert (done.code, len(done.json["expired_overrides"])) == (0, 1)


def test_a_job_that_died_while_it_set_one_aside_does_no_harm(cli: Command, data: Path) -> None:
    path = by_hand(data, HAND.replace("03-02", "02-27"))
    content = path.read_bytes()
    assert run(cli, order()).code == 0
    path.write_bytes(content)
    assert run(cli, order(client_intent_id="b")).code == 0
    assert files(data) == []
    assert len(list(data.glob("overrides/expired/*"))) == 1


def test_missing_data_is_never_overridden(cli: Command, data: Path) -> None:
    written(cli, "--symbol", "SPY")
    done = run(cli, order(**LARGE, notional=None) | {"qty": None, "notional": 500})
    assert done.json["decisions"]["by_reason"] == {"risk_data_unavailable": 1}


def test_an_intent_that_is_judged_without_a_run_passes_as_well(
    cli: Command, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine import DryRunBroker, ExecutionEngine, OrderIntent

    written(cli, "--symbol", "SPY")
    engine = ExecutionEngine(broker=DryRunBroker(), broker_name="alpaca", dry_run=True)
    intent = OrderIntent(strategy_id="s", broker_account_id="paper", symbol="SPY", side="buy", qty=500)
    engine.risk.clock = lambda: MONDAY
    assert engine.risk.validate(intent=intent).allowed
    engine.risk.clock = lambda: MONDAY + timedelta(days=1)
    assert not engine.risk.validate(intent=intent).allowed


def test_a_session_is_a_date(cli: Command) -> None:
    with at():
        found = cli("override", "--rule", RULE, "--symbol", "SPY", *BY, "--json").json["override"]
    assert date.fromisoformat(found["expires_on"]) == MONDAY.date()
