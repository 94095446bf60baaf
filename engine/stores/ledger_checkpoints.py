"""The sum of an account's ledger by its checkpoint: what is read, in which order, and what is kept.

A sum reads the checkpoint, the documents of sessions after it, and one page of the walk that verifies the
older ones (``engine.ledger.sums``). That number does not grow with the ledger. The result is kept only
where no document of the account was written meanwhile; else everything is read again.

Without a valid checkpoint the documents are read page by page, each page with a deadline of its own. The
progress is kept after each page, so that a later sync resumes there.

``strategy_book_of`` reads without keeping anything, for runs that may not write; it walks no page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

from engine.errors import DataUnavailable, EngineError
from engine.ledger.documents import net_units
from engine.ledger.keys import DocumentKeys, check_own
from engine.ledger.strategies import StrategyBook
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


@dataclass
class _Unwritten:
    """A ``SummedLedger`` that keeps checkpoints in memory alone, for as long as nothing else is written."""

    ledger: SummedLedger
    _seen: Kept | None = None
    _made: Kept | None = None

    @property
    def place(self) -> str:
        """Where the store is, for people."""
        return self.ledger.place

    def kept(self, account: str) -> Kept:
        """Return the checkpoint in memory, else the store's."""
        if self._made is None:
            self._seen = self.ledger.kept(account)
        return self._made or self._seen or Kept(None)

    def keep(self, checkpoint: Checkpoint, *, replacing: Kept) -> bool:
        """Keep a checkpoint in memory; return whether the store's, and thus every document, is unchanged."""
        is_unchanged = self.ledger.kept(checkpoint.account) == self._seen
        self._made = Kept(checkpoint.text(), replacing) if is_unchanged else None
        return is_unchanged

    def page(self, known: Checkpoint, limit: int) -> list[Summand]:
        """Return the next documents of a checkpoint's walk."""
        return self.ledger.page(known, limit)

    def newer(self, known: Checkpoint) -> list[Summand]:
        """Return all documents of sessions after a checkpoint's."""
        return self.ledger.newer(known)

    def count(self, account: str) -> int:
        """Return how many documents an account has."""
        return self.ledger.count(account)


@dataclass(frozen=True)
class _Summing:
    """One sum of an account's documents; ``walking``: it verifies a page of the older ones."""

    ledger: SummedLedger
    account: str
    today: date
    walking: bool = True

    def book(self, *, counting: bool = False) -> StrategyBook:
        deadline, attempts = Deadline.after(BUILD_S), 0
        waits_s = backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        while True:
            kept = self.ledger.kept(self.account)
            known = checkpoint_of(kept.text or "", self.account)
            if known is None:
                self._check_version(kept.text or "")
                documents = self.ledger.count(self.account)
                if documents == 0 and kept.text is None:
                    return StrategyBook()
                known = Checkpoint.begun(self.account, today=self.today, documents=documents)
                new = replace(known, changes=known.changes + 1)
                book = None
            elif known.total is None:
                new, book = self._built_on(known), None
            else:
                try:
                    new, book = self._summed(known, counting=counting)
                except EngineError:
                    self._count_next(known, kept)
                    raise
            if not self.ledger.keep(new, replacing=kept):
                attempts += 1
                self._check_attempts(attempts)
                waited(next(waits_s))
            elif book is not None:
                return book
            elif new.total is None and new.after and deadline.is_over():
                raise DataUnavailable(f"{self._progress(new)} {self._how_to_resume}")

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

    def _summed(self, known: Checkpoint, *, counting: bool) -> tuple[Checkpoint, StrategyBook | None]:
        """Return the checkpoint to keep and the account's book; None where the sum has to begin again."""
        assert known.total is not None
        newer = self.ledger.newer(known)
        self._check(newer)
        limit = PAGE_OF_A_WALK
        page = self._page(known, limit) if self.walking else []
        is_whole = self.walking and not known.after and len(page) < limit
        is_due = counting or known.counted_on != self.today.isoformat()
        if is_due and not is_whole:
            documents = self.ledger.count(self.account)
            if documents != known.total.count + len(newer):
                return known.begun_again(documents=documents), None
        walked = known.walked_on(page, to_the_end=len(page) < limit) if self.walking else known
        assert walked.total is not None
        of_account = Counter(walked.total.by_symbol())
        of_account.update(net_units((one.document_id, one.symbol, one.side, one.filled_qty) for one in newer))
        book = StrategyBook(
            by_strategy=walked.total.changed(added=newer).by_strategy(),
            of_account={symbol: units for symbol, units in of_account.items() if units},
        )
        new = walked.folded(newer, today=self.today)
        return replace(new, counted_on=self.today.isoformat()), book

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

    @property
    def _how_to_resume(self) -> str:
        if self.walking:
            return "Sync again: it resumes there."
        return "Run execution-engine sync with live settings: it keeps what it has summed up."

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
    return dict(_book(_Summing(ledger, account, today), counting=counting).of_account)


def strategy_book_of(ledger: SummedLedger, account: str, *, today: date) -> StrategyBook:
    """Return the sum of an account's documents by strategy, and without regard to it.

    Nothing is written. Where there is a checkpoint, only documents newer than it are read. Else all are
    read, and what another program changes meanwhile may be read as before or after. Raises as
    ``net_units_of`` does.
    """
    return _book(_Summing(_Unwritten(ledger), account, today, walking=False))


def _book(summing: _Summing, *, counting: bool = False) -> StrategyBook:
    place = summing.ledger.place
    try:
        return summing.book(counting=counting)
    except DataUnavailable:
        raise
    except EngineError as error:
        text = str(error)
        raise DataUnavailable(f"{'' if text.startswith(place) else f'{place}: '}{text}") from error
