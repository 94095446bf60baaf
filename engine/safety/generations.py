"""Checks that the stores are those that the live runs of this data folder used, and are up to date.

A data folder and its stores both record the identity of the stores, and a generation: a number that grows
when a live command begins, and again when it has booked its orders. So a store that was lost, replaced or
restored from a backup is detected, and so is an outdated copy of the folder. Nothing may be decided on
either: daily counts would be too low, fills would look like another trader's, and a halt would be lost.

For each generation, ``folder/generations/`` in the data folder has::

    <number>-<token>.begun.json    written first: stores, who and when
    <number>-<token>.kept.json     written last: every store has it; and whether a command ended with it

and each store has the documents ``store`` (its identity, created at first use) and ``folder-<identity of the
folder>`` (number and token). A job that is killed in between leaves stores with the previous generation or
with the one that was begun; both are up to date. So would be a store restored from a backup of that time:
where the latest command has not ended, the ledger is compared with the record.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from engine.errors import DataUnavailable, EngineError, RecordError, StoreChanged, StoreDamaged
from engine.ledger.documents import ADJUSTMENT
from engine.log import EventLog
from engine.record.folder_identity import folder_identity, known_identity
from engine.record.formats import json_bytes, read_json
from engine.record.kept_adjustments import keep_adjustments, kept_adjustments
from engine.record.objects import Objects
from engine.record.open_orders import left_open
from engine.record.run_folder import RunFolders
from engine.safety.recorded_ledger import lacking, recorded_documents
from engine.stores.chosen import Stores, identity_of
from engine.stores.protocols import AgentDocuments

_PLACE = "folder/generations/"
_STORE, _ENDED = "store", "ended"
POSITIONS, LEDGER = "positions", "ledger"
_FILE = re.compile(rf"{_PLACE}(\d{{10}})-([0-9a-f]{{16}})\.(begun|kept)\.json", re.ASCII)
_KEPT_BEHIND = 3
_REBUILD = "`execution-engine ledger rebuild --by NAME --why TEXT` makes the ledger again from the record"
_ADOPT = "`execution-engine stores adopt --by NAME --why TEXT`"


@dataclass(frozen=True)
class Store:
    """One store as a folder records it: what it keeps, the name of its place, and its documents.

    ``place`` distinguishes it from stores elsewhere; that of the embedded store moves with the data folder.
    """

    keeps: str
    place: str
    documents: AgentDocuments

    @property
    def shown(self) -> str:
        """Its place, for messages."""
        return self.documents.place


@dataclass(frozen=True)
class _Generation:
    number: int
    token: str
    is_kept: bool


@dataclass(frozen=True)
class _Seen:
    """A store's own identity, "" where it has none, and this folder's mark in it."""

    identity: str
    mark: dict[str, Any] | None


@dataclass(frozen=True)
class _Looked:
    kept: _Generation | None
    begun: tuple[_Generation, ...]
    seen: tuple[_Seen, ...]


@dataclass(frozen=True)
class Generations:
    """The generations of the data folder at ``objects``.

    ``unbooked`` returns the broker's ids of orders whose fills the record has and the ledger lacks; it is
    called where a folder has no generation yet, and where the latest command did not end. ``carry_over``
    copies what only the ledger has into a folder without generations.
    """

    objects: Objects
    stores: tuple[Store, ...]
    unbooked: Callable[[], list[str]]
    carry_over: Callable[[], None] = lambda: None

    def verify(self) -> None:
        """Check that every store is the one used before, and that neither it nor the folder is behind.

        Changes nothing. Raises ``StoreChanged`` with the faults and their remedies, ``DataUnavailable``
        where a store can't be reached now, and ``RecordError``.
        """
        self._verified()

    def advance(self, *, by: str, at: datetime) -> None:
        """Verify, then begin the next generation in the folder and in every store.

        Raises as ``verify`` does, and ``EngineError`` where a store can't be written; idempotent.
        """
        looked = self._verified()
        if looked.kept is None:
            self.carry_over()
        self._advance(looked, {"by": by, "at": at.isoformat()}, has_ended=False)

    def end(self, *, by: str, at: datetime, log: EventLog) -> None:
        """Begin the next generation once a command has booked its orders.

        A backup of a store made while the command was running is then behind: it lacks what was booked later.
        Where the stores can't be written, that is only logged: all decisions have been recorded by then.
        """
        try:
            looked = self._verified(is_at_work=True)
            self._advance(looked, {"by": by, "at": at.isoformat()}, has_ended=True)
        except EngineError as error:
            message = f"that this command has ended can't be recorded in every store: {error}"
            log.event("generation_not_kept", message, severity="WARNING")

    def adopt(self, *, by: str, why: str, at: datetime) -> None:
        """Record the stores that the settings name as those of this folder, whatever they contain.

        Raises ``StoreChanged`` for a store that is damaged, ``DataUnavailable`` and ``EngineError``.
        """
        self._advance(self._looked(), {"by": by, "at": at.isoformat(), "adopted": why}, has_ended=True)

    def has_begun(self) -> bool:
        """Return whether a live command has used this data folder. Raises ``RecordError``."""
        return bool(_generations(self.objects))

    def faults(self) -> list[str]:
        """Return what is wrong with each store, as ``verify`` reports it; empty where nothing is."""
        try:
            self._verified()
        except StoreChanged as changed:
            return list(changed.faults)
        return []

    def _verified(self, *, is_at_work: bool = False) -> _Looked:
        looked = self._looked()
        faults = self._faults(looked)
        if not faults and looked.kept is not None and not is_at_work and not self._has_ended(looked.kept):
            faults = self._faults_by_the_record()
        if faults:
            raise StoreChanged(faults)
        return looked

    def _looked(self) -> _Looked:
        generations = _generations(self.objects)
        kept = [one for one in generations if one.is_kept]
        latest = max(kept, key=lambda one: one.number, default=None)
        newer = tuple(one for one in generations if latest is None or one.number > latest.number)
        return _Looked(latest, newer, tuple(self._seen(store) for store in self.stores))

    def _seen(self, store: Store) -> _Seen:
        folder = known_identity(self.objects)
        try:
            identity = (store.documents.agent_document(_STORE) or {}).get("identity", "")
            mark = store.documents.agent_document(f"folder-{folder}") if folder else None
        except StoreDamaged as damaged:
            raise StoreChanged([f"{store.keeps}: {damaged}"]) from damaged
        return _Seen(str(identity), mark)

    def _faults(self, looked: _Looked) -> list[str]:
        if looked.kept is None:
            marked = [one.mark for one in looked.seen if one.mark and not _is_one_of(one.mark, looked.begun)]
            if marked:
                return [_behind(self.stores, marked[0])]
            return self._faults_by_the_record()
        was = self._stores_of(looked.kept)
        pairs = zip(self.stores, looked.seen, strict=True)
        return [fault for store, seen in pairs if (fault := _fault(store, seen, was, looked))]

    def _has_ended(self, kept: _Generation) -> bool:
        """Return whether the command that kept a generation has ended; where that is unknown, it has not."""
        key = _key(kept, "kept")
        try:
            return read_json(key, self.objects.read(key)).get(_ENDED) is True
        except RecordError:
            return False

    def _faults_by_the_record(self) -> list[str]:
        """Return a fault where the ledger lacks fills of the record; used where no generation decides."""
        unbooked = self.unbooked()
        if not unbooked:
            return []
        (ledger,) = (store for store in self.stores if LEDGER in store.keeps)
        shown = ", ".join(unbooked[:3]) + (", …" if len(unbooked) > 3 else "")
        fault = (
            f"{ledger.keeps}: {ledger.shown} lacks fills of {len(unbooked)} orders that runs of this data "
            f"folder sent ({shown}). If the settings name the wrong store, correct them; else {_REBUILD}."
        )
        return [fault]

    def _stores_of(self, kept: _Generation) -> dict[str, dict[str, str]]:
        name = _key(kept, "begun")
        try:
            stores = read_json(name, self.objects.read(name)).get("stores")
        except RecordError as error:
            raise StoreChanged([_unknown_stores(str(error).removesuffix("."))]) from error
        if not isinstance(stores, dict) or not all(isinstance(one, dict) for one in stores.values()):
            raise StoreChanged([_unknown_stores(f"{name} is damaged")])
        return stores

    def _advance(self, looked: _Looked, origin: Mapping[str, str], *, has_ended: bool) -> None:
        identity = folder_identity(self.objects)
        identities = [
            seen.identity or _identify(store) for store, seen in zip(self.stores, looked.seen, strict=True)
        ]
        marks = [_number(seen.mark) for seen in looked.seen]
        numbers = [one.number for one in (*looked.begun, *filter(None, [looked.kept]))]
        new = _Generation(max([*numbers, *marks], default=0) + 1, secrets.token_hex(8), is_kept=True)
        stores = {
            store.keeps: {"place": store.place, "identity": identity_of_store}
            for store, identity_of_store in zip(self.stores, identities, strict=True)
        }
        self.objects.put(_key(new, "begun"), json_bytes({**origin, "stores": stores}))
        mark = {"generation": new.number, "token": new.token, **origin}
        for store, seen in zip(self.stores, looked.seen, strict=True):
            if not store.documents.replace_agent_document(f"folder-{identity}", mark, replacing=seen.mark):
                raise EngineError(
                    f"{store.keeps}: {store.shown} was changed for this data folder at the same time: a copy "
                    f"of the folder is in use as well. Nothing was sent; use only one of the two."
                )
        self.objects.put(_key(new, "kept"), json_bytes({**origin, _ENDED: has_ended}))
        for old in _generations(self.objects):
            if old.number <= new.number - _KEPT_BEHIND:
                self.objects.delete(_key(old, "kept" if old.is_kept else "begun"))
                self.objects.delete(_key(old, "begun"))


def generations_of(objects: Objects, stores: Stores, clock: Callable[[], datetime]) -> Generations:
    """Return the generations of a data folder and the stores that the settings name."""

    def unbooked() -> list[str]:
        documents = [*recorded_documents(objects, now=clock()), *kept_adjustments(objects)]
        open_ids = {one.intent.client_intent_id for left in left_open(objects) for one in left.orders}
        found = (
            one
            for one in lacking(documents, stores.ledger)
            if one.get("client_intent_id") not in open_ids  # the next sync books it, or reports why it can't
        )
        return sorted(str(one["broker_order_id"]) for one in found)

    def carry_over() -> None:
        runs = (run for run in RunFolders(objects).all() if run.start["mode"] == "live")
        for account in sorted({venue["account"] for run in runs for venue in run.start["venues"]} - {""}):
            documents = stores.ledger.account_documents(account, since=date.min)
            keep_adjustments(objects, [one for one in documents if ADJUSTMENT in one])

    ledger = Store(LEDGER, identity_of(stores.ledger), stores.agent)
    if stores.with_positions is stores.agent:
        both = replace(ledger, keeps=f"{POSITIONS} and {LEDGER}")
        return Generations(objects, (both,), unbooked, carry_over)
    positions = Store(POSITIONS, identity_of(stores.positions), stores.with_positions)
    return Generations(objects, (positions, ledger), unbooked, carry_over)


def _generations(objects: Objects) -> list[_Generation]:
    """Return the generations that a folder records; one that was kept was begun as well."""
    found: dict[tuple[int, str], bool] = {}
    for key in objects.list(_PLACE):
        name = _FILE.fullmatch(key)
        if name is None:
            raise RecordError(
                f"{key} is not a file of the engine. Nothing was sent; move it away, and run again."
            )
        of = (int(name[1]), name[2])
        found[of] = found.get(of, False) or name[3] == "kept"
    return [_Generation(number, token, is_kept) for (number, token), is_kept in found.items()]


def _fault(store: Store, seen: _Seen, was: Mapping[str, Mapping[str, str]], looked: _Looked) -> str:
    """Return what is wrong with a store that a folder has used before, "" where nothing is."""
    known = was.get(store.keeps) or next((one for keeps, one in was.items() if store.keeps in keeps), {})
    before = known.get("place") or " and ".join(str(one.get("place")) for one in was.values())
    if before != store.place:
        return (
            f"{store.keeps}: the settings name {store.shown}, and the last live run used {before}. Set "
            f"DATABASE_URL, FIREBASE_PROJECT_ID, EXEC_TENANT_ID and EXEC_STORE back to what they were; where "
            f"the change is meant, {_ADOPT} accepts it."
        )
    if not seen.identity:
        return (
            f"{store.keeps}: {store.shown} is empty or gone, and live runs of this data folder have used it. "
            f"Restore its latest state, or {_REBUILD}."
        )
    if seen.identity != known.get("identity"):
        return (
            f"{store.keeps}: {store.shown} is another store than the one that the last live run used. Put "
            f"that one back; where the change is meant, {_ADOPT} accepts it."
        )
    assert looked.kept is not None
    here = looked.kept.number
    there = _number(seen.mark)
    if seen.mark and _is_one_of(seen.mark, (looked.kept, *looked.begun)):
        return ""
    if there < here:
        return (
            f"{store.keeps}: {store.shown} is older than this data folder ({_since(seen.mark)}): it was "
            f"restored from a backup, and what came since is missing in it. {_REBUILD}."
        )
    return _behind([store], seen.mark or {})


def _unknown_stores(what: str) -> str:
    return (
        f"{what}, so that it is unknown which stores the last live run used. If those that the settings name "
        f"are the right ones, {_ADOPT} says so."
    )


def _behind(stores: Iterable[Store], mark: Mapping[str, Any]) -> str:
    return (
        f"{' and '.join(store.keeps for store in stores)}: another copy of this data folder has traded since "
        f"({_since(mark)}), and this one does not know what. Use that copy; where it is lost, {_ADOPT} goes "
        f"on with this one."
    )


def _since(mark: Mapping[str, Any] | None) -> str:
    if not mark:
        return "it knows nothing of this folder"
    at = str(mark.get("at", ""))[:19].replace("T", " ")
    return f"its generation is {mark.get('generation')}, of {at} UTC, by {mark.get('by', 'unknown')}"


def _number(mark: Mapping[str, Any] | None) -> int:
    number = (mark or {}).get("generation")
    return number if isinstance(number, int) else 0


def _is_one_of(mark: Mapping[str, Any], generations: Iterable[_Generation]) -> bool:
    return any((mark.get("generation"), mark.get("token")) == (one.number, one.token) for one in generations)


def _identify(store: Store) -> str:
    """Return a store's identity; assigns one where it has none."""
    new = {"identity": secrets.token_hex(16)}
    store.documents.replace_agent_document(_STORE, new, replacing=None)
    kept = store.documents.agent_document(_STORE)
    if kept is None or "identity" not in kept:
        raise DataUnavailable(f"{store.keeps}: {store.shown} does not keep what is written. Run again.")
    return str(kept["identity"])


def _key(generation: _Generation, kind: str) -> str:
    return f"{_PLACE}{generation.number:010d}-{generation.token}.{kind}.json"
