from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolder, RunFolders
from jobs.finding import Found, find
from tests.desk import Desk, order

NEWEST = date(2026, 6, 1)
SESSIONS = 5


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path / "data")
    for number in range(SESSIONS):
        rows = [order(client_intent_id=f"intent-{number}-{row}", symbol=f"S{number}") for row in range(3)]
        desk.drop(f"file-{number}.jsonl", *rows, {"symbol": f"BAD{number}"})
        desk.run()
        desk.later(days=7)
    return desk


class Watched(LocalObjects):
    """Objects that note which of the runs' files are read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.seen: list[str] = []

    def read(self, key: str) -> bytes:
        self.seen.append(key)
        return super().read(key)


def found(desk: Desk, text: str, objects: LocalObjects | None = None) -> Found:
    folders = RunFolders(objects or LocalObjects(desk.data))
    return find(text, folders, newest=NEWEST, symbol=text)


def keys(answer: Found) -> set[str]:
    """Return the keys of the runs that have what was found."""
    return {run.key for run, _ in answer.intents} | {one.folder.key for one in answer.aside}


def sessions_read(desk: Desk, text: str) -> set[str]:
    objects = Watched(desk.data)
    found(desk, text, objects)
    return {key.split("/")[1] for key in objects.seen if key.startswith("runs/")}


@pytest.fixture
def runs(desk: Desk) -> list[RunFolder]:
    assert not found(desk, "nothing-like-it")  # after which the names of all sessions are kept
    return RunFolders(LocalObjects(desk.data)).all()


@pytest.mark.parametrize("text", ["intent-0-1", "intent-0", "file-0.jsonl:2", "S0", "BAD0"])
def test_of_sessions_that_were_read_before_only_the_one_that_has_it_is_read_again(
    desk: Desk, runs: list[RunFolder], text: str
) -> None:
    assert sessions_read(desk, text) == {runs[0].trading_date.isoformat()}
    answer = found(desk, text)
    assert keys(answer) == {runs[0].key}


def test_a_run_that_was_moved_away_is_found_no_more_and_found_again_where_it_is_put_back(
    desk: Desk, runs: list[RunFolder]
) -> None:
    place, elsewhere = desk.data / runs[0].key, desk.data.parent / "elsewhere"
    shutil.move(place, elsewhere)
    assert not found(desk, "intent-0-1")
    shutil.copytree(elsewhere, place)
    assert keys(found(desk, "intent-0-1")) == {runs[0].key}
    other = desk.data / "runs" / runs[1].trading_date.isoformat() / "another"
    shutil.move(place, other)
    assert keys(found(desk, "intent-0-1")) == {f"runs/{runs[1].trading_date}/another/"}


@pytest.mark.parametrize("content", [b"", b"0123456789abcdef\nother\n", b"\xff"])
def test_names_that_are_damaged_are_not_believed(desk: Desk, runs: list[RunFolder], content: bytes) -> None:
    for path in (desk.data / "names").rglob("*.txt"):
        path.write_bytes(content)
    assert keys(found(desk, "intent-0-1")) == {runs[0].key}


def test_names_of_another_session_are_not_believed(desk: Desk, runs: list[RunFolder]) -> None:
    first, second, *_ = sorted((desk.data / "names").rglob("*.txt"))
    first.write_bytes(second.read_bytes())
    assert keys(found(desk, "intent-0-1")) == {runs[0].key}


def test_a_beginning_that_several_sessions_have_is_of_the_newest(desk: Desk, runs: list[RunFolder]) -> None:
    assert keys(found(desk, "intent-")) == {runs[-1].key}


def test_names_of_a_session_with_an_unfinished_run_are_not_kept(desk: Desk) -> None:
    begun = desk.begin()
    assert not found(desk, "nothing-like-it")
    assert not (desk.data / "names" / begun.trading_date.isoformat()).exists()
    assert (desk.data / "names").exists()
