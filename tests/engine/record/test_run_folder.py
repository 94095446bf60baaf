from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from engine.errors import AlreadyWritten, RecordError
from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolder, RunFolders

DAY = date(2026, 3, 2)
NEXT_DAY = date(2026, 3, 3)


@pytest.fixture
def runs(tmp_path: Path) -> RunFolders:
    return RunFolders(LocalObjects(tmp_path))


def ids(folders: list[RunFolder]) -> list[str]:
    return [folder.run_id for folder in folders]


def test_a_run_begins_as_a_folder_of_its_day_with_what_it_was_started_with(runs: RunFolders) -> None:
    folder = runs.create(DAY, "one", {"mode": "dry"})
    assert folder.key == "runs/2026-03-02/one/"
    assert folder.names() == {"run.json"}
    assert folder.start == {"run_id": "one", "mode": "dry"}


def test_a_run_id_that_is_taken_gets_a_suffix(runs: RunFolders) -> None:
    folders = [runs.create(DAY, "one", {"order": order}) for order in range(3)]
    assert ids(folders) == ["one", "one-2", "one-3"]
    assert [folder.start["run_id"] for folder in folders] == ["one", "one-2", "one-3"]
    assert [folder.start["order"] for folder in folders] == [0, 1, 2]


def test_the_same_run_id_is_free_on_another_day(runs: RunFolders) -> None:
    runs.create(DAY, "one", {})
    assert runs.create(NEXT_DAY, "one", {}).run_id == "one"


def test_all_runs_are_given_oldest_first(runs: RunFolders) -> None:
    for day, run_id in (
        (NEXT_DAY, "20260303T143000Z-a"),
        (DAY, "20260302T180000Z-a"),
        (DAY, "20260302T143000Z-b"),
    ):
        runs.create(day, run_id, {})
    assert ids(runs.all()) == ["20260302T143000Z-b", "20260302T180000Z-a", "20260303T143000Z-a"]


def test_runs_of_one_second_are_given_in_the_order_in_which_they_began(runs: RunFolders) -> None:
    begun = [runs.create(DAY, "20260302T143000Z-open", {}).run_id for _ in range(11)]
    assert begun[-1] == "20260302T143000Z-open-11"
    assert ids(runs.all()) == begun
    assert ids(runs.unfinished()) == begun


def test_the_runs_of_a_day_are_those_of_no_other(runs: RunFolders) -> None:
    runs.create(DAY, "one", {})
    runs.create(NEXT_DAY, "two", {})
    assert (ids(runs.of_day(DAY)), ids(runs.of_day(NEXT_DAY))) == (["one"], ["two"])
    assert runs.of_day(date(2026, 3, 4)) == []


def test_a_run_without_its_manifest_is_unfinished(runs: RunFolders) -> None:
    done, cut_off = runs.create(DAY, "one", {}), runs.create(DAY, "two", {})
    done.write("manifest.json", {})
    cut_off.write("decisions.parquet", pa.table({"allowed": [True]}))
    assert ids(runs.unfinished()) == ["two"]


def test_a_file_of_a_run_is_read_as_it_was_written(runs: RunFolders) -> None:
    folder = runs.create(DAY, "one", {})
    table = pa.table({"qty": [1.5, None], "symbol": ["SPY", ""]})
    folder.write("positions.parquet", table)
    assert folder.table("positions.parquet").equals(table)
    assert folder.table("positions.parquet", ["symbol"]).column_names == ["symbol"]


def test_a_file_of_a_run_is_written_once(runs: RunFolders) -> None:
    folder = runs.create(DAY, "one", {})
    folder.write("inputs.json", {"kill_switch": False})
    with pytest.raises(AlreadyWritten, match=r"one/inputs\.json exists already"):
        folder.write("inputs.json", {"kill_switch": True})
    assert folder.json("inputs.json") == {"kill_switch": False}


def test_a_draft_can_be_removed_and_written_anew(runs: RunFolders) -> None:
    folder = runs.create(DAY, "one", {})
    folder.write("collected.json", {"rows": 1})
    folder.remove("collected.json")
    folder.write("collected.json", {"rows": 2})
    assert folder.json("collected.json") == {"rows": 2}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_damaged_json_file_is_named(runs: RunFolders, content: bytes) -> None:
    folder = runs.create(DAY, "one", {})
    runs.objects.put(folder.key + "inputs.json", content)
    with pytest.raises(RecordError, match=r"runs/2026-03-02/one/inputs\.json is damaged"):
        folder.json("inputs.json")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"qty\n1\n"])
def test_a_damaged_table_is_named(runs: RunFolders, content: bytes) -> None:
    folder = runs.create(DAY, "one", {})
    runs.objects.put(folder.key + "positions.parquet", content)
    with pytest.raises(RecordError, match=r"runs/2026-03-02/one/positions\.parquet is damaged"):
        folder.table("positions.parquet")


def test_a_file_that_is_missing_is_named(runs: RunFolders) -> None:
    folder = runs.create(DAY, "one", {})
    with pytest.raises(RecordError, match=r"one/decisions\.parquet can't be read"):
        folder.table("decisions.parquet")


@pytest.mark.parametrize(
    "key", ["runs/backup/one/run.json", "runs/run.json", "runs/2026-03-02/copy/one/run.json"]
)
def test_a_folder_that_is_no_run_among_the_runs_is_named_with_what_to_do(runs: RunFolders, key: str) -> None:
    runs.objects.put(key, b"{}")
    with pytest.raises(RecordError, match=rf"{key} .* move the folder out of runs/"):
        runs.all()
