"""Rows that earlier runs of the session have sent, and which must not be sent again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from engine.intents.assembling import KNOWN_SCHEMA
from engine.intents.identity import IdentityRules
from engine.intents.near_repeats import NEEDED_COLUMNS, near_repeats
from engine.intents.reading import IntentFile
from engine.record.run_folder import BATCH, MANIFEST, RESULTS, RunFolder, RunFolders
from engine.routing.outcomes import REJECTED_AFTER_ACCEPTANCE

_SENT = ("dry_run", "placed", "unresolved")
_COLUMNS = ["broker_account_id", "client_intent_id", "content_hash", "source_file", "source_row"]


@dataclass(frozen=True)
class EarlierRun:
    """A finished run of the session, in the same mode, that has sent something (dry: allowed something)."""

    folder: RunFolder

    @property
    def rules(self) -> IdentityRules:
        """The identity rules of its rows."""
        return IdentityRules.of_record(self.folder.start)

    @cached_property
    def _is_sent(self) -> pa.ChunkedArray:
        results = self.folder.table(RESULTS, ["status", "reason"])
        status, reason = (results[name].cast(pa.string()) for name in ("status", "reason"))
        return pc.or_(pc.is_in(status, pa.array(_SENT)), pc.equal(reason, REJECTED_AFTER_ACCEPTANCE))

    def sent(self, columns: list[str] | None = None) -> pa.Table:
        """Return the rows of the batch that were sent."""
        return self.folder.table(BATCH, columns).filter(self._is_sent)

    def known(self) -> pa.Table:
        """Return these rows as ``KNOWN_SCHEMA``."""
        sent = self.sent(_COLUMNS)
        row = sent["source_row"].cast(pa.string())
        place = pc.binary_join_element_wise(sent["source_file"].cast(pa.string()), row, ":")
        place = pc.binary_join_element_wise(place, pa.scalar(f" of run {self.folder.run_id}"), "")
        account = sent["broker_account_id"].cast(pa.string())
        return pa.table([account, sent["client_intent_id"], sent["content_hash"], place], schema=KNOWN_SCHEMA)


@dataclass(frozen=True)
class EarlierRuns:
    """The earlier runs of a run's session and mode that have sent something, oldest first.

    They are read only where the inbox had rows, so that the cost of an empty run doesn't grow with them.
    """

    folder: RunFolder
    all_runs: RunFolders

    @cached_property
    def runs(self) -> list[EarlierRun]:
        """The runs."""
        return [EarlierRun(run) for run in _with_something_sent(self.folder, self.all_runs)]

    @cached_property
    def known(self) -> dict[IdentityRules, pa.Table]:
        """The rows that the runs have sent (``KNOWN_SCHEMA``), by their identity rules."""
        parts: dict[IdentityRules, list[pa.Table]] = {}
        for run in self.runs:
            parts.setdefault(run.rules, []).append(run.known())
        return {rules: pa.concat_tables(tables).combine_chunks() for rules, tables in parts.items()}

    def other_rules(self) -> list[IdentityRules]:
        """Return the identity rules of these rows other than the run's own."""
        own = IdentityRules.of_record(self.folder.start)
        return [rules for rules in self.known if rules != own]

    def near_repeats_of(self, batch: pa.Table, files: list[IntentFile]) -> Iterator[tuple[str, str]]:
        """Yield file and message for rows of a batch that differ from sent rows in metadata only."""
        names = [file.name for file in files if not file.says_created_at]
        if not batch.num_rows or not names:
            return
        for run in self.runs:
            yield from near_repeats(batch, run.sent(NEEDED_COLUMNS), run.folder.run_id, names)


def _with_something_sent(folder: RunFolder, runs: RunFolders) -> Iterator[RunFolder]:
    for run in runs.of_day(folder.trading_date):
        if run.run_id == folder.run_id or MANIFEST not in run.names():
            continue
        manifest = run.json(MANIFEST)
        by_status = manifest["results"]["by_status"]
        if manifest["mode"] == folder.start["mode"] and any(
            by_status.get(status) for status in (*_SENT, "broker_rejected")
        ):
            yield run
