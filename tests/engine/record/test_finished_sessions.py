"""Old sessions whose runs are all finished are looked at once, and again once anything in them changed."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RecordError
from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolders

FIRST = date(2026, 1, 5)
SESSIONS = 30


class Asked(LocalObjects):
    """Objects that count which folders they list."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.listed: Counter[str] = Counter()

    def folders(self, prefix: str) -> dict[str, str]:
        self.listed[prefix] += 1
        return super().folders(prefix)


@pytest.fixture
def runs(tmp_path: Path) -> RunFolders:
    runs = RunFolders(Asked(tmp_path))
    for number in range(SESSIONS):
        runs.create(day(number), "one", {}).write("manifest.json", {})
    return runs


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def looked_at(runs: RunFolders) -> list[str]:
    """Return the sessions that are looked at to find unfinished runs."""
    objects: Any = runs.objects
    objects.listed.clear()
    runs.unfinished()
    return sorted(key for key in objects.listed if key != "runs/")


def found(runs: RunFolders) -> list[tuple[date, str]]:
    return [(run.trading_date, run.run_id) for run in runs.unfinished()]


def test_without_anything_kept_every_session_is_looked_at(runs: RunFolders) -> None:
    assert len(looked_at(runs)) == SESSIONS


def test_once_finished_sessions_are_kept_only_the_newest_are_looked_at(runs: RunFolders) -> None:
    runs.keep_finished()
    assert looked_at(runs) == [f"runs/{day(number)}/" for number in range(SESSIONS - 10, SESSIONS)]
    assert found(runs) == []


def test_a_session_with_an_unfinished_run_is_never_kept_as_finished(runs: RunFolders) -> None:
    runs.create(day(3), "two", {})
    runs.keep_finished()
    assert found(runs) == [(day(3), "two")]
    assert len(looked_at(runs)) == 11


def test_a_run_that_is_put_into_a_kept_session_is_found(runs: RunFolders) -> None:
    runs.keep_finished()
    runs.create(day(3), "two", {})
    assert found(runs) == [(day(3), "two")]


def test_a_kept_session_that_is_replaced_by_a_copy_is_looked_at_again(
    runs: RunFolders, tmp_path: Path
) -> None:
    runs.keep_finished()
    place = tmp_path / "runs" / day(3).isoformat()
    place.rename(tmp_path / "elsewhere")
    runs.create(day(3), "one", {})
    assert found(runs) == [(day(3), "one")]


def test_sessions_are_kept_again_only_once_several_are_new(runs: RunFolders, tmp_path: Path) -> None:
    runs.keep_finished()
    (kept,) = (tmp_path / "finished").iterdir()
    for number in range(SESSIONS, SESSIONS + 5):
        assert list((tmp_path / "finished").iterdir()) == [kept]
        runs.create(day(number), "one", {}).write("manifest.json", {})
        runs.keep_finished()
    (anew,) = (tmp_path / "finished").iterdir()
    assert anew != kept
    assert len(looked_at(runs)) == 10


def test_what_is_kept_may_be_removed_or_damaged_and_costs_a_look(runs: RunFolders, tmp_path: Path) -> None:
    runs.keep_finished()
    (kept,) = (tmp_path / "finished").iterdir()
    content = kept.read_bytes()
    kept.write_bytes(content.replace(b"2026-01-05", b"2026-01-06"))
    assert len(looked_at(runs)) == SESSIONS
    kept.unlink()
    assert len(looked_at(runs)) == SESSIONS
    runs.keep_finished()
    assert len(looked_at(runs)) == 10


def test_where_nothing_can_be_kept_runs_are_found_as_before(runs: RunFolders, tmp_path: Path) -> None:
    (tmp_path / "finished").write_text("in the way")
    runs.keep_finished()
    runs.create(day(3), "two", {})
    assert found(runs) == [(day(3), "two")]


def test_a_recent_session_that_cannot_be_listed_stops_the_search(runs: RunFolders, tmp_path: Path) -> None:
    runs.keep_finished()
    newest = tmp_path / "runs" / day(SESSIONS).isoformat()
    newest.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="is a link"):
        runs.unfinished()
