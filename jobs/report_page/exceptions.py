"""What has to be looked at, first things first, and whether the record is whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from engine.errors import EngineError
from engine.model.version import __version__
from engine.record.links import Link, links_of, run_name
from engine.record.open_orders import left_open
from engine.record.run_folder import MANIFEST, RESULTS, RunFolder
from engine.record.sealed_limits import config_of
from jobs.breaks import proposed
from jobs.limits_used import limits_used
from jobs.queued import queued_orders
from jobs.report_page.cells import Cell, Table, at, figure, figures, plain, prose, text
from jobs.report_page.explanations import Intents
from jobs.report_page.record import Record
from jobs.run_exceptions import (
    ACT,
    LOOK,
    NOTE,
    RunException,
    found_at_the_end,
    found_at_the_start,
    how_it_ended,
)
from jobs.stops_and_overrides import overrides_of
from jobs.verify import compared_files
from jobs.wording import amount, counted

EXIT_CODES = {
    0: "done",
    1: "failed, safe to run again",
    2: "usage or configuration",
    3: "halted, or the gate was closed",
    4: "something is unresolved, blocked, not compared or does not add up",
}
SOON = timedelta(days=4)
"""What expires within so many days of the last session is about to expire: a weekend is among them."""
_MOST_OF_A_KIND = 20
_WEIGHTS = (ACT, LOOK, NOTE)


@dataclass(frozen=True)
class Shown:
    """An exception as the page shows it: with the run it is of, and the intent it is about.

    ``stands_for``: how many it is.
    """

    weight: str
    kind: str
    text: str
    run_id: str = ""
    href: str = ""
    stands_for: int = 1


def exceptions_of(record: Record, intents: Intents) -> list[Shown]:
    """Return all exceptions, those that need an action first; of one kind the first ``_MOST_OF_A_KIND``."""
    found = [
        *(Shown(ACT, "damaged", why, run_id) for run_id, why in record.chosen.damaged),
        *(one for run in record.unfinished for one in _of_unfinished(run)),
        *(_shown(one, run) for run in record.finished for one in _of_run(run)),
        *_of_breaks(record),
        *(one for run in record.finished for one in _of_orders(run, intents)),
        *_left_working(record, intents),
        *_about_limits(record),
    ]
    return list(few_of_each(sorted(dict.fromkeys(found), key=lambda one: _WEIGHTS.index(one.weight))))


def _shown(one: RunException, run: RunFolder) -> Shown:
    return Shown(one.weight, one.kind, one.text, run.run_id)


def few_of_each(found: Iterable[Shown]) -> Iterator[Shown]:
    """Yield the first exceptions of each kind, and after them how many more of that kind there are."""
    kinds: dict[tuple[str, str], list[Shown]] = {}
    for one in found:
        kinds.setdefault((one.weight, one.kind), []).append(one)
    for (weight, kind), own in kinds.items():
        yield from own[:_MOST_OF_A_KIND]
        if (more := len(own) - _MOST_OF_A_KIND) > 0:
            said = f"… and {more:,} more of this kind; `explain`, and the tables below, have all."
            yield Shown(weight, kind, said, stands_for=more)


def _of_unfinished(run: RunFolder) -> Iterator[Shown]:
    said = f"Run {run.run_id} is not finished; unless it is at work, the next `execution-engine run` ends it."
    yield Shown(ACT, "unfinished", said, run.run_id)


def _of_run(run: RunFolder) -> Iterator[RunException]:
    manifest = run.json(MANIFEST)
    yield from found_at_the_start(run, manifest)
    yield from found_at_the_end(manifest)
    if run.start["config"].get("fail_open"):
        said = "EXEC_RISK_FAIL_OPEN is on: a rule whose data is unavailable is SKIPPED, not passed."
        yield RunException(LOOK, "fail open", said)
    for one in manifest.get("left", []):
        said = f"{one['name']} was left in the inbox: {one['why']}."
        yield RunException(ACT if one["kind"] == "blocked" else NOTE, f"inbox, {one['kind']}", said)
    for sentence in queued_orders(run):
        yield RunException(LOOK, "queued", sentence)


def _of_breaks(record: Record) -> Iterator[Shown]:
    still_open, unknown = record.open_breaks
    if unknown:
        said = f"Which breaks were accepted is unknown, so all count as open: {unknown}"
        yield Shown(LOOK, "break", said)
    proposal = proposed(record.objects, still_open)
    for one in still_open:
        what = one.kind.replace("_", " ")
        remedy = one.remedy.replace("FILE", proposal or "FILE")
        yield Shown(ACT, "break", f"{one.broker_account_id}, {what}. {one.said} {remedy}")
    for one in record.breaks:
        if one.is_repaired:
            yield Shown(NOTE, "late fill", f"{one.broker_account_id}: {one.said}")


def _of_orders(run: RunFolder, intents: Intents) -> Iterator[Shown]:
    """Yield the orders whose outcome is unknown, and those that the broker refused."""
    rows = run.table(RESULTS, ["client_intent_id", "status", "reason", "message"]).to_pylist()
    for place, row in enumerate(rows):
        href = f"#i{number}" if (number := intents.number.get((run.run_id, place))) is not None else ""
        if row["status"] == "unresolved":
            message = str(row["message"]).rstrip(".")
            said = (
                f"UNRESOLVED: the outcome of {row['client_intent_id']} is unknown: {message}. The next live "
                f"run looks it up; until then it counts as working. Look for it at the broker."
            )
            yield Shown(ACT, "unresolved", said, run.run_id, href)
        elif row["status"] == "broker_rejected":
            said = f"The broker refused {row['client_intent_id']}: {row['reason']}: {row['message']}"
            yield Shown(LOOK, "refused by the broker", said, run.run_id, href)


def _left_working(record: Record, intents: Intents) -> Iterator[Shown]:
    """Yield the orders of these runs that were open at the broker when it was last asked."""
    run_ids = {run.run_id for run in record.chosen.runs}
    for left in left_open(record.objects):
        for one in left.orders if left.run_id in run_ids else ():
            if one.status == "unresolved":
                continue
            order = one.intent
            said = (
                f"Left working: {order.side} {amount(order.qty, order.notional)} {order.symbol} of "
                f"{order.strategy_id} in {order.broker_account_id} ({one.status}). The next live run looks "
                f"it up; `execution-engine cancel-all` withdraws open orders."
            )
            href = intents.href(left.run_id, order.broker_account_id, order.client_intent_id or "")
            yield Shown(LOOK, "left working", said, left.run_id, href)


def _about_limits(record: Record) -> Iterator[Shown]:
    """Yield what of the limits is about to end, is nearly used, or is off."""
    last = max((session for session, _ in record.chosen.sessions), default=None)
    for run in record.finished:
        used = limits_used(run)
        for row in used["near"]:
            names = ("broker_account_id", "strategy_id", "symbol", "side")
            about = " ".join(row[name] for name in names if row[name])
            said = f"{row['rule']} of {about or 'all'} is used to {row['utilisation']:.0%} ({row['level']})."
            yield Shown(LOOK, "limit nearly used", said, run.run_id)
        if last is not None:
            yield from _ending(run, last)
    if record.finished:
        off = limits_used(record.finished[-1])["rules_off"]
        if off:
            count = counted(len(off), "rule is", "rules are")
            said = f"{count} off, since no limit sets them: {', '.join(off)}."
            yield Shown(NOTE, "rules off", said)


def _ending(run: RunFolder, last: date) -> Iterator[Shown]:
    for one in overrides_of(run):
        if one.expires_on <= last + SOON:
            said = f"An override ends with the session {one.expires_on}: {one.about} {one.name}, {one.rule}."
            yield Shown(LOOK, "about to expire", said)
    file = config_of(run).limits_file
    for section in file.temporary if file is not None else ():
        ends = f"through the session {section.until}, approved by {section.approved_by}: {section.why}"
        is_soon = section.until <= last + SOON
        said = (
            f"Temporary limits of [{section.source}] {'END SOON, they hold' if is_soon else 'hold'} {ends}."
        )
        yield Shown(LOOK if is_soon else NOTE, "about to expire" if is_soon else "temporary limits", said)


def runs_table(record: Record) -> Table:
    """Return the verdict of each run."""
    columns = [
        *(text(name) for name in ("run", "session", "mode")),
        prose("how it ended"),
        figures("exit code"),
        *(figures(name, "rows") for name in ("dropped", "quarantined", "duplicate")),
        *(figures(name, "intents") for name in ("allowed", "refused")),
        *(figures(name, "orders") for name in ("sent",)),
        figures("executions"),
        text("finished"),
    ]
    table = Table("runs", "Runs", columns, source="manifest.json of each run", empty="There was no run.")
    table.note = "Exit codes: " + "; ".join(f"{code} {words}" for code, words in EXIT_CODES.items()) + "."
    for run in record.chosen.runs:
        head = [plain(run.run_id), plain(run.trading_date), plain(run.start["mode"])]
        if MANIFEST not in run.names():
            unknown = [figure(None)] * 8
            table.rows.append([*head, plain("not finished", tone="bad"), *unknown, plain("")])
            continue
        manifest = run.json(MANIFEST)
        code = manifest["exit_code"]
        counts = [manifest["rows"][name] for name in ("dropped", "quarantined", "duplicate")]
        counts += [manifest["decisions"][name] for name in ("allowed", "refused")]
        counts += [manifest["orders"]["sent"], manifest["fills"]]
        ended = plain(how_it_ended(run, manifest), tone="bad" if code else "good")
        table.rows.append([*head, ended, figure(code), *map(figure, counts), _finished(manifest)])
    return table


def _finished(manifest: dict[str, str]) -> Cell:
    from datetime import datetime

    return at(datetime.fromisoformat(manifest["finished_at"]))


def integrity(record: Record) -> tuple[list[str], str]:
    """Return what is wrong with the files of the runs and their links, and what was compared, in words."""
    faults, files, links = [], 0, 0
    for run in record.finished:
        manifest = run.json(MANIFEST)
        files += len(manifest.get("bytes", manifest["content"]))
        faults += [f"{one.kind}: {one.message}." for one in compared_files(run, manifest)]
        for account, before in _links(manifest):
            links += 1
            faults += _link_faults(run, account, before, record)
    versions = sorted({str(run.json(MANIFEST)["code_version"]) for run in record.finished})
    said = (
        f"{counted(files, 'file')} of {counted(len(record.finished), 'finished run')} compared with their "
        f"hashes, and {counted(links, 'link')} to the run before; `execution-engine verify` walks the whole "
        f"chain. Written by code {', '.join(versions) or 'unknown'}; this page by {__version__}."
    )
    return faults, said


def _links(manifest: dict[str, object]) -> list[tuple[str, Link]]:
    try:
        linked = links_of(manifest) or {}
    except ValueError:
        return []
    return [(account, link) for account, link in linked.items() if link is not None]


def _link_faults(run: RunFolder, account: str, before: Link, record: Record) -> list[str]:
    """Return what is wrong with the manifest that a run follows; nothing where its session was moved away."""
    session = before.run.partition("/")[0]
    if not record.objects.list(f"runs/{session}/"):
        return []
    try:
        content = record.objects.read(f"runs/{before.run}/{MANIFEST}")
    except (EngineError, OSError):
        return [f"missing: run {before.run}, which run {run_name(run)} follows in the chain of {account}."]
    same = Link.of(before.run, content) == before
    return (
        []
        if same
        else [f"rewritten: runs/{before.run}/{MANIFEST} is not the one that {run_name(run)} follows."]
    )


def headline(exceptions: Sequence[Shown], faults: Sequence[str], record: Record) -> tuple[str, str]:
    """Return the verdict in one sentence, and its tone: good, warn or bad."""
    acts = sum(one.stands_for for one in exceptions if one.weight == ACT) + len(faults)
    looks = sum(one.stands_for for one in exceptions if one.weight == LOOK)
    if acts:
        more = f", and {looks} to look at" if looks else ""
        return f"Action needed: {counted(acts, 'exception')}{more}.", "bad"
    if not record.chosen.runs:
        return "There was no run: nothing was collected, decided or sent.", "warn"
    if looks:
        return f"Nothing needs an action; {counted(looks, 'exception')} to look at.", "warn"
    return "Nothing is wrong: every row is accounted for, and nothing is open.", "good"
