"""A record that was changed, removed, rewritten or cut off is named, and an untouched one is not."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet  # noqa: F401 - it is not imported by halves while the clock is frozen
import pytest
from freezegun import freeze_time

from engine.record.links import NO_ACCOUNT
from tests.desk import SESSION, order
from tests.jobs.command_line import Command, jsonl

Tamper = Callable[[list[Path]], object]


@pytest.fixture
def runs(cli: Command, data: Path) -> list[Path]:
    """Three runs: of two accounts, of one, of both; and one without an order."""
    for qty, accounts in enumerate((("paper", "other"), ("paper",), ("paper", "other"), ()), start=1):
        if accounts:
            cli("drop", stdin=jsonl(*(order(broker_account_id=name, qty=qty) for name in accounts)))
        with freeze_time(f"2026-03-02T15:0{qty}:00Z", tick=True):
            assert cli("run").code == 0
    return sorted(path.parent for path in data.glob("runs/*/*/manifest.json"))


def verified(cli: Command) -> dict[str, Any]:
    done = cli("verify", "--json")
    found: dict[str, Any] = done.json
    assert done.code == found["exit_code"] == (4 if found["findings"] else 0)
    return found


def kinds(cli: Command) -> set[tuple[str, str]]:
    return {(one["kind"], one["run"].partition("/")[2]) for one in verified(cli)["findings"]}


def test_an_untouched_record_is_verified(cli: Command, runs: list[Path]) -> None:
    found = verified(cli)
    assert (found["runs"], found["accounts"], found["findings"]) == (4, [NO_ACCOUNT, "other", "paper"], [])
    said = cli("verify")
    assert (said.code, "4 finished runs verified" in said.out, "Nothing is changed" in said.out) == (
        0,
        True,
        True,
    )


def test_each_manifest_names_the_one_before_it_in_each_account(runs: list[Path]) -> None:
    chains = [json.loads((run / "manifest.json").read_text())["chain"] for run in runs]
    first, second, third, empty = (f"{run.parent.name}/{run.name}" for run in runs)
    assert chains[0] == {"other": None, "paper": None}
    assert {account: link["run"] for account, link in chains[1].items()} == {"paper": first}
    assert {account: link["run"] for account, link in chains[2].items()} == {"other": first, "paper": second}
    assert chains[3] == {NO_ACCOUNT: None}
    assert third != empty


def metadata_flipped(runs: list[Path]) -> None:
    """Change a byte that no value of the table depends on: the writer's name at the end of the file."""
    path = runs[1] / "decisions.parquet"
    content = path.read_bytes()
    place = content.rindex(b"parquet-cpp-arrow")
    path.write_bytes(content[:place] + b"P" + content[place + 1 :])


def rewritten(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["orders"]["sent"] += 1
    (run / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (metadata_flipped, {("changed", 1)}),
        (lambda runs: (runs[1] / "results.parquet").unlink(), {("missing", 1)}),
        (lambda runs: (runs[1] / "more.txt").write_text("x"), {("added", 1)}),
        (lambda runs: rewritten(runs[1]), {("rewritten", 1)}),
        (lambda runs: rewritten(runs[2]), {("rewritten", 2)}),  # the newest: only the store knows
        (lambda runs: (runs[1] / "manifest.json").write_text("{"), {("changed", 1), ("rewritten", 1)}),
        (lambda runs: shutil.rmtree(runs[1]), {("missing", 1)}),
        (lambda runs: shutil.rmtree(runs[2]), {("cut_off", 2)}),
        (lambda runs: shutil.rmtree(runs[3]), {("cut_off", 3)}),
        (lambda runs: (runs[1] / "manifest.json").unlink(), {("missing", 1)}),
    ],
)
def test_what_was_done_to_a_run_is_named(
    cli: Command, runs: list[Path], tamper: Tamper, expected: set[tuple[str, int]]
) -> None:
    tamper(runs)
    assert kinds(cli) == {(kind, runs[place].name) for kind, place in expected}


def test_a_copy_of_a_run_under_another_name_is_found(cli: Command, runs: list[Path]) -> None:
    copy = runs[2].with_name(f"{runs[2].name}-copy")
    shutil.copytree(runs[2], copy)
    assert {kind for kind, _ in kinds(cli)} == {"forked", "added"}


def test_a_run_that_was_removed_stays_missing_however_many_follow(cli: Command, runs: list[Path]) -> None:
    shutil.rmtree(runs[2])
    cli("drop", stdin=jsonl(order(qty=8)))
    assert cli("run").code == 0
    assert ("missing", runs[2].name) in kinds(cli)


def test_a_session_that_was_moved_away_is_noted_and_no_finding(cli: Command, runs: list[Path]) -> None:
    for qty in (20, 21):
        cli("drop", stdin=jsonl(order(qty=qty)))
        with freeze_time(f"2026-03-03T15:{qty}:00Z", tick=True):
            assert cli("run").code == 0
    shutil.rmtree(runs[0].parent)
    found = verified(cli)
    assert found["findings"] == []
    away = "was moved away with its session."
    assert [note.partition(";")[0] for note in found["notes"]] == [
        f"the newest run of runs without an order, {SESSION}/{runs[3].name}, {away}",
        f"the newest run of account other, {SESSION}/{runs[2].name}, {away}",
        "the record of account paper begins with run 2026-03-03/20260303T152000Z-adhoc",
    ]


def test_a_job_that_was_killed_before_its_manifest_breaks_nothing(cli: Command, runs: list[Path]) -> None:
    (runs[2] / "manifest.json").unlink()
    found = verified(cli)
    assert (found["findings"], len(found["unfinished"])) == ([], 1)
    assert cli("run").code == 0  # resumes it
    assert verified(cli)["findings"] == []


def test_a_store_that_lost_the_heads_is_named_and_the_next_run_links_again(
    cli: Command, data: Path, runs: list[Path]
) -> None:
    with sqlite3.connect(data / "engine.db") as store:
        removed = store.execute("DELETE FROM agent_documents WHERE name LIKE 'chain-%'").rowcount
    store.close()
    assert removed == 1
    assert {kind for kind, _ in kinds(cli)} == {"cut_off"}
    for accounts in (("paper", "other"), ()):
        if accounts:
            cli("drop", stdin=jsonl(*(order(broker_account_id=name, qty=9) for name in accounts)))
        assert cli("run").code == 0
    assert verified(cli)["findings"] == []


def test_a_store_that_can_not_keep_the_head_does_not_stop_a_run(
    cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.errors import EngineError
    from engine.safety.chain import Chain

    def down(*_: object) -> None:
        raise EngineError("the store is down")

    monkeypatch.setattr(Chain, "heads", down)
    done = cli("run")
    assert done.code == 0
    assert "chain_not_kept" in done.err
    monkeypatch.undo()
