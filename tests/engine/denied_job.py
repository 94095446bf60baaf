"""Runs of a user whom permissions stop, over an inbox with files and folders of another one.

Run as ``python -m tests.engine.denied_job FOLDER UID HOW``; prints what became of three runs, a day
apart. HOW is ``theirs`` (some things in the inbox are another user's), ``inbox`` (it all is), ``sticky``
(the inbox is as /tmp is) or ``undeniable`` (the permissions change once the file is read). Only root can make
files of two users: run by anyone else, all files are one user's, with modes that deny the same.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from engine.record.run_folder import RunFolder
from engine.stores.inbox.inbox import Dropped, Inbox, Left, Reading
from tests.desk import Desk, order, tampered


def lay_out(desk: Desk, uid: int, how: str) -> None:
    """Make what the runs find."""
    for number, name in enumerate(("good.json", "theirs/a.json", "closed/b.json", "unreadable.json")):
        desk.drop(name, order(qty=1 + number))
    if os.geteuid() != 0:
        close(desk.inbox, how)
        return
    for path in (desk.data, desk.inbox, desk.inbox / "good.json", desk.data.parent):
        os.chown(path, uid, uid)
    if how == "theirs":
        (desk.inbox / "closed").chmod(0o700)
        (desk.inbox / "unreadable.json").chmod(0o600)
    elif how == "inbox":
        os.chown(desk.inbox, 0, 0)
    elif how == "sticky":
        os.chown(desk.inbox, 0, 0)
        desk.inbox.chmod(0o1777)
    elif how == "undeniable":
        for name in ("theirs", "closed", "unreadable.json"):
            os.chown(desk.inbox / name, uid, uid)


def close(inbox: Path, how: str) -> None:
    """Take rights from our own files and folders, as if they were another user's."""
    if how == "theirs":
        (inbox / "theirs").chmod(0o555)
        (inbox / "closed").chmod(0o000)
        (inbox / "unreadable.json").chmod(0o000)
    elif how == "inbox":
        for folder in (inbox / "theirs", inbox / "closed", inbox):
            folder.chmod(0o555)


def denies_once_it_is_read(inbox: Inbox, file: Dropped, *, max_bytes: int) -> Reading | Left:
    """Read a file, and once it is the good one let nothing be removed from its folder."""
    reading = Inbox(inbox.root).read(file, max_bytes=max_bytes)
    if file.name == "good.json":
        inbox.root.chmod(0o555)
    return reading


def report(run: RunFolder) -> dict[str, Any]:
    """Return what became of a run."""
    manifest = run.json("manifest.json")
    files = run.table("intents.parquet", ["source_file"])["source_file"].to_pylist()
    left = {one["name"]: [one["kind"], one["why"]] for one in manifest["left"]}
    return {"taken": sorted(files), "left": left, "exit_code": manifest["exit_code"]}


def become(uid: int, how: str) -> None:
    """Become the user whom permissions stop."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


def main(folder: Path, uid: int, how: str) -> None:
    """Do the runs and print what became of them."""
    os.fsync = lambda fd: None
    warm = Desk(folder / "warm")
    warm.drop("a.json", order(), order(qty=0))
    warm.run()  # everything that a run imports is imported now: root's own files can't be read below
    desk = Desk(folder / "work" / "data")
    lay_out(desk, uid, how)
    become(uid, how)
    reports = []
    for _ in range(3):
        context = desk.context()
        context = tampered(context, read=denies_once_it_is_read) if how == "undeniable" else context
        reports.append(report(desk.run(context=context)))
        desk.later(days=1)
    print(json.dumps(reports))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
