"""Stage: inbox to sealed batch, every row accounted for.

Files are copied to the archive before the batch is sealed and leave the inbox after it: whenever the job
dies, a file is in the inbox, or in the archive of a batch that knows it, or in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.calendar import trading_date
from engine.config import IntakeLimits
from engine.errors import AlreadyWritten, EngineError
from engine.intents.assembling import KNOWN_SCHEMA, Assembled, assemble
from engine.intents.problems import RefusedRow
from engine.intents.reading import IntentFile, read_intent_file
from engine.stores.inbox import LONGEST_NAME, Dropped, hash_of, name_with_hash
from engine.stores.runs import BATCH, COLLECTED, MANIFEST, RESULTS, RunFolder
from engine.world import World

_SENT = ("dry_run", "placed", "unresolved")


def collect(folder: RunFolder, world: World) -> None:
    """Read what waits in the inbox, write ``collected.json`` and seal ``intents.parquet``."""
    world.inbox.recover()
    limits = IntakeLimits.of_record(folder.start["settings"])
    files, entries, left = [], [], []
    waiting = world.inbox.waiting()
    for done, dropped in enumerate(waiting):
        world.progress("reading files", done, len(waiting))
        content, why_left = _content(dropped, world, folder)
        if content is None:
            left.append({"name": dropped.printable_name, "why": why_left})
            continue
        file = read_intent_file(
            dropped.name,
            content,
            file_time_us=dropped.mtime_us,
            trading_date=folder.trading_date,
            limits=limits,
        )
        files.append(file)
        entries.append(_entry(dropped, file, content))
        _keep(world, _kept_as(entries[-1], folder.trading_date), content)
    world.progress("reading files", len(waiting), len(waiting))
    batch = assemble(files, known_rows(folder, world))
    for entry, counts in zip(entries, _counts(files, batch), strict=True):
        entry.update(counts)
    refused = [row for file in files for row in file.refused] + batch.conflicts
    rows = {key: sum(entry[key] for entry in entries) for key in ("batched", "quarantined", "duplicate")}
    collected = {
        "files": entries,
        "left": left,
        "rows": {"dropped": sum(entry["rows"] for entry in entries), **rows},
        "refused": [row.record() for row in refused],
        "duplicates": [duplicate.record() for duplicate in batch.duplicates],
        "notes": [{"file": file.name, "message": note} for file in files for note in file.notes],
    }
    folder.write(COLLECTED, collected)
    folder.write(BATCH, batch.table)
    _log(world, batch, refused, left)


def put_away(folder: RunFolder, world: World) -> None:
    """Write the quarantine and take the consumed files out of the inbox; doing it again changes nothing."""
    collected = folder.json(COLLECTED)
    by_file: dict[str, list[dict[str, Any]]] = {}
    for record in collected["refused"]:
        by_file.setdefault(record["file"], []).append(record)
    for entry in collected["files"]:
        refused = by_file.get(entry["name"])
        if refused:
            reasons = _json_lines(refused)
            name = f"{entry['kept_as']}.reasons.{hash_of(reasons)}.jsonl"
            _keep(world, f"quarantine/{folder.trading_date.isoformat()}/{name}", reasons)
        identity = Dropped(entry["name"], entry["size"], entry["mtime_ns"], entry["inode"])
        world.inbox.remove(identity)


def known_rows(folder: RunFolder, world: World) -> pa.Table:
    """Give the rows that earlier runs of the day, in the same mode, have sent (in a dry run: allowed)."""
    parts = [KNOWN_SCHEMA.empty_table()]
    for run in world.runs.of_day(folder.trading_date):
        if run.run_id == folder.run_id or MANIFEST not in run.names():
            continue
        manifest = run.json(MANIFEST)
        by_status = manifest["results"]["by_status"]
        if manifest["mode"] != folder.start["mode"] or not any(by_status.get(status) for status in _SENT):
            continue
        status = run.table(RESULTS, ["status"])["status"].cast(pa.string())
        columns = ["broker_account_id", "client_intent_id", "content_hash", "source_file", "source_row"]
        sent = run.table(BATCH, columns).filter(pc.is_in(status, pa.array(_SENT)))
        place = pc.binary_join_element_wise(
            sent["source_file"].cast(pa.string()), sent["source_row"].cast(pa.string()), ":"
        )
        place = pc.binary_join_element_wise(place, pa.scalar(f" of run {run.run_id}"), "")
        parts.append(
            pa.table(
                [
                    sent["broker_account_id"].cast(pa.string()),
                    sent["client_intent_id"],
                    sent["content_hash"],
                    place,
                ],
                schema=KNOWN_SCHEMA,
            )
        )
    return pa.concat_tables(parts).combine_chunks()


def _content(dropped: Dropped, world: World, folder: RunFolder) -> tuple[bytes | None, str]:
    """Give a file's content, or None and why the file is left for a later run."""
    settings = folder.start["settings"]
    if trading_date(world.clock(), settings["calendar"]) != folder.trading_date:
        return None, "the session of this run is over, and the file belongs to the next one"
    if dropped.printable_name != dropped.name or len(PurePath(dropped.name).name.encode()) > LONGEST_NAME:
        return None, f"its name is not UTF-8, or longer than {LONGEST_NAME} bytes; give it another one"
    try:
        content = world.inbox.read(dropped)
    except EngineError as error:
        world.log.event("run_warning", str(error), severity="ERROR", file=dropped.name)
        return None, str(error)
    if content is None:
        return None, "it changed while it was read"
    settle_s, age_s = settings["inbox_settle_s"], world.clock().timestamp() - dropped.mtime_ns / 1e9
    if age_s < settle_s and name_with_hash(dropped.name, hash_of(content)) != dropped.name:
        return None, f"it is younger than {settle_s:g} s (EXEC_INBOX_SETTLE_S)"
    return content, ""


def _entry(dropped: Dropped, file: IntentFile, content: bytes) -> dict[str, Any]:
    return {
        "name": dropped.name,
        "kept_as": name_with_hash(dropped.name, hash_of(content)),
        "unreadable": file.unreadable,
        "rows": file.rows,
        "size": dropped.size,
        "mtime_ns": dropped.mtime_ns,
        "inode": dropped.inode,
    }


def _kept_as(entry: dict[str, Any], trading_date: date) -> str:
    place = "quarantine" if entry["unreadable"] else "archive"
    return f"{place}/{trading_date.isoformat()}/{entry['kept_as']}"


def _counts(files: list[IntentFile], batch: Assembled) -> Iterable[dict[str, int]]:
    sources = batch.table["source_file"].combine_chunks() if batch.table.num_rows else None
    batched: Counter[str] = Counter()
    if sources is not None:
        numbers = np.bincount(sources.indices.to_numpy(), minlength=len(sources.dictionary))
        batched.update(dict(zip(sources.dictionary.to_pylist(), numbers.tolist(), strict=True)))
    conflicts = Counter(row.first.file for row in batch.conflicts)
    duplicates = Counter(duplicate.file for duplicate in batch.duplicates)
    for file in files:
        yield {
            "batched": batched[file.name],
            "quarantined": len(file.refused) + conflicts[file.name],
            "duplicate": duplicates[file.name],
        }


def _keep(world: World, key: str, content: bytes) -> None:
    """Keep a copy; one that is there already has the same content, since its name carries the hash."""
    with suppress(AlreadyWritten):
        world.objects.put(key, content)


def _json_lines(records: list[dict[str, Any]]) -> bytes:
    from engine.record import json_line

    return b"".join(json_line(record) for record in records)


def _log(world: World, batch: Assembled, refused: list[RefusedRow], left: list[dict[str, str]]) -> None:
    log = world.log
    log.for_each("intent_received", batch.table.num_rows, lambda: _received(batch.table))
    log.for_each(
        "intent_quarantined",
        len(refused),
        lambda: ((row.first.message, {"file": row.first.file, "row": row.first.row}) for row in refused),
        severity="WARNING",
    )
    log.for_each(
        "intent_duplicate",
        len(batch.duplicates),
        lambda: ((again.message, {"intent_id": again.client_intent_id}) for again in batch.duplicates),
        severity="NOTICE",
    )
    for file in left:
        log.event("file_left", f"{file['name']} is left for a later run: {file['why']}", file=file["name"])


def _received(table: pa.Table) -> Iterable[tuple[str, dict[str, Any]]]:
    for intent_id, strategy, account, symbol, file, row in zip(
        *(table[name].to_pylist() for name in _RECEIVED), strict=True
    ):
        yield f"{file}:{row}: {account} {symbol}", {"intent_id": intent_id, "strategy_id": strategy}


_RECEIVED = (
    "client_intent_id",
    "strategy_id",
    "broker_account_id",
    "symbol",
    "source_file",
    "source_row",
)
