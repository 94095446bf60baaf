"""Inboxes of every odd kind, and runs over them: whatever lies there, the good file beside it is traded.

Run as ``python -m tests.engine.odd_trees FOLDER EXAMPLES SEED [UID]``: as another user permissions count,
which root doesn't feel. The process may have as much memory as ``ulimit -v 4000000`` gives, and a tree that
takes longer than a minute fails. Ends with 0 where no example failed.
"""

from __future__ import annotations

import faulthandler
import gzip
import io
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from tests.desk import Desk, content_of, order

LONGEST_S = 60.0
MEMORY_KIB = 4_000_000
SECRET = b"strategy_id,top-secret-text"
LIMITS = RiskConfig(max_daily_trades=1_000_000, max_position_qty=1e8)
OLD_S, YOUNG_S, FUTURE_S = 60.0, 0.5, -7200.0


@dataclass(frozen=True)
class Entry:
    """One thing that lies in an inbox: ``kind`` of a file or a link, and what it holds or points to."""

    kind: str
    name: bytes
    content: bytes = b""
    mode: int = 0o644
    age_s: float = OLD_S
    inside: tuple[Entry, ...] = ()


def _parquet() -> bytes:
    file = io.BytesIO()
    pd.DataFrame([order(qty=1.0), order(qty=2.0)]).to_parquet(file)
    return file.getvalue()


_ROWS = [order(qty=3), order(qty=0), order(symbol="QQQ", note="x" * 50)]
_WELL_FORMED = {
    ".json": content_of("a.json", _ROWS),
    ".jsonl": content_of("a.jsonl", _ROWS),
    ".csv": content_of("a.csv", _ROWS),
    ".parquet": _parquet(),
}
_HOSTILE = [
    b"",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"\x00" * 5_000,
    b"a," * 40_000 + b"\n",
    json.dumps({f"k{n}": n for n in range(20_000)}).encode(),
    gzip.compress(b"0" * (1 << 22)),
    b"PAR1" + b"\xff" * 100 + b"PAR1",
    b"strategy_id,symbol\n" + b'"' * 30_000,
]
_ENDINGS = [
    *_WELL_FORMED,
    ".json.gz",
    ".csv.gz",
    ".parquet.gz",
    ".txt",
    "",
    ".CSV",
    ".tmp",
    ".crdownload",
    "~",
]
_MODES = [0o644] * 6 + [0o000, 0o200, 0o400, 0o444, 0o555, 0o777, 0o1777, 0o4755]
_AGES = [OLD_S] * 6 + [YOUNG_S, FUTURE_S, 1e9]
_TARGETS = [
    b"good.json",
    b"nowhere",
    b".",
    b"..",
    b"/etc/passwd",
    b"/dev/zero",
    b"/dev/tty",
    b"../secret",
    b"/proc/self/mem",
]

_letters = st.binary(min_size=1, max_size=12).map(lambda name: name.replace(b"/", b"-").replace(b"\0", b"0"))
_words = st.sampled_from(
    ["a", "ümlaut", "b b", "n\nl", "\x1b[31m", "\u202e", ".hidden", "_x", "=cmd", "-rf", "n" * 190]
)
_stems = _letters | _words.map(str.encode)
_names = st.builds(lambda stem, ending: stem + ending.encode(), _stems, st.sampled_from(_ENDINGS)).filter(
    lambda name: name not in {b".", b".."} and len(name) < 250
)


@st.composite
def _contents(draw: st.DrawFn) -> bytes:
    content = draw(st.sampled_from([*_WELL_FORMED.values(), *_HOSTILE]) | st.binary(max_size=200))
    how = draw(st.sampled_from(["whole"] * 4 + ["cut", "gzip", "utf-16", "latin-1", "flipped"]))
    if how == "cut":
        return content[: draw(st.integers(0, len(content)))]
    if how == "gzip":
        return gzip.compress(content, mtime=0)
    if how == "flipped" and content:
        at = draw(st.integers(0, len(content) - 1))
        return content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]
    if how in {"utf-16", "latin-1"}:
        return content.decode(errors="replace").encode(how, errors="replace")
    return content


_modes, _ages = st.sampled_from(_MODES), st.sampled_from(_AGES)
_files = st.builds(Entry, st.just("file"), _names, _contents(), _modes, _ages)
_others = st.builds(Entry, st.just("link"), _names, st.sampled_from(_TARGETS)) | st.builds(
    Entry, st.sampled_from(["pipe", "sparse", "hard link", "chain"]), _names
)
_entries = st.recursive(
    _files | _others,
    lambda inside: st.builds(
        Entry, st.just("folder"), _names, mode=_modes, inside=st.lists(inside, max_size=4).map(tuple)
    ),
    max_leaves=8,
)
trees = st.lists(_entries, max_size=6)


def lay_out(entries: Sequence[Entry], folder: Path, desk: Desk) -> None:
    """Make what an inbox holds; a name that is taken already is passed over."""
    for entry in entries:
        path = folder / os.fsdecode(entry.name)
        if not os.path.lexists(path):
            _make(entry, path, desk)


def _make(entry: Entry, path: Path, desk: Desk) -> None:
    timestamp = desk.now.timestamp() - entry.age_s
    if entry.kind == "link":
        path.symlink_to(os.fsdecode(entry.content))
    elif entry.kind == "pipe":
        os.mkfifo(path)
    elif entry.kind == "hard link":
        path.hardlink_to(desk.data / "secret")
    elif entry.kind == "chain":
        path.joinpath(*["d"] * 40).mkdir(parents=True)
    elif entry.kind == "folder":
        path.mkdir()
        lay_out(entry.inside, path, desk)
        path.chmod(entry.mode)
    else:
        path.write_bytes(entry.content)
        if entry.kind == "sparse":
            os.truncate(path, 1 << 40)
        path.chmod(entry.mode)
        os.utime(path, (timestamp, timestamp))


def one_run(desk: Desk) -> RunFolder:
    """Do a run beside a good file, and hold it to what holds for every inbox."""
    good = desk.drop("good.json", order(broker_account_id="good", symbol="GOOD", client_intent_id=None))
    assert good.is_file()
    run = desk.run(LIMITS)
    batch = run.table("intents.parquet", ["broker_account_id"])["broker_account_id"].to_pylist()
    status = run.table("results.parquet", ["status"])["status"].to_pylist()
    assert [status[row] for row, account in enumerate(batch) if account == "good"] == ["dry_run"]
    manifest = run.json("manifest.json")
    assert all(identity["holds"] for identity in manifest["identities"])
    assert manifest["exit_code"] == (4 if any(one["kind"] == "blocked" for one in manifest["left"]) else 0)
    assert not good.exists()
    return run


def taken(run: RunFolder) -> set[tuple[Any, ...]]:
    """Return what tells apart the files that a run has taken in."""
    files = run.json("collected.json")["files"]
    return {(one["name"], one["size"], one["mtime_ns"], one["inode"]) for one in files}


def kept_text(desk: Desk) -> Iterator[bytes]:
    """Return all that was written down of an inbox."""
    for place in ("archive", "quarantine", "runs"):
        for path in (desk.data / place).rglob("*"):
            if path.is_file() and path.stat().st_size < 1 << 30:
                yield path.read_bytes()
    yield desk.logged.getvalue().encode()


class TooLong(BaseException):
    """A tree took longer than it may; no handler of a run's takes it for a fault of a file."""


@contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    """Raise ``TooLong`` in the middle of what takes longer, also of what would never end.

    Code that doesn't come back to Python ends the process a little later, with its traceback.
    """

    def barks(*_: object) -> None:
        raise TooLong(f"a tree takes longer than {seconds:g} s")

    faulthandler.dump_traceback_later(2 * seconds, exit=True, file=2)
    before = signal.signal(signal.SIGALRM, barks)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


def check(entries: list[Entry], folder: Path) -> None:
    """Lay a tree out and do two runs of two days over it. Raises ``AssertionError``, or ``TooLong``."""
    with watchdog(LONGEST_S):
        _check(entries, folder)


def _check(entries: list[Entry], folder: Path) -> None:
    desk = Desk(folder / "data")
    desk.inbox.mkdir(parents=True)
    (desk.data / "secret").write_bytes(SECRET)
    try:
        lay_out(entries, desk.inbox, desk)
        first = one_run(desk)
        desk.later(days=1)
        second = one_run(desk)
        assert not taken(first) & taken(second)
        assert not any(SECRET in text for text in kept_text(desk))
    finally:
        remove(desk.data)


def remove(folder: Path) -> None:
    """Remove a tree that this user owns, whatever its modes."""
    folder.chmod(0o700)
    for path in list(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            remove(path)
        else:
            path.unlink()
    folder.rmdir()


def main(folder: Path, examples: int, number: int, uid: int | None) -> None:
    """Try examples. Raises for the first that fails, made as small as can be."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_KIB << 10, MEMORY_KIB << 10))
    os.fsync = lambda fd: None
    check([Entry("file", b"a.parquet", _parquet()), Entry("file", b"a.csv", _WELL_FORMED[".csv"])], folder)
    if uid is not None:  # everything that a run imports is imported by now
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(trees)
    def every_tree(entries: list[Entry]) -> None:
        check(entries, folder)

    every_tree()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) if sys.argv[4:] else None)
