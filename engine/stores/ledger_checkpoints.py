"""The sum of an account's ledger by its checkpoint: what is read, in which order, and what is kept.

A sum reads the checkpoint, the documents of sessions after it, and one page of the walk that verifies the
older ones (``engine.ledger.sums``). That number does not grow with the ledger. The result is kept only
where no document of the account was written meanwhile; else everything is read again.

Without a valid checkpoint the documents are read page by page, each page with a deadline of its own. The
progress is kept after each page, so that a later sync resumes there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

from engine.errors import DataUnavailable, EngineError
from engine.ledger.keys import DocumentKeys, check_own
from engine.ledger.sums import VERSION, Checkpoint, Summand, checkpoint_of, version_of
from engine.waiting.backoff import backoff
from engine.waiting.deadline import Deadline
from engine.waiting.pause import waited

BUILD_S = 60.0
"""The time that a sync takes to sum up an account without a checkpoint; the next sync resumes."""
PAGE_OF_A_BUILD = 2_000
PAGE_OF_A_WALK = 500
_ATTEMPTS = 20
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.02, 0.2


@dataclass(frozen=True)
class Kept:
    """A checkpoint's text in a store, None where there is none, and a token that changes with it."""

    text: str | None
    token: Any = None


class SummedLedger(Protocol):
    """The calls of a store by which its documents are summed with a checkpoint."""

    @property
    def place(self) -> str:
        """Where the store is, for people."""
        ...

    def kept(self, account: str) -> Kept:
        """Return an account's checkpoint. Raises ``DataUnavailable``."""
        ...

    def keep(self, checkpoint: Checkpoint, *, replacing: Kept) -> bool:
        """Keep a checkpoint; return whether neither it nor any document of the account was written since.

        Raises ``EngineError``.
        """
        ...

    def page(self, known: Checkpoint, limit: int) -> list[Summand]:
        """Return the next documents of a checkpoint's walk; fewer than ``limit`` only at its end.

        Those of sessions after the checkpoint's may be left out. Raises ``DataUnavailable``.
        """
        ...

    def newer(self, known: Checkpoint) -> list[Summand]:
        """Return all documents of sessions after a checkpoint's. Raises ``DataUnavailable``."""
        ...

    def count(self, account: str) -> int:
        """Return how many documents an account has, of any session. Raises ``DataUnavailable``."""
        ...


@dataclass(frozen=True)
class _Summing:
    """One sum of an account's documents."""

    ledger: SummedLedger
    account: str
    today: date

    def net_units(self, *, counting: bool) -> dict[str, int]:
        deadline, attempts = Deadline.after(BUILD_S), 0
        waits_s = backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        while True:
            kept = self.ledger.kept(self.account)
            known = checkpoint_of(kept.text or "", self.account)
            if known is None:
                self._check_version(kept.text or "")
                documents = self.ledger.count(self.account)
                if documents == 0 and kept.text is None:
                    return {}
                known = Checkpoint.begun(self.account, today=self.today, documents=documents)
                new = replace(known, changes=known.changes + 1)
                net = None
            elif known.total is None:
                new, net = self._built_on(known), None
            else:
                try:
                    new, net = self._summed(known, counting=counting)
                except EngineError:
                    self._count_next(known, kept)
                    raise
            if not self.ledger.keep(new, replacing=kept):
                attempts += 1
                self._check_attempts(attempts)
                waited(next(waits_s))
            elif net is not None:
                return net
            elif new.total is None and new.after and deadline.is_over():
                raise DataUnavailable(f"{self._progress(new)} Sync again: it resumes there.")

    def _check_version(self, text: str) -> None:
        if (version_of(text) or 0) > VERSION:
            raise DataUnavailable(
                f"{self.ledger.place}: a newer engine wrote the checkpoint of the ledger of account "
                f"{self.account}: update the engine."
            )

    def _built_on(self, known: Checkpoint) -> Checkpoint:
        """Return a checkpoint without a total one page further."""
        limit = PAGE_OF_A_BUILD
        try:
            page = self._page(known, limit)
        except DataUnavailable as error:
            if not known.after:
                raise
            raise DataUnavailable(f"{error} {self._progress(known)}") from error
        return known.walked_on(page, to_the_end=len(page) < limit)

    def _summed(self, known: Checkpoint, *, counting: bool) -> tuple[Checkpoint, dict[str, int] | None]:
        """Return the checkpoint to keep and the units by symbol; None where the sum has to begin again."""
        assert known.total is not None
        newer = self.ledger.newer(known)
        self._check(newer)
        limit = PAGE_OF_A_WALK
        page = self._page(known, limit)
        is_whole = not known.after and len(page) < limit
        is_due = counting or known.counted_on != self.today.isoformat()
        if is_due and not is_whole:
            documents = self.ledger.count(self.account)
            if documents != known.total.count + len(newer):
                return known.begun_again(documents=documents), None
        walked = known.walked_on(page, to_the_end=len(page) < limit)
        assert walked.total is not None
        net = walked.total.changed(added=newer).by_symbol()
        new = walked.folded(newer, today=self.today)
        return replace(new, counted_on=self.today.isoformat()), net

    def _count_next(self, known: Checkpoint, kept: Kept) -> None:
        """Make the next sum count the documents: a corrected one may be new to the total."""
        if known.counted_on:
            again = replace(known, counted_on="", changes=known.changes + 1)
            self.ledger.keep(again, replacing=kept)

    def _page(self, known: Checkpoint, limit: int) -> list[Summand]:
        page = self.ledger.page(known, limit)
        self._check(page)
        return page

    def _check(self, read: Sequence[Summand]) -> None:
        """Raise ``DataUnavailable`` for a document that can't be counted or summed."""
        keys = (DocumentKeys(one.document_id, one.account, one.trading_date) for one in read)
        check_own(keys, self.account, self.ledger.place)

    def _progress(self, known: Checkpoint) -> str:
        return (
            f"The ledger documents of account {self.account} are being summed up anew: "
            f"{known.walked.count:,} of about {max(known.documents, known.walked.count):,} are done, and "
            f"until all are, nothing is known of its positions there."
        )

    def _check_attempts(self, attempts: int) -> None:
        if attempts >= _ATTEMPTS:
            raise DataUnavailable(
                f"{self.ledger.place}: the ledger of account {self.account} was written {attempts} times "
                f"while it was summed up; expected a pause in between. Run again."
            )


def net_units_of(
    ledger: SummedLedger, account: str, *, today: date, counting: bool = False
) -> dict[str, int]:
    """Return the sum of an account's documents, in units of 1e-9 shares by symbol, without 0.

    ``today`` is the current session: it decides how much is read, never the sum. ``counting``: the documents
    are counted as well, and all are read again where their number differs from that of the sum. Raises
    ``DataUnavailable``, also for a document that can't be summed or counted in a session, and while an
    account's first sum is not finished.
    """
    try:
        return _Summing(ledger, account, today).net_units(counting=counting)
    except DataUnavailable:
        raise
    except EngineError as error:
        text = str(error)
        place = "" if text.startswith(ledger.place) else f"{ledger.place}: "
        raise DataUnavailable(f"{place}{text}") from error
