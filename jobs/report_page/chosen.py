"""The runs that a page is about: one run, a session, or a range of sessions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from engine.errors import RecordError, UsageError
from engine.record.run_folder import RunFolder, RunFolders
from jobs.sessions import session_named

_NAMED = 5


@dataclass(frozen=True)
class Chosen:
    """Sessions, oldest first, each with its runs; ``is_one_run`` where a single run was asked for.

    ``damaged``: why the files of a run can't be read, by run; these runs are not among the others.
    """

    title: str
    sessions: tuple[tuple[date, tuple[RunFolder, ...]], ...]
    is_one_run: bool = False
    damaged: tuple[tuple[str, str], ...] = ()

    @property
    def runs(self) -> list[RunFolder]:
        """Return all runs, oldest first."""
        return [run for _, runs in self.sessions for run in runs]

    def readable(self) -> Chosen:
        """Return the same without the runs of which a file can't be read, and with the reasons."""
        damaged = {run.run_id: why for run in self.runs if (why := _why_unreadable(run))}
        left = tuple(
            (session, tuple(run for run in runs if run.run_id not in damaged))
            for session, runs in self.sessions
        )
        return replace(self, sessions=left, damaged=tuple(damaged.items()))


def chosen(what: str, folders: RunFolders, newest: date) -> Chosen:
    """Return the runs of a session or a range (2026-03-02..2026-03-06), or the run of a name.

    A session without a run is a page, too. ``newest``: the present session. Raises ``UsageError``.
    """
    first, is_range, last = what.partition("..")
    if is_range:
        begin, end = session_named(first), session_named(last)
        if end < begin:
            raise UsageError(f"the range {what} ends before it begins; write the earlier session first.")
        days = sorted(day for day in set(folders.sessions(newest)) if begin <= day <= end)
        sessions = tuple((day, tuple(runs)) for day in days if (runs := folders.of_day(day)))
        return Chosen(f"Sessions {begin} to {end}", sessions)
    if _is_session(what):
        day = date.fromisoformat(what)
        return Chosen(f"Session {day}", ((day, tuple(folders.of_day(day))),))
    return of_run(_run_called(what, folders, newest))


def of_run(run: RunFolder) -> Chosen:
    """Return a single run."""
    return Chosen(f"Run {run.run_id}", ((run.trading_date, (run,)),), is_one_run=True)


def _why_unreadable(run: RunFolder) -> str:
    """Return why a file of a run can't be read, "" where all can."""
    try:
        for name in run.names():
            if name.endswith(".parquet"):
                run.table(name)
            elif name.endswith(".json"):
                run.json(name)
    except RecordError as error:
        return str(error)
    return ""


def _is_session(what: str) -> bool:
    try:
        return date.fromisoformat(what).isoformat() == what
    except ValueError:
        return False


def _run_called(name: str, folders: RunFolders, newest: date) -> RunFolder:
    """Return the run of that name, or the only one that begins with it."""
    name = name.rstrip("/").rpartition("/")[2]
    begins: list[RunFolder] = []
    for runs in folders.by_session(newest):
        for run in runs:
            if run.run_id == name:
                return run
        begins += [run for run in runs if name and run.run_id.startswith(name)]
    if len(begins) == 1:
        return begins[0]
    if begins:
        names = ", ".join(run.run_id for run in begins[:_NAMED])
        raise UsageError(f"{name!r} is the beginning of {len(begins)} runs: {names} … Write more characters.")
    raise UsageError(
        f"{name!r} is no session, range or run of this data folder. Write a session (2026-03-02), a range "
        f"(2026-03-02..2026-03-06) or a run's name; `execution-engine status` shows runs."
    )
