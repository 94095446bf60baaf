"""``report``: write the page of a run, a session or a range; ``EXEC_REPORT`` writes it beside each run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from engine.errors import UsageError
from engine.log import EventLog, wall_clock
from engine.model.calendar import trading_date
from engine.record.run_folder import RunFolder, RunFolders
from jobs.report_page.chosen import Chosen, chosen, of_run
from jobs.setup import Setup, read_setup
from jobs.tables import print_json, say


def report(what: str, *, html: str, as_json: bool, clock: Callable[[], datetime] = wall_clock) -> int:
    """Write the page of a run, a session or a range to a file; return the exit code.

    An existing file is replaced, whole. Raises ``UsageError`` where no such run is recorded, and where the
    file's folder does not exist.
    """
    setup = read_setup()
    place = Path(html)
    if not place.parent.is_dir():
        raise UsageError(
            f"--html names {html}, and there is no folder {place.parent}. Create it, or name another."
        )
    now = clock()
    found = chosen(what, RunFolders(setup.objects), trading_date(now, setup.settings.calendar))
    size, verdict = _write(found, place, setup, now)
    if as_json:
        print_json({"exit_code": 0, "html": str(place.absolute()), "bytes": size, "verdict": verdict})
        return 0
    say(f"{found.title}: {verdict}", bold=True)
    say(f"Page: {place.absolute()} ({size / 1000:,.0f} kB)")
    return 0


def write_beside(
    folder: RunFolder, setup: Setup, *, clock: Callable[[], datetime] = wall_clock
) -> Path | None:
    """Write the page of a finished run to ``reports/<session>/<run id>.html``; return its path.

    None, and a line of the log, where that fails: the run is done all the same.
    """
    place = setup.data_dir / "reports" / folder.trading_date.isoformat() / f"{folder.run_id}.html"
    try:
        setup.modes.make_folder(place.parent)
        _write(of_run(folder), place, setup, clock())
    except Exception as error:  # whatever it is, the run is done
        message = f"the page of run {folder.run_id} was not written: {error}"
        EventLog().event("report_not_written", message, severity="ERROR", run_id=folder.run_id)
        return None
    return place


def _write(found: Chosen, place: Path, setup: Setup, now: datetime) -> tuple[int, str]:
    """Write a page, whole; return its size in bytes and its verdict."""
    from jobs.report_page.content import content_of
    from jobs.report_page.record import Record
    from jobs.report_page.rendering import rendered

    record = Record(found.readable(), setup.objects, setup.stores.ledger, setup.settings.calendar, now)
    content = content_of(record)
    page = rendered(content).encode("utf-8", "replace")
    new = place.with_name(f".{place.name}.tmp")
    with open(new, "wb", opener=setup.modes.opener) as file:
        file.write(page)
    new.replace(place)
    return len(page), content["verdict"]
