from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine.context import RunContext
from engine.errors import AlreadyWritten, ConfigurationError, RecordError, RunStopped, UsageError
from engine.record.formats import file_hash
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run.manifest import code_version
from engine.run.stages import STAGES, finish
from engine.run.starting import start
from engine.safety.kill_switch import KillSwitch
from engine.settings.variables import RunSettings
from tests.desk import NOON, SESSION, Desk, Row, off, on, order, outcomes, reasons, rows_of, statuses
from tests.engine.risk.limits_file.files import of_book

FILES = [
    "run.json",
    "collected.json",
    "intents.parquet",
    "positions.parquet",
    "daily_trades.parquet",
    "working_orders.parquet",
    "unreconciled.parquet",
    "inputs.json",
    "utilisation.parquet",
    "decisions.parquet",
    "results.parquet",
    "manifest.json",
]
SEALS = [stage.seal for stage in STAGES]
CANCEL = order(action="cancel", target_intent_id="x", symbol=None, side=None, qty=None)


def manifest(folder: RunFolder) -> dict[str, Any]:
    return folder.json("manifest.json")


def again(folder: RunFolder) -> RunFolder:
    """Return the same run as another job finds it."""
    return RunFolder(folder.objects, folder.trading_date, folder.run_id)


def drop_some(desk: Desk) -> None:
    desk.hold(SPY=50)
    desk.drop("a.csv", order(), order(qty=80), order(qty=0))
    desk.drop("torn.json", content=b"[")
    desk.drop("desk/b.json", order(), order(symbol="QQQ", client_intent_id="x"), CANCEL)


# --- a whole run


def test_a_run_is_a_folder_of_its_session_with_one_file_per_stage(desk: Desk) -> None:
    drop_some(desk)
    folder = desk.run()
    assert folder.key == f"runs/{SESSION}/20260302T170000Z-test/"
    assert folder.names() == set(FILES)


def test_a_run_writes_its_files_in_the_order_of_the_stages_and_each_once(desk: Desk) -> None:
    written: list[str] = []

    class Noting:
        def __init__(self) -> None:
            self.real = desk.context().objects

        def put(self, key: str, content: Any) -> None:
            written.append(key)
            self.real.put(key, content)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    drop_some(desk)
    context = desk.context(objects=Noting())
    folder = start(desk.settings(), RiskConfig(), context, slot="test")
    finish(folder, context)
    assert [key.removeprefix(folder.key) for key in written if key.startswith("runs/")] == FILES
    assert len(written) == len(set(written))


def test_two_runs_of_one_second_are_two_folders(desk: Desk) -> None:
    first, second = desk.begin(), desk.begin()
    assert (first.run_id, second.run_id) == ("20260302T170000Z-test", "20260302T170000Z-test-2")


def test_a_run_belongs_to_the_session_of_its_timestamp(desk: Desk) -> None:
    desk.now = datetime(2026, 3, 7, 15, tzinfo=UTC)  # a Saturday
    assert desk.begin().trading_date.isoformat() == "2026-03-09"


@pytest.mark.filterwarnings("ignore:Series.values returning:pandas.errors.Pandas4Warning")
def test_a_run_with_another_calendar_has_its_sessions(desk: Desk) -> None:
    desk.now = datetime(2026, 5, 25, 15, tzinfo=UTC)  # Memorial Day in New York, a bank holiday in London
    assert desk.begin().trading_date.isoformat() == "2026-05-26"
    assert desk.begin(EXEC_CALENDAR="XTKS").trading_date.isoformat() == "2026-05-25"


def test_a_run_says_what_became_of_every_row(desk: Desk) -> None:
    drop_some(desk)
    assert outcomes(desk.run()) == [
        ("dry_run", "ok"),
        ("rejected", "max_position_size_exceeded"),
        ("dry_run", "ok"),
        ("dry_run", "ok"),
    ]


# --- the manifest


def test_the_manifest_counts_what_came_in_and_what_became_of_it(desk: Desk) -> None:
    drop_some(desk)
    desk.drop("again.csv", order(), age_s=50)
    said = manifest(desk.run())
    assert said["rows"] == {"dropped": 8, "batched": 4, "quarantined": 2, "duplicate": 2}
    assert said["decisions"] == {"allowed": 3, "refused": 1, "by_reason": {"max_position_size_exceeded": 1}}
    assert said["results"] == {"by_status": {"dry_run": 3, "rejected": 1}, "by_order_status": {}}
    assert said["orders"] == {"sent": 0, "adopted": 0}
    assert said["fills"] == 0


def test_the_manifest_says_which_run_it_ends_and_how(desk: Desk) -> None:
    folder = desk.begin()
    desk.later(seconds=3)
    finish(folder, desk.context())
    said = manifest(folder)
    assert {key: said[key] for key in ("run_id", "trading_date", "mode", "exit_code", "code_version")} == {
        "run_id": folder.run_id,
        "trading_date": SESSION,
        "mode": "dry",
        "exit_code": 0,
        "code_version": code_version(),
    }
    assert said["finished_at"] == desk.now.isoformat()


def test_the_manifest_has_the_hash_of_every_other_file_of_the_run(desk: Desk) -> None:
    drop_some(desk)
    folder = desk.run()
    now = {name: file_hash(name, folder.objects.read(folder.key + name)) for name in FILES[:-1]}
    assert manifest(folder)["content"] == now


def test_the_manifest_states_the_identities_of_conservation_and_that_they_hold(desk: Desk) -> None:
    drop_some(desk)
    identities = manifest(desk.run())["identities"]
    assert {identity["name"]: (identity["left"], identity["right"]) for identity in identities} == {
        "rows dropped = batched + quarantined + duplicate": (7, 7),
        "rows batched = rows of the sealed batch": (4, 4),
        "rows batched = decisions": (4, 4),
        "decisions = results": (4, 4),
        "allowed = sent + explained": (3, 3),
    }
    assert all(identity["holds"] for identity in identities)


def cut_to(name: str, rows: int) -> Callable[[RunFolder], None]:
    """Make a table of a run shorter, as no stage ever would."""

    def cut(folder: RunFolder) -> None:
        table = folder.table(name)
        folder.remove(name)
        folder.write(name, table.slice(0, rows))

    return cut


def forget_a_row(folder: RunFolder) -> None:
    collected = folder.json("collected.json")
    folder.remove("collected.json")
    collected["rows"]["dropped"] += 1
    folder.write("collected.json", collected)


@pytest.mark.parametrize(
    ("damage", "broken"),
    [
        (forget_a_row, "rows dropped = batched + quarantined + duplicate"),
        (cut_to("results.parquet", 3), "decisions = results"),
        (cut_to("decisions.parquet", 3), "rows batched = decisions"),
        (cut_to("intents.parquet", 3), "rows batched = rows of the sealed batch"),
    ],
)
def test_a_run_that_does_not_add_up_says_so_and_exits_with_4(
    desk: Desk, damage: Callable[[RunFolder], None], broken: str
) -> None:
    drop_some(desk)
    folder = desk.begin()
    finish(folder, desk.context(), until="results.parquet")
    damage(folder)
    finish(again(folder), desk.context())
    said = manifest(folder)
    assert said["exit_code"] == 4
    assert broken in [identity["name"] for identity in said["identities"] if not identity["holds"]]
    assert broken in [event["identity"] for event in desk.events("identity_failed")]
    assert {event["severity"] for event in desk.events("identity_failed")} == {"CRITICAL"}


def test_a_run_that_does_not_add_up_exits_with_4_even_where_it_was_halted(desk: Desk) -> None:
    drop_some(desk)
    folder = desk.begin()
    finish(folder, desk.context(kill_switch=on), until="results.parquet")
    forget_a_row(folder)
    finish(folder, desk.context())
    assert manifest(folder)["exit_code"] == 4


# --- a run that is resumed


@pytest.mark.parametrize("seal", SEALS[:-1])
def test_a_run_that_is_resumed_after_any_stage_gives_what_an_undisturbed_one_gives(
    tmp_path: Path, seal: str
) -> None:
    contents = []
    for name in ("undisturbed", "resumed"):
        desk = Desk(tmp_path / "data")  # the record says where its stores are
        drop_some(desk)
        folder = desk.begin()
        if name == "resumed":
            finish(folder, desk.context(), until=seal)
        finish(again(folder), desk.context())
        content = manifest(folder)["content"]
        contents.append({name: content[name] for name in content if name != "collected.json"})  # inodes
        assert manifest(folder)["rows"]["dropped"] == 7
        assert desk.left() == []
        desk.data.rename(tmp_path / name)
    assert contents[0] == contents[1]


@pytest.mark.parametrize("seal", SEALS)
def test_sealed_files_are_not_written_again(desk: Desk, seal: str) -> None:
    drop_some(desk)
    folder = desk.begin()
    finish(folder, desk.context(), until=seal)
    before = {path: path.stat().st_mtime_ns for path in (desk.data / folder.key).iterdir()}
    finish(again(folder), desk.context())
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_an_interrupted_stage_wrote_is_made_again(desk: Desk) -> None:
    desk.drop("a.json", order(qty=60))
    folder = desk.begin()
    finish(folder, desk.context(), until="intents.parquet")
    desk.hold(SPY=50)
    store = desk.store
    stale = pd.DataFrame({"broker_account_id": ["paper"], "symbol": ["SPY"], "qty": [0.0]})
    stale.to_parquet(desk.data / folder.key / "positions.parquet")
    finish(again(folder), desk.context(positions=store))
    assert reasons(folder) == ["max_position_size_exceeded"]


def test_a_stage_that_meets_a_file_it_did_not_expect_never_writes_over_it(desk: Desk) -> None:
    desk.drop("a.json", order())
    folder = desk.begin()
    finish(folder, desk.context(), until="inputs.json")
    stage = next(stage for stage in STAGES if stage.seal == "decisions.parquet")
    stage.do(folder, desk.context())
    with pytest.raises(AlreadyWritten):
        stage.do(folder, desk.context())


def test_the_limits_of_a_resumed_run_are_those_it_was_started_with(desk: Desk) -> None:
    desk.drop("a.json", order(qty=60))
    folder = desk.begin(RiskConfig(max_position_qty=50))
    finish(folder, desk.context())  # finish is given no limits at all: they are in the folder
    assert reasons(folder) == ["max_position_size_exceeded"]
    assert folder.start["config"]["max_position_qty"] == 50


def test_a_resumed_run_judges_by_the_time_at_which_it_was_started(desk: Desk) -> None:
    desk.drop("a.json", order(valid_until="2026-03-02T17:00:30Z"))
    folder = desk.begin()
    desk.later(minutes=1)
    finish(again(folder), desk.context())
    decision = folder.table("decisions.parquet").to_pandas()
    assert decision["check_intent_expired"].tolist() == ["pass"]
    assert outcomes(folder) == [("expired", "intent_expired")]


def test_run_json_fixes_all_that_a_resumed_run_must_not_change(desk: Desk) -> None:
    config = RiskConfig(
        max_position_qty=7, accounts=frozenset({"b", "a"}), fail_open=True, intent_max_age_s=9
    )
    folder = desk.begin(
        config, EXEC_DECISION_MAX_AGE_S="5", EXEC_POSITIONS_MAX_AGE_S="6", EXEC_INBOX_MAX_ROWS="7"
    )
    said = folder.start
    assert (said["mode"], said["accounts"], said["hosts"]) == ("dry", ["a", "b"], [])
    assert said["as_of"] == NOON.isoformat()
    assert said["config"] == {
        "max_position_qty": 7,
        "max_daily_trades": 50,
        "fail_open": True,
        "position_projection": "worst_case",
        "intent_max_age_s": 9,
        "accounts": ["a", "b"],
    }
    assert said["settings"] == {
        "calendar": "XNYS",
        "inbox_settle_s": 2.0,
        "decision_max_age_s": 5.0,
        "positions_max_age_s": 6.0,
        "inbox_tz": None,
        "prices": {
            "source": None,
            "feed": "sip",
            "data_host": "https://data.alpaca.markets",
            "volumes": None,
        },
        "intake": {
            "max_file_bytes": 268435456,
            "max_unpacked_bytes": 536870912,
            "max_rows": 7,
            "max_columns": 1_000,
            "max_keys": 10_000,
            "max_refused_rows": 50_000,
            "max_depth": 16,
            "max_total_bytes": 536870912,
            "max_files": 10_000,
        },
    }


# --- what a resumed run no longer acts on


def decided(desk: Desk, *rows: Row, max_age_s: str = "900") -> RunFolder:
    """Bring a run to its sealed decisions."""
    desk.drop("a.json", *rows)
    folder = desk.begin(EXEC_DECISION_MAX_AGE_S=max_age_s)
    finish(folder, desk.context(), until="decisions.parquet")
    return folder


@pytest.mark.parametrize(("seconds", "status"), [(900, "dry_run"), (900.001, "expired")])
def test_a_decision_older_than_the_limit_is_not_acted_on(desk: Desk, seconds: float, status: str) -> None:
    folder = decided(desk, order(), order(qty=500))
    desk.later(seconds=seconds)
    finish(folder, desk.context())
    assert statuses(folder) == [status, "rejected"]
    assert manifest(folder)["exit_code"] == 0


def test_the_age_of_decisions_is_a_setting_of_the_run_that_made_them(desk: Desk) -> None:
    folder = decided(desk, order(), max_age_s="10")
    desk.later(seconds=11)
    finish(folder, desk.context())
    assert outcomes(folder) == [("expired", "decision_expired")]


def test_the_longest_age_of_decisions_that_can_be_set_does_no_harm(desk: Desk) -> None:
    folder = decided(desk, order(), max_age_s="1e9")
    finish(folder, desk.context())
    assert statuses(folder) == ["dry_run"]


def test_decisions_of_a_session_that_has_ended_are_not_acted_on(desk: Desk) -> None:
    desk.now = datetime(2026, 3, 3, 0, 55, tzinfo=UTC)  # 19:55 in New York
    folder = decided(desk, order())
    desk.later(minutes=5)
    finish(folder, desk.context())
    assert outcomes(folder) == [("expired", "decision_expired")]


def test_an_intent_whose_valid_until_passed_since_it_was_decided_is_not_acted_on(desk: Desk) -> None:
    folder = decided(desk, order(valid_until="2026-03-02T17:00:30Z"), order(symbol="QQQ"))
    desk.later(seconds=31)
    finish(folder, desk.context())
    assert outcomes(folder) == [("expired", "intent_expired"), ("dry_run", "ok")]


def test_an_intent_that_grew_too_old_since_it_was_judged_is_not_acted_on(desk: Desk) -> None:
    desk.drop("a.json", order(), age_s=30)
    folder = desk.begin(RiskConfig(intent_max_age_s=60))
    finish(folder, desk.context(), until="intents.parquet")
    desk.later(minutes=5)  # the decision, made now as of then, is new; the intent isn't
    finish(again(folder), desk.context())
    assert outcomes(folder) == [("expired", "intent_expired")]


def test_an_intent_that_grew_older_than_the_limits_file_allows_is_not_acted_on(desk: Desk) -> None:
    desk.drop("a.json", order(), age_s=30)
    folder = desk.begin(RiskConfig(limits_file=of_book("[limits]\nintent_max_age_s = 60")))
    finish(folder, desk.context(), until="intents.parquet")
    desk.later(minutes=5)
    finish(again(folder), desk.context())
    assert outcomes(folder) == [("expired", "intent_expired")]


# --- kill switch


@pytest.mark.parametrize("source", ["env", "file"])
def test_a_kill_switch_that_is_on_refuses_every_order_and_the_run_ends_with_3(
    desk: Desk, tmp_path: Path, source: str
) -> None:
    (tmp_path / "switch").write_text("1\n")
    env = (
        {"EXECUTION_HALTED": "1"} if source == "env" else {"EXECUTION_HALTED_FILE": str(tmp_path / "switch")}
    )
    desk.drop("a.json", order(), order(qty=500), CANCEL)
    folder = desk.run(context=desk.context(kill_switch=KillSwitch.from_env(env).read))
    assert outcomes(folder) == [
        ("rejected", "kill_switch_enabled"),
        ("rejected", "kill_switch_enabled"),
        ("dry_run", "ok"),
    ]
    assert manifest(folder)["exit_code"] == 3
    (event,) = desk.events("kill_switch_on")
    assert "The kill switch is on" in event["message"]


def test_a_kill_switch_that_goes_on_after_deciding_halts_the_orders_and_the_run_ends_with_3(
    desk: Desk,
) -> None:
    folder = decided(desk, order(), order(qty=500))
    finish(folder, desk.context(kill_switch=on))
    assert outcomes(folder) == [
        ("halted", "kill_switch_enabled"),
        ("rejected", "max_position_size_exceeded"),
    ]
    assert manifest(folder)["exit_code"] == 3


def test_a_kill_switch_that_goes_off_after_deciding_changes_no_decision(desk: Desk) -> None:
    desk.drop("a.json", order())
    answers = iter([on(), off(), off()])
    folder = desk.run(context=desk.context(kill_switch=lambda: next(answers)))
    assert reasons(folder) == ["kill_switch_enabled"]


def test_a_kill_switch_that_is_on_ends_even_an_empty_run_with_3(desk: Desk) -> None:
    assert manifest(desk.run(context=desk.context(kill_switch=on)))["exit_code"] == 3


# --- SIGTERM


def asked_to_stop_after(asks: int) -> Callable[[], bool]:
    count = iter(range(100))
    return lambda: next(count) >= asks


@pytest.mark.parametrize("stages", range(len(STAGES)))
def test_a_run_that_is_asked_to_stop_does_so_before_the_next_stage_and_can_be_resumed(
    desk: Desk, stages: int
) -> None:
    drop_some(desk)
    folder = desk.begin()
    with pytest.raises(RunStopped, match=f"Stopped before {SEALS[stages]} of run {folder.run_id}") as stopped:
        finish(folder, desk.context(stopping=asked_to_stop_after(stages)))
    assert stopped.value.exit_code == 1
    assert [seal for seal in SEALS if seal in folder.names()] == SEALS[:stages]
    finish(again(folder), desk.context())
    assert statuses(folder) == ["dry_run", "rejected", "dry_run", "dry_run"]


# --- a damaged folder


@pytest.mark.parametrize("name", FILES[:-1])
@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_damaged_file_of_an_unfinished_run_is_named(desk: Desk, name: str, content: bytes) -> None:
    drop_some(desk)
    folder = desk.begin()
    finish(folder, desk.context(), until="results.parquet")
    (desk.data / folder.key / name).write_bytes(content)
    with pytest.raises(RecordError, match=rf"{folder.key}{name} is damaged"):
        finish(again(folder), desk.context())
    assert "manifest.json" not in folder.names()


@pytest.mark.parametrize("name", ["manifest.json", "results.parquet", "intents.parquet"])
def test_a_damaged_file_of_an_earlier_run_of_the_day_is_named(desk: Desk, name: str) -> None:
    drop_some(desk)
    earlier = desk.run()
    (desk.data / earlier.key / name).write_bytes(b"garbage")
    desk.drop("later.json", order(qty=3))
    with pytest.raises(RecordError, match=rf"{earlier.key}{name} is damaged"):
        desk.run()
    assert desk.left() == ["later.json"]


def test_a_missing_file_of_an_earlier_run_of_the_day_is_named(desk: Desk) -> None:
    drop_some(desk)
    earlier = desk.run()
    (desk.data / earlier.key / "results.parquet").unlink()
    desk.drop("more.json", order(symbol="QQQ"))
    with pytest.raises(RecordError, match=rf"{earlier.key}results\.parquet can't be read"):
        desk.run()


# --- what can't be started


@pytest.mark.parametrize("slot", ["", "Open", "a b", "-a", "a/b", "a" * 33, "ä"])
def test_a_slot_that_is_no_name_is_refused(desk: Desk, slot: str) -> None:
    with pytest.raises(UsageError, match="slot is"):
        desk.begin(slot=slot)
    assert not desk.data.exists()


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({}, "DATABASE_URL .* and FIREBASE_PROJECT_ID .* are not set"),
        ({"EXEC_STORE": "embedded", "CLOUD_RUN_JOB": "engine"}, "which is lost when the job ends"),
    ],
)
def test_a_live_run_is_refused_before_anything_is_touched(desk: Desk, env: dict[str, str], why: str) -> None:
    settings = RunSettings.from_env({"EXEC_DATA_DIR": str(desk.data), "EXEC_DRY_RUN": "0", **env})
    with pytest.raises(ConfigurationError, match=why):
        start(settings, RiskConfig(), desk.context())
    assert not desk.data.exists()


def test_a_live_run_without_a_venue_is_a_mistake_of_the_caller(desk: Desk) -> None:
    with pytest.raises(UsageError, match="needs connections to its brokers"):
        desk.begin(EXEC_DRY_RUN="0", EXEC_STORE="embedded")
    assert not desk.data.exists()


def test_a_calendar_that_does_not_exist_is_refused_with_a_suggestion(desk: Desk) -> None:
    with pytest.raises(ConfigurationError, match=r"EXEC_CALENDAR is 'XNYZ'.*Did you mean"):
        desk.begin(EXEC_CALENDAR="XNYZ")
    assert not desk.data.exists()


# --- events


def test_every_event_of_a_run_carries_its_id(desk: Desk) -> None:
    drop_some(desk)
    folder = desk.run()
    lines = [json.loads(line) for line in desk.logged.getvalue().splitlines()]
    assert {line["run_id"] for line in lines} == {folder.run_id}
    assert [line["event"] for line in (lines[0], lines[-1])] == ["run_started", "run_finished"]
    assert {line["event"] for line in lines} == {
        "run_started",
        "intent_received",
        "intent_quarantined",
        "intent_duplicate",
        "risk_decision",
        "dry_run_accept",
        "run_finished",
    }


def test_every_order_that_would_be_sent_is_logged(desk: Desk) -> None:
    drop_some(desk)
    folder = desk.run()
    results = folder.table("results.parquet", ["client_intent_id", "status"]).to_pandas()
    sent = results["client_intent_id"][results["status"] == "dry_run"].tolist()
    assert [event["intent_id"] for event in desk.events("dry_run_accept")] == sent


def test_progress_is_reported_step_by_step(desk: Desk) -> None:
    told: list[tuple[str, int, int]] = []
    desk.drop("a.json", order())
    desk.run(context=desk.context(progress=lambda *step: told.append(step)))
    assert told[0] == ("reading files", 0, 1)
    assert [step for step in told if step[1] == step[2]] == [
        ("reading files", 1, 1),
        ("reading positions and counts", 1, 1),
        ("deciding", 1, 1),
        ("writing results", 1, 1),
    ]


def test_a_world_is_not_changed_by_a_run(desk: Desk) -> None:
    context: RunContext = desk.context()
    desk.run(context=context)
    assert replace(context) == context
    assert rows_of(desk.run(context=context))["dropped"] == 0
