"""Writes fills into the ledger, whatever they contain: an order that was sent must be counted.

Validation rejects intents that the ledger can't store. Where a document is refused all the same (a batch
sealed by an earlier version, a broker's reply, a store with its own rules), the ledger gets the part that it
accepts, at least the fields by which orders are counted and summed. The whole document, with the missing
part and the reason, is stored beside the runs::

    unkept/<session>/<run id>/<hash>.json

A store that is down is different: its error is raised, and the next run writes again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from engine.errors import AlreadyWritten, DocumentRefused, EngineError
from engine.ledger.documents import NO_SESSION, bookable, essential
from engine.log import EventLog
from engine.model.calendar import FIRST_DAY, LAST_DAY
from engine.model.keeping import in_short
from engine.record.formats import json_bytes, read_json
from engine.record.objects import Objects
from engine.stores.protocols import LedgerStore

_PLACE = "unkept/"
_HASH_LETTERS = 16


@dataclass(frozen=True)
class Booked:
    """The outcome of booking: ``unkept`` are the files with what the ledger lacks.

    ``missing``: the broker's ids of orders that are not in the ledger at all.
    """

    unkept: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class FillBooking:
    """Books fills in ``ledger``; what it permanently refuses is stored in ``objects``, beside the runs."""

    ledger: LedgerStore
    objects: Objects
    log: EventLog

    def book(self, documents: list[dict[str, Any]], *, trading_date: date, run_id: str) -> Booked:
        """Merge the documents of a run's orders into the ledger, without what it permanently refuses.

        Raises ``EngineError`` where the ledger is down.
        """
        if not documents:
            return Booked()
        place = f"{_PLACE}{trading_date.isoformat()}/{run_id}/"
        try:
            changed = self._written(documents)
        except DocumentRefused:
            booked = self._one_by_one(documents, place)
        else:
            self.log.event("ledger_written", f"{changed} of {len(documents)} trades changed in the ledger")
            booked = Booked()
        odd = [document for document in documents if document.get(NO_SESSION)]
        booked.unkept.extend(self._kept_beside(_times_record(document), place) for document in odd)
        return booked

    def _one_by_one(self, documents: Iterable[Mapping[str, Any]], place: str) -> Booked:
        booked = Booked()
        for document in documents:
            form, why = self._accepted(document)
            if form is document:
                continue
            booked.unkept.append(self._kept_beside(_record(document, form, why), place))
            if form is None:
                booked.missing.add(str(document.get("broker_order_id")))
        return booked

    def _kept_beside(self, record: dict[str, Any], place: str) -> str:
        """Store what the ledger lacks of an order, and return the file."""
        key = f"{place}{_hash(record)}.json"
        with suppress(AlreadyWritten):
            self.objects.put(key, json_bytes(record))
        self.log.event(
            "ledger_kept_in_part",
            f"{record['message']} What is missing is in {key}.",
            severity="ERROR" if record["is_counted"] else "CRITICAL",
            intent_id=str(record["document"].get("client_intent_id", "")),
            broker_order_id=str(record["document"].get("broker_order_id", "")),
        )
        return key

    def _accepted(self, document: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
        """Write the fullest form of a document that the ledger accepts; return it and the latest refusal."""
        why = ""
        part = bookable(document)[0]
        for form in (document, part, essential(part)):
            try:
                self._written([form])
            except DocumentRefused as error:
                why = str(error)
            else:
                return form, why
        return None, why

    def _written(self, documents: Iterable[Mapping[str, Any]]) -> int:
        try:
            return self.ledger.write_ledger(documents)
        except DocumentRefused:
            raise
        except EngineError as error:
            self.log.event("ledger_write_failed", str(error), severity="ERROR")
            raise


def unkept(objects: Objects, *, trading_date: date, run_id: str) -> list[str]:
    """Return the files with what the ledger lacks of a run's orders."""
    return objects.list(f"{_PLACE}{trading_date.isoformat()}/{run_id}/")


def what_is_unkept(objects: Objects, keys: Iterable[str]) -> list[str]:
    """Return a sentence for each file: what the ledger lacks, and where it is."""
    records = ((key, read_json(key, objects.read(key))) for key in keys)
    return [f"{record['message']} What is missing is in {key}." for key, record in records]


def _record(document: Mapping[str, Any], form: Mapping[str, Any] | None, why: str) -> dict[str, Any]:
    """Return the record of a document that the ledger has only in part, or not at all."""
    kept = {} if form is None else form
    parts = [part.record() for part in bookable(document)[1]]
    named = {part["path"].partition(".")[0] for part in parts}
    parts += [
        {"path": name, "value": in_short(document[name]), "rule": "what the ledger takes", "remedy": why}
        for name in document
        if name not in kept and name not in named
    ]
    order = f"order {document.get('broker_order_id')} of intent {document.get('client_intent_id')}"
    extent = "is not in the ledger" if form is None else "is in the ledger in part"
    first = f"{parts[0]['path']} is {parts[0]['value']}; expected {parts[0]['rule']}." if parts else why
    return {
        "message": f"{order} {extent}: {first}",
        "is_counted": form is not None,
        "missing": parts,
        "why": why,
        "document": dict(document),
    }


def _times_record(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of executions whose time no calendar covers: their session is unknown."""
    times = ", ".join(document[NO_SESSION])
    rule = f"a time from {FIRST_DAY.year} to {LAST_DAY.year}"
    remedy = "Look it up on the broker's dashboard, and report it to the broker."
    order = f"order {document.get('broker_order_id')} of intent {document.get('client_intent_id')}"
    return {
        "message": f"{order} is in the ledger in session {document.get('trading_date')}, but the broker "
        f"reports an execution of it at {times}; expected {rule}. {remedy}",
        "is_counted": True,
        "missing": [{"path": NO_SESSION, "value": times, "rule": rule, "remedy": remedy}],
        "why": "no calendar has a session at that time",
        "document": dict(document),
    }


def _hash(record: Mapping[str, Any]) -> str:
    """Return a name that is the same each time the same gap is found."""
    content = json.dumps([record["message"], record["is_counted"], record["missing"]])
    return hashlib.sha256(content.encode()).hexdigest()[:_HASH_LETTERS]
