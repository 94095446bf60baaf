"""Whatever lies in the inbox, as root and as a user whom permissions stop; see ``tests.engine.odd_trees``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.stores.inbox.folders import can_be_removed, folder_of, status_of
from tests.engine.odd_trees import LONGEST_S, TooLong, watchdog
from tests.servers import Account

EXAMPLES = 30


def tried(folder: Path, examples: int, seed: int, *uid: int) -> None:
    """Try trees in a process of its own."""
    said = [str(folder), str(examples), str(seed), *map(str, uid)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.odd_trees", *said],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]


@pytest.mark.parametrize("examples", [EXAMPLES, pytest.param(10 * EXAMPLES, marks=pytest.mark.soak)])
def test_beside_whatever_lies_in_the_inbox_the_good_file_is_traded(tmp_path: Path, examples: int) -> None:
    tried(tmp_path, examples, examples)


@pytest.mark.parametrize("examples", [EXAMPLES, pytest.param(10 * EXAMPLES, marks=pytest.mark.soak)])
def test_whatever_the_permissions_in_the_inbox_are_the_good_file_is_traded(examples: int) -> None:
    account = Account.unprivileged()
    with account.folder("tests-inbox-") as folder:
        tried(folder, examples, examples, account.uid)


def never_ends() -> None:
    while True:
        time.sleep(0.01)


def test_a_tree_that_would_never_end_fails_by_its_watchdog() -> None:
    begin = time.monotonic()
    with pytest.raises(TooLong, match="takes longer than"), watchdog(0.5):
        never_ends()
    assert time.monotonic() - begin < LONGEST_S
    with watchdog(LONGEST_S):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


KEPT = "could not be removed once it is taken"
THEIRS = ("theirs/a.json", "closed/b.json", "unreadable.json")
DENIED = {
    "theirs": (
        ["good.json"],
        {
            "theirs/a.json": KEPT,
            "closed/": "the folder can't be listed (Permission denied)",
            "unreadable.json": "it can't be read (Permission denied)",
        },
    ),
    "inbox": ([], dict.fromkeys(("good.json", *THEIRS), KEPT)),
    "sticky": (["good.json"], dict.fromkeys(THEIRS, KEPT)),
    "undeniable": (
        ["closed/b.json", "good.json", "theirs/a.json"],
        {"good.json": "it can't be removed (Permission denied)", "unreadable.json": KEPT},
    ),
}
"""By what permissions are like: the files that the first run takes, and what each run leaves."""


# Only root can give the inbox to another user. The rule of sticky folders has a test of its own, below.
MADE_BY_ANYONE = DENIED.keys() - {"sticky"}


@pytest.mark.parametrize("how", sorted(DENIED if os.geteuid() == 0 else MADE_BY_ANYONE))
def test_what_permissions_deny_is_left_and_named_by_each_run_and_never_traded_twice(
    how: str,
) -> None:
    taken, blocked = DENIED[how]
    account = Account.unprivileged()
    with account.folder("tests-inbox-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.engine.denied_job", str(folder), str(account.uid), how],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-5000:]
    runs = json.loads(done.stdout)
    assert [run["taken"] for run in runs] == [taken, [], []]
    assert [run["exit_code"] for run in runs] == [4, 4, 4]
    for run in runs:
        assert {name: kind for name, (kind, _) in run["left"].items()} == dict.fromkeys(blocked, "blocked")
        assert all(why in run["left"][name][1] for name, why in blocked.items())


@pytest.mark.parametrize(
    ("mode", "who", "expected"),
    [
        (0o1777, 0, True),
        (0o1777, 1, False),
        (0o777, 1, True),
    ],
)
def test_in_a_sticky_folder_only_the_owner_of_a_file_may_remove_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, who: int, expected: bool
) -> None:
    (tmp_path / "a.json").touch()
    tmp_path.chmod(mode)
    us = os.geteuid()
    with folder_of(tmp_path, "a.json") as within:
        status = status_of("a.json", within=within)
        monkeypatch.setattr("os.geteuid", lambda: us + who)
        assert can_be_removed(status, within=within) is expected
