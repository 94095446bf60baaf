"""A run: a folder, and the stages that fill it one file after the other.

To resume a run is to look for the first missing file and to go on there. A stage that writes several files
is sealed by its last one; what an interrupted one left behind is removed and made again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine import __version__
from engine.calendar import check_calendar, trading_date
from engine.collecting import collect, put_away
from engine.config import RiskConfig, RunSettings
from engine.deciding import decide, record_inputs, stores_of
from engine.errors import ConfigurationError, RunStopped, UsageError
from engine.record import file_hash
from engine.routing import dry_run, lapsed
from engine.stores.chosen import check_addresses, check_emulator, check_stores_are_named
from engine.stores.kill_switch import KillSwitchState
from engine.stores.runs import BATCH, COLLECTED, DECISIONS, INPUT_FRAMES, INPUTS, MANIFEST, RESULTS, RunFolder
from engine.world import World

_SLOT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

EXIT_DONE, EXIT_HALTED, EXIT_UNRESOLVED = 0, 3, 4


@dataclass(frozen=True)
class Stage:
    """One step of a run; ``seal`` is its last file, ``drafts`` the files that it writes before."""

    seal: str
    do: Callable[[RunFolder, World], None]
    drafts: tuple[str, ...] = ()


def start(settings: RunSettings, config: RiskConfig, world: World, *, slot: str = "adhoc") -> RunFolder:
    """Begin a run: its folder with ``run.json``, which fixes what a resumed run must not change.

    Raises what ``check_start`` raises.
    """
    check_start(settings, slot=slot)
    if not settings.dry_run:
        refuse_to_route()
    as_of = world.clock()
    folder = world.runs.create(
        trading_date(as_of, settings.calendar),
        f"{as_of:%Y%m%dT%H%M%SZ}-{slot}",
        {
            "mode": "dry",
            "slot": slot,
            "as_of": as_of.isoformat(),
            "accounts": sorted(config.accounts),
            "hosts": [],
            "stores": stores_of(world),
            "config": {**asdict(config), "accounts": sorted(config.accounts)},
            "settings": {
                "calendar": settings.calendar,
                "inbox_settle_s": settings.inbox_settle_s,
                "decision_max_age_s": settings.decision_max_age_s,
                "positions_max_age_s": settings.positions_max_age_s,
            },
            "code_version": code_version(),
        },
    )
    _with_run_id(world, folder).log.event(
        "run_started",
        f"run {folder.run_id} begins as a dry run",
        mode="dry",
        trading_date=folder.trading_date,
    )
    return folder


def check_start(settings: RunSettings, *, slot: str = "adhoc") -> None:
    """Refuse what can't run, before anything is touched.

    Raises ``UsageError`` for a slot that is no name, ``ConfigurationError`` for an unknown calendar and for
    a live run on stores that nobody named.
    """
    if not _SLOT.fullmatch(slot):
        raise UsageError(f"slot is {slot!r}; expected a name of a-z, 0-9 and -, such as open or 1545.")
    check_calendar(settings.calendar)
    check_addresses(settings.stores)
    if settings.dry_run:
        return
    check_stores_are_named(settings.stores)
    check_emulator(settings.stores, settings.gate.trading_host)
    if settings.gate.heartbeat_document and settings.stores.firestore_project is None:
        raise ConfigurationError(
            f"EXEC_HEARTBEAT_DOC is {settings.gate.heartbeat_document!r}, a document in Firestore, and no "
            f"project is set. Set FIREBASE_PROJECT_ID, or unset EXEC_HEARTBEAT_DOC."
        )


def refuse_to_route() -> None:
    """Say that what would come behind the live gate isn't there. Raises ``ConfigurationError``."""
    raise ConfigurationError(
        "EXEC_DRY_RUN is 0 and the gate is open, but routing live orders isn't built yet, so nothing was "
        "touched. Unset EXEC_DRY_RUN to judge and record without sending."
    )


def finish(folder: RunFolder, world: World, *, until: str = MANIFEST) -> None:
    """Do what is missing of a run, up to and including the file ``until``.

    Raises ``RunStopped`` where the job was asked to stop between two stages.
    """
    world = _with_run_id(world, folder)
    for stage in STAGES:
        if world.stopping():
            raise RunStopped(
                f"Stopped before {stage.seal} of run {folder.run_id}; the next run goes on there."
            )
        names = folder.names()
        if stage.seal not in names:
            for draft in stage.drafts:
                if draft in names:
                    folder.remove(draft)
            stage.do(folder, world)
        if stage.seal == BATCH:
            put_away(folder, world)
        if stage.seal == until:
            return


def route(folder: RunFolder, world: World) -> None:
    """Carry the decisions out, which in a dry run is to say so, and write ``results.parquet``."""
    now = world.clock()
    world.progress("writing results", 0, 1)
    decisions = folder.table(DECISIONS).to_pandas()
    intents = folder.table(BATCH, ["created_at", "valid_until", "action"])
    results = dry_run(
        intents,
        decisions,
        lapsed=lapsed(intents, now, folder.start["config"]["intent_max_age_s"]),
        decision_expired=_decision_expired(folder, now),
        kill_switch=_told(world),
    )
    folder.write(RESULTS, results)
    accepted = results.filter(pc.equal(results["status"].cast(pa.string()), "dry_run"))["client_intent_id"]
    world.log.for_each(
        "dry_run_accept",
        len(accepted),
        lambda: ((f"{id_} would be sent", {"intent_id": id_}) for id_ in accepted.to_pylist()),
    )
    world.progress("writing results", 1, 1)


def _told(world: World) -> Callable[[], KillSwitchState]:
    """Give the kill switch, which tells the log when it is on."""

    def read() -> KillSwitchState:
        switch = world.kill_switch()
        if switch.on:
            world.log.event("kill_switch_on", switch.why, severity="WARNING")
        return switch

    return read


def write_manifest(folder: RunFolder, world: World) -> None:
    """Count what the sealed files say, compare it, and write ``manifest.json``, the end of the run."""
    rows = folder.json(COLLECTED)["rows"]
    decisions = folder.table(DECISIONS, ["allowed", "reason"])
    results = folder.table(RESULTS, ["status"])
    batched = folder.table(BATCH, ["action"]).num_rows
    allowed = int(pc.sum(decisions["allowed"]).as_py() or 0)
    by_status = _counts(results["status"])
    identities = [
        _identity("rows dropped = batched + quarantined + duplicate", rows["dropped"],
                  rows["batched"] + rows["quarantined"] + rows["duplicate"]),
        _identity("rows batched = rows of the sealed batch", rows["batched"], batched),
        _identity("rows batched = decisions", batched, decisions.num_rows),
        _identity("decisions = results", decisions.num_rows, results.num_rows),
        _identity("allowed = sent + explained", allowed, results.num_rows - by_status.get("rejected", 0)),
    ]  # fmt: skip
    broken = [identity["name"] for identity in identities if not identity["holds"]]
    halted = folder.json(INPUTS)["kill_switch"] or by_status.get("halted", 0) > 0
    exit_code = EXIT_UNRESOLVED if broken else EXIT_HALTED if halted else EXIT_DONE
    reasons = decisions.filter(pc.invert(decisions["allowed"]))["reason"]
    keys = {name: folder.key + name for name in sorted(folder.names())}
    manifest = {
        "run_id": folder.run_id,
        "trading_date": folder.trading_date.isoformat(),
        "mode": folder.start["mode"],
        "finished_at": world.clock().isoformat(),
        "code_version": code_version(),
        "exit_code": exit_code,
        "rows": rows,
        "decisions": {
            "allowed": allowed,
            "refused": decisions.num_rows - allowed,
            "by_reason": _counts(reasons),
        },
        "results": {"by_status": by_status},
        "orders": {"sent": 0, "adopted": 0},
        "fills": 0,
        "identities": identities,
        "content": {name: file_hash(key, folder.objects.read(key)) for name, key in keys.items()},
    }
    for name in broken:
        world.log.event("identity_failed", f"{name} does not hold", severity="CRITICAL", identity=name)
    folder.write(MANIFEST, manifest)
    world.log.event(
        "run_finished",
        f"run {folder.run_id}: {rows['dropped']} rows dropped, {allowed} allowed, exit code {exit_code}",
        exit_code=exit_code,
    )


STAGES = (
    Stage(BATCH, collect, drafts=(COLLECTED,)),
    Stage(INPUTS, record_inputs, drafts=tuple(f"{name}.parquet" for name in INPUT_FRAMES)),
    Stage(DECISIONS, decide),
    Stage(RESULTS, route),
    Stage(MANIFEST, write_manifest),
)


@cache
def code_version() -> str:
    """Give the version and a hash of the engine's source, which tells any two states of the code apart."""
    import hashlib
    from pathlib import Path

    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"


def _decision_expired(folder: RunFolder, now: datetime) -> bool:
    settings = folder.start["settings"]
    decided_at = datetime.fromisoformat(folder.json(INPUTS)["read_at"])
    too_old = now - decided_at > timedelta(seconds=settings["decision_max_age_s"])
    return too_old or trading_date(now, settings["calendar"]) != folder.trading_date


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counts = {pair["values"]: pair["counts"] for pair in column.cast(pa.string()).value_counts().to_pylist()}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _identity(name: str, left: int, right: int) -> dict[str, Any]:
    return {"name": name, "left": left, "right": right, "holds": left == right}


def _with_run_id(world: World, folder: RunFolder) -> World:
    from dataclasses import replace

    return replace(world, log=world.log.with_fields(run_id=folder.run_id))
