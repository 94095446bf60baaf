"""The sum of an account's ledger documents, kept as a checkpoint, so that no sync reads all of them.

A checkpoint has the sum of the account's documents up to a session, ``through``. The whole sum adds the
documents of later sessions, which are few. A sum has the number of its documents and a digest of what was
summed of each, independent of order, so that a document can be removed as well as added::

    total     the documents of sessions up to ``through``; None while it is unknown, which is never 0
    walked    the same, of the documents that a walk through the ledger has met so far
    after     the last document that the walk has met

Where there is no total the walk makes it, page by page, and resumes where it was stopped. Once there is a
total, each sync walks one page further. At its end the walk's sum replaces the total, so that changes by
other programs in old sessions are found.

An engine that writes a document of a session up to ``through`` changes its checkpoint by the difference, in
the same transaction (``written``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, NamedTuple

from engine.errors import EngineError
from engine.ledger.documents import signed_units
from engine.ledger.keys import is_session
from engine.ledger.strategies import strategy_of

VERSION = 1
LAG = timedelta(days=2)
"""A checkpoint ends this long before the session: later documents are read at every sync."""
NEWER_AT_MOST = 1_000
"""Where there are more later documents, the checkpoint includes the older ones of them."""
_DIGESTS = 2**256


class Summand(NamedTuple):
    """The fields that are read of a stored document to sum it, each with the document's own value.

    ``at`` is its position in a walk through the ledger: walks go by ``at`` in ascending order.
    """

    at: tuple[str, ...]
    document_id: str
    account: Any
    trading_date: Any
    strategy_id: Any
    symbol: Any
    side: Any
    filled_qty: Any


@dataclass(frozen=True)
class LedgerSum:
    """A sum over documents: their number, a digest, and units of 1e-9 shares by symbol and strategy.

    ``units`` has no 0. Documents without a strategy are under the strategy ``NO_STRATEGY``.
    """

    count: int = 0
    digest: int = 0
    units: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def changed(self, *, added: Iterable[Summand] = (), removed: Iterable[Summand] = ()) -> LedgerSum:
        """Return the sum with documents added and removed.

        Raises ``EngineError`` for a document that can't be summed.
        """
        count, digest, units = self.count, self.digest, dict(self.units)
        for sign, documents in ((1, list(added)), (-1, list(removed))):
            signed = signed_units(
                (one.document_id, one.symbol, one.side, one.filled_qty) for one in documents
            )
            for one, (symbol, filled) in zip(documents, signed, strict=True):
                strategy = strategy_of(one.strategy_id)
                count += sign
                digest += sign * _digest(one, symbol, strategy, filled)
                units[symbol, strategy] = units.get((symbol, strategy), 0) + sign * filled
        return LedgerSum(count, digest % _DIGESTS, {key: value for key, value in units.items() if value})

    def by_symbol(self) -> dict[str, int]:
        """Return the account's units by symbol, over all strategies and none; without 0."""
        net: dict[str, int] = {}
        for (symbol, _), units in self.units.items():
            net[symbol] = net.get(symbol, 0) + units
        return {symbol: units for symbol, units in net.items() if units}

    def by_strategy(self) -> dict[tuple[str, str], int]:
        """Return the units by strategy and symbol; without 0."""
        return {(strategy, symbol): units for (symbol, strategy), units in self.units.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the sum as a checkpoint keeps it."""
        units: dict[str, dict[str, int]] = {}
        for (symbol, strategy), value in sorted(self.units.items()):
            units.setdefault(symbol, {})[strategy] = value
        return {"count": self.count, "digest": f"{self.digest:064x}", "units": units}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> LedgerSum:
        """Return the sum that ``to_json`` wrote."""
        units = {
            (symbol, strategy): int(value)
            for symbol, of_symbol in kept["units"].items()
            for strategy, value in of_symbol.items()
        }
        return cls(int(kept["count"]), int(kept["digest"], 16), units)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The sum of an account's documents of sessions up to ``through`` (ISO text), and a walk through them.

    ``documents`` is how many the account had when the walk for its first total began. ``counted_on`` is the
    session in which the store last counted them. ``changes`` grows with each change, so that no two states
    are equal.
    """

    account: str
    through: str
    total: LedgerSum | None = None
    after: tuple[str, ...] = ()
    walked: LedgerSum = LedgerSum()
    documents: int = 0
    counted_on: str = ""
    changes: int = 0

    @classmethod
    def begun(cls, account: str, *, today: date, documents: int = 0) -> Checkpoint:
        """Return the checkpoint of an account whose sum is unknown; ``today`` is the current session."""
        return cls(account=account, through=_behind(today), documents=documents)

    def begun_again(self, *, documents: int = 0) -> Checkpoint:
        """Return the checkpoint with an unknown sum and a new walk."""
        return Checkpoint(
            account=self.account, through=self.through, documents=documents, changes=self.changes + 1
        )

    def written(self, pairs: Iterable[tuple[Summand | None, Summand | None]]) -> Checkpoint:
        """Return the checkpoint after changes of documents: each before and after, None for absent.

        Where one of them can't be summed, the sum becomes unknown.
        """
        pairs = list(pairs)
        try:
            removed = [old for old, _ in pairs if old is not None and self._has(old)]
            added = [new for _, new in pairs if new is not None and self._has(new)]
            total = None if self.total is None else self.total.changed(added=added, removed=removed)
            walked = self.walked.changed(added=self._met(added), removed=self._met(removed))
        except EngineError:
            return self.begun_again()
        return replace(self, total=total, walked=walked, changes=self.changes + 1)

    def walked_on(self, page: Sequence[Summand], *, to_the_end: bool) -> Checkpoint:
        """Return the checkpoint once its walk has met ``page``, the next documents.

        Documents of later sessions are ignored. Raises ``EngineError`` for one that can't be summed.
        """
        walked = self.walked.changed(added=[one for one in page if one.trading_date <= self.through])
        if to_the_end:
            return replace(self, total=walked, after=(), walked=LedgerSum(), changes=self.changes + 1)
        return replace(self, after=page[-1].at, walked=walked, changes=self.changes + 1)

    def folded(self, newer: Sequence[Summand], *, today: date) -> Checkpoint:
        """Return the checkpoint with as many of ``newer``, all later sessions' documents, as it may include.

        Those of the latest days are left out, unless they are more than ``NEWER_AT_MOST``.
        """
        days = sorted((one.trading_date for one in newer), reverse=True)
        through = max(self.through, _behind(today), *days[NEWER_AT_MOST : NEWER_AT_MOST + 1])
        within = [one for one in newer if one.trading_date <= through]
        total = None if self.total is None else self.total.changed(added=within)
        walked = self.walked.changed(added=self._met(within))
        return replace(self, through=through, total=total, walked=walked)

    def text(self) -> str:
        """Return the text that a store keeps: JSON, with a hash of itself."""
        fields = {
            "account": self.account,
            "through": self.through,
            "total": None if self.total is None else self.total.to_json(),
            "after": list(self.after),
            "walked": self.walked.to_json(),
            "documents": self.documents,
            "counted_on": self.counted_on,
            "changes": self.changes,
        }
        return _canonical({"version": VERSION, "hash": _hash(VERSION, fields), "checkpoint": fields})

    def _has(self, one: Summand) -> bool:
        """Return whether the total has a document. Raises ``EngineError`` where that is unknown."""
        if one.account != self.account:
            return False
        if not is_session(one.trading_date):
            raise EngineError(f"ledger document {one.document_id} is of no session")
        in_total: bool = one.trading_date <= self.through
        return in_total

    def _met(self, documents: Iterable[Summand]) -> list[Summand]:
        """Return the documents that the walk has already met."""
        return [one for one in documents if one.at <= self.after]


def checkpoint_of(text: str, account: str) -> Checkpoint | None:
    """Return the checkpoint in a store's text; None if it is damaged, or of another account or version."""
    if version_of(text) != VERSION:
        return None
    fields = json.loads(text)["checkpoint"]
    try:
        total = fields["total"]
        checkpoint = Checkpoint(
            account=fields["account"],
            through=fields["through"],
            total=None if total is None else LedgerSum.from_json(total),
            after=tuple(fields["after"]),
            walked=LedgerSum.from_json(fields["walked"]),
            documents=fields["documents"],
            counted_on=fields["counted_on"],
            changes=fields["changes"],
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return checkpoint if checkpoint.account == account else None


def version_of(text: str) -> int | None:
    """Return the version of a checkpoint's text, None where its hash does not match."""
    try:
        kept = json.loads(text)
        version = kept["version"]
        is_whole = kept["hash"] == _hash(version, kept["checkpoint"])
    except (ValueError, TypeError, KeyError):
        return None
    return version if is_whole and isinstance(version, int) else None


def _behind(today: date) -> str:
    return (today - LAG).isoformat()


def _digest(one: Summand, symbol: str, strategy: str, units: int) -> int:
    text = json.dumps([one.document_id, one.account, one.trading_date, symbol, strategy, units])
    return int.from_bytes(hashlib.sha256(text.encode()).digest())


def _hash(version: object, fields: object) -> str:
    return hashlib.sha256(_canonical([version, fields]).encode()).hexdigest()


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
