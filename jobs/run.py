"""``run`` and ``collect``: finish earlier runs first, then do a run of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from engine.log import EventLog
from engine.record.run_folder import BATCH, COLLECTED, INPUTS, MANIFEST, RunFolder
from engine.run.manifest import EXIT_DONE, EXIT_UNRESOLVED
from engine.run.put_away import left_by
from engine.run.stages import finish, in_doubt, to_finish
from engine.run.starting import start
from engine.safety.lock import exclusive
from jobs.limits_used import limits_used
from jobs.progress import progress_bar
from jobs.queued import queued_orders
from jobs.run_files import folder_path, to_drop_again
from jobs.setup import Setup, read_setup, termination_asked
from jobs.stops_and_overrides import record_of
from jobs.tables import print_json, say

if TYPE_CHECKING:  # a dry run has no gate, and is short
    from engine.context import RunContext
    from engine.run.books_read import BooksRead
    from jobs.live_connections import LiveConnections
    from jobs.slots import NotBegun, Scheduled


@dataclass(frozen=True)
class Outcome:
    """This command's own run, the earlier runs that it finished, and the ids of those still in doubt.

    ``remarks``: sentences on what an operator may not have intended. ``not_begun``: why there is no own run,
    where a slot was done, or is late.
    """

    own: RunFolder | None
    resumed: list[RunFolder]
    in_doubt: list[str]
    remarks: list[str]
    not_begun: NotBegun | None = None


def run(*, slot: str, as_json: bool, scheduled: Scheduled | None = None) -> int:
    """Do a whole run and print its result; return the exit code."""
    setup = read_setup()
    stopping = termination_asked(also_ctrl_c=not setup.settings.dry_run)
    if scheduled is not None and (not_now := scheduled.not_now(setup.settings.calendar, stopping)):
        not_now.log(EventLog())
        return _print_end(Outcome(None, [], [], setup.remarks, not_now), as_json=as_json)
    outcome = work(setup, slot, scheduled=scheduled, stopping=stopping)
    exit_code = _print_end(outcome, as_json=as_json)
    _alarm(outcome, exit_code, setup)
    if setup.settings.writes_page:
        _write_pages(outcome, setup, as_json=as_json)
    return exit_code


def _alarm(outcome: Outcome, exit_code: int, setup: Setup) -> None:
    """Raise an alarm where a run ended with another code than 0; else let its heartbeat be heard."""
    from jobs.alarms import Alarm, beat, kind_of, raise_alarm
    from jobs.alarms.of_runs import faults_of

    own, not_begun = outcome.own, outcome.not_begun
    if exit_code == EXIT_DONE:
        if own is not None:
            beat(setup.env)
        return
    faults = [fault for folder in [*outcome.resumed, *([own] if own else [])] for fault in faults_of(folder)]
    faults += [
        f"Live run {run_id} may have sent orders whose outcome is unknown." for run_id in outcome.in_doubt
    ]
    is_missed = not_begun is not None and not_begun.state == "late"
    if not_begun is not None and not_begun.exit_code:
        faults.append(not_begun.message)
    alarm = Alarm(
        kind="slot_missed" if is_missed else kind_of(exit_code),
        command="run",
        message="\n".join(faults)
        or f"It ended with exit code {exit_code}; `execution-engine status` has more.",
        exit_code=exit_code,
        data_dir=setup.data_dir,
        run_id=own.run_id if own else None,
    )
    raise_alarm(alarm, env=setup.env)


def _write_pages(outcome: Outcome, setup: Setup, *, as_json: bool) -> None:
    """Write the pages of the runs that ended, after everything else: one that fails changes nothing."""
    from jobs.report_page.command import write_beside

    for folder in [*outcome.resumed, *([outcome.own] if outcome.own else [])]:
        page = write_beside(folder, setup)
        if page is not None and not as_json:
            say(f"Page: {page.absolute()}")


def _print_end(outcome: Outcome, *, as_json: bool) -> int:
    """Print a run that has ended, or why there was none; return the exit code."""
    own, not_begun = outcome.own, outcome.not_begun
    folders = [*outcome.resumed, *([own] if own else [])]
    exit_code = max(_exit_code(folders, outcome.in_doubt), not_begun.exit_code if not_begun else EXIT_DONE)
    if as_json:
        printed = summary(own) if own else not_begun.record() if not_begun else {}
        remarks = [*outcome.remarks, *printed.get("remarks", [])]
        others = {"resumed": _resumed(outcome), "in_doubt": outcome.in_doubt}
        print_json({**printed, "exit_code": exit_code, **others, "remarks": remarks})
        return exit_code
    from jobs.report import print_run

    _print(outcome, print_run)
    return exit_code


def collect(*, slot: str, as_json: bool) -> int:
    """Seal a batch, for the next ``run`` to decide on; return the exit code."""
    outcome = work(read_setup(), slot, until=BATCH)
    own = outcome.own
    assert own is not None
    left = left_by(own)
    blocked = any(one["kind"] == "blocked" for one in left)
    exit_code = max(_exit_code(outcome.resumed, outcome.in_doubt), EXIT_UNRESOLVED if blocked else EXIT_DONE)
    if as_json:
        head = {"run_id": own.run_id, "trading_date": own.trading_date.isoformat()}
        collected = own.json(COLLECTED)
        came_in = {"rows": collected["rows"], "notes": collected.get("notes", []), "left": left}
        body = {"folder": folder_path(own), "exit_code": exit_code, **came_in}
        others = {"in_doubt": outcome.in_doubt, "remarks": outcome.remarks}
        print_json({**head, **body, "resumed": _resumed(outcome), **others})
        return exit_code
    from jobs.report import print_collected

    _print(outcome, print_collected)
    return exit_code


def _print(outcome: Outcome, print_own: Callable[[RunFolder], None]) -> None:
    """Print the runs that were resumed, the own one, and what an operator has to know."""
    from jobs.report import print_in_doubt, print_remarks, print_run

    for folder in outcome.resumed:
        print_run(folder, resumed=True)
    if outcome.own is not None:
        print_own(outcome.own)
    if outcome.not_begun is not None:
        outcome.not_begun.print()
    print_in_doubt(outcome.in_doubt)
    print_remarks(outcome.remarks)


def summary(folder: RunFolder) -> dict[str, Any]:
    """Return a finished run as ``--json`` prints it."""
    manifest = folder.json(MANIFEST)
    keys = ("run_id", "trading_date", "exit_code", "rows", "decisions", "results", "orders", "fills")
    notes = folder.json(COLLECTED).get("notes", [])
    beside = {"notes": notes, "left": manifest.get("left", [])}  # earlier versions did not record them
    beside |= {"unkept": manifest.get("unkept", []), "cancels": manifest.get("cancels", 0)}
    beside |= {"remarks": queued_orders(folder), "drop_again": to_drop_again(folder)}
    beside |= {"limits": limits_used(folder)}
    beside |= record_of(folder)
    return {"folder": folder_path(folder), **{key: manifest[key] for key in keys}, **beside}


def work(
    setup: Setup,
    slot: str,
    *,
    until: str = MANIFEST,
    stopping: Callable[[], bool] | None = None,
    scheduled: Scheduled | None = None,
) -> Outcome:
    """Finish unfinished runs, then do a run of its own up to the file ``until``.

    A scheduled slot that the session has had, or that is late, has none. ``stopping`` returns whether the job
    should end; by default, whether a signal has asked for it.
    """
    setup.check_start(slot=slot)
    of_limits = setup.limits_remarks
    live = not setup.settings.dry_run
    stopping = stopping or termination_asked(also_ctrl_c=live)
    with (
        exclusive(setup.data_dir, since=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", modes=setup.modes),
        progress_bar() as progress,
        _opened(setup, stopping, cancels_pass=until == MANIFEST) if live else nullcontext() as beyond,
    ):
        context = setup.context(progress=progress, stopping=stopping)
        if beyond is not None:
            context = replace(context, connections=beyond.connections, closed_by=beyond.closed_by)
        resumed = to_finish(context)
        for folder in resumed:
            finish(folder, context, books=None if INPUTS in folder.names() else _books(setup, context))
        not_begun, own = None, None
        if scheduled is not None:
            mode = "live" if live else "dry"
            not_begun = scheduled.not_again(context.runs, context.clock(), mode, setup.settings.calendar)
        if not_begun is None:
            own = _own_run(setup, context, slot, until, scheduled)
        else:
            not_begun.log(context.log)
        context.log.events("setting_not_read", ((text, {}) for text in setup.remarks), severity="WARNING")
        context.log.events("limits_notice", ((text, {}) for text in of_limits), severity="WARNING")
        remarks = [*setup.remarks, *of_limits]
        left = [folder.run_id for folder in in_doubt(context.runs)]
        return Outcome(own, resumed, left, remarks, not_begun)


def _own_run(
    setup: Setup, context: RunContext, slot: str, until: str, scheduled: Scheduled | None
) -> RunFolder:
    """Begin a run, and do its stages up to the file ``until``."""
    books = _books(setup, context) if until == MANIFEST else None
    sealed = scheduled.sealed(context.clock(), setup.settings.calendar) if scheduled is not None else {}
    own = start(setup.settings, setup.config, context, slot=slot, scheduled=sealed)
    finish(own, context, until=until, books=books)
    return own


def _books(setup: Setup, context: RunContext) -> BooksRead | None:
    """Return the brokers' books before a run begins or resumes; None in a dry run.

    Raises ``BrokerError`` where no broker answers: the inbox is then left to a later run.
    """
    if context.connections is None:
        return None
    from engine.run.books_read import read_books

    return read_books(context, setup.settings.calendar)


def _opened(
    setup: Setup, stopping: Callable[[], bool], *, cancels_pass: bool
) -> AbstractContextManager[LiveConnections]:
    from jobs.live_connections import opened

    return opened(setup, stopping, cancels_pass=cancels_pass)


def _resumed(outcome: Outcome) -> list[dict[str, Any]]:
    return [summary(folder) for folder in outcome.resumed]


def _exit_code(finished: list[RunFolder], in_doubt: list[str]) -> int:
    """Return the highest of the runs' exit codes; a run left in doubt counts as unresolved."""
    codes = [int(folder.json(MANIFEST)["exit_code"]) for folder in finished]
    return max([*codes, EXIT_UNRESOLVED] if in_doubt else codes, default=0)
