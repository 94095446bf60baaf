"""Stage: inbox to sealed batch, every row accounted for.

Files are copied to the archive before the batch is sealed and removed from the inbox after it: if the job
dies at any point, a file is in the inbox, or in the archive of a batch that lists it, or in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from engine.context import RunContext
from engine.intents.assembling import KNOWN_SCHEMA, Assembled, assemble
from engine.intents.identity import IdentityRules
from engine.intents.problems import RefusedRow
from engine.intents.reading import IntentFile
from engine.log import EventLog
from engine.record.run_folder import BATCH, COLLECTED, DUPLICATES, RunFolder
from engine.run.intake import take_in
from engine.run.known_rows import EarlierRuns
from engine.run.put_away import Remover, log_left, shortened
from engine.stores.inbox.files import Left

_DUPLICATES_LISTED = 10_000
"""The most duplicates in ``collected.json``; where there are more, ``duplicates.parquet`` has all."""


def collect(folder: RunFolder, context: RunContext) -> None:
    """Read the files of the inbox, write ``collected.json`` and seal ``intents.parquet``."""
    earlier = EarlierRuns(folder, context.runs)
    intake = take_in(
        folder,
        Remover(context.inbox, context.objects, context.log),
        clock=context.clock,
        progress=context.progress,
        previous=earlier.other_rules,
    )
    known = dict(earlier.known) if any(file.table.num_rows for file in intake.files) else {}
    of_now = known.pop(IdentityRules.of_record(folder.start), KNOWN_SCHEMA.empty_table())
    files, entries, left = intake.files, intake.entries, shortened(intake.left)
    batch = assemble(files, of_now, known)
    for entry, counts in zip(entries, _counts(files, batch), strict=True):
        entry.update(counts)
    refused = [row for file in files for row in file.refused] + batch.conflicts
    rows = {key: sum(entry[key] for entry in entries) for key in ("batched", "quarantined", "duplicate")}
    collected = {
        "files": entries,
        "left": [one.record() for one in left],
        "rows": {"dropped": sum(entry["rows"] for entry in entries), **rows},
        "refused": [row.record() for row in refused],
        "duplicates": [duplicate.record() for duplicate in batch.listed_duplicates(_DUPLICATES_LISTED)],
        "notes": [
            *({"file": file.name, "message": note} for file in files for note in file.notes),
            *({"file": name, "message": note} for name, note in earlier.near_repeats_of(batch.table, files)),
        ],
    }
    if batch.duplicates.num_rows > _DUPLICATES_LISTED:
        folder.write(DUPLICATES, batch.duplicates)
    folder.write(COLLECTED, collected)
    folder.write(BATCH, batch.table)
    _log(context.log, batch, refused, left)


def _counts(files: list[IntentFile], batch: Assembled) -> Iterable[dict[str, int]]:
    sources = batch.table["source_file"].combine_chunks() if batch.table.num_rows else None
    batched: Counter[str] = Counter()
    if sources is not None:
        numbers = np.bincount(sources.indices.to_numpy(), minlength=len(sources.dictionary))
        batched.update(dict(zip(sources.dictionary.to_pylist(), numbers.tolist(), strict=True)))
    counts = batch.duplicates["file"].cast(pa.string()).value_counts().to_pylist()
    duplicates = {pair["values"]: pair["counts"] for pair in counts}
    for file in files:
        yield {
            "batched": batched[file.name],
            "quarantined": len(file.refused) + batch.conflicts_by_file.get(file.name, 0),
            "duplicate": duplicates.get(file.name, 0),
        }


def _log(log: EventLog, batch: Assembled, refused: list[RefusedRow], left: list[Left]) -> None:
    log.for_each("intent_received", batch.table.num_rows, lambda: _received(batch.table))
    log.for_each(
        "intent_quarantined",
        len(refused),
        lambda: ((row.first.message, {"file": row.first.file, "row": row.first.row}) for row in refused),
        severity="WARNING",
    )
    log.for_each(
        "intent_duplicate",
        batch.duplicates.num_rows,
        lambda: (
            (again.message, {"intent_id": again.client_intent_id}) for again in batch.listed_duplicates()
        ),
        severity="NOTICE",
    )
    for one in left:
        log_left(log, one)


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
