"""The trading lease of a broker account: one holder at a time, across data folders and machines.

It is a document in the store of the ledger (``engine.safety.lease_document``), written by compare-and-set.
At most one job holds it at a time, as long as each job's clock is within ``CLOCK_SKEW_LIMIT_S`` of the true
time when it begins. The holder counts ``TTL_S`` from before its request for renewal, by wall clock and by
monotonic clock, uses the smaller remainder, and stops ``CLOCK_SKEW_LIMIT_S`` early. A waiting job starts
``CLOCK_SKEW_LIMIT_S`` late. Neither trusts a wall clock that jumps in its favour. A lease that a waiting job
has seen unchanged for ``TTL_S`` has expired, whatever any wall clock says.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from engine.errors import DataUnavailable, EngineError, LeaseHeld, LeaseLost, RunStopped
from engine.log import EventLog, wall_clock
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.safety.lease_document import Holder, KeptLease
from engine.stores.protocols import AgentDocuments
from engine.waiting.pause import waited
from engine.waiting.timer import SYSTEM, Timer

TTL_S = 60.0
RESERVE_S = 15.0
"""A lease is renewed this long before it is needed: a store may take 10 s to report that it is down."""
LONGEST_HOLD_S = TTL_S - CLOCK_SKEW_LIMIT_S - RESERVE_S
LONGEST_WAIT_S = TTL_S + 2 * CLOCK_SKEW_LIMIT_S
"""Long enough for the lease of a dead holder to expire."""

_ACCOUNT_KEY = re.compile(r"[a-z0-9]{1,48}")
_ATTEMPTS = 3


def _token() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True, kw_only=True)
class Leasing:
    """How leases are acquired: the store, the holder, the waiting time and the clocks.

    ``longest_wait_s``: how long to wait for another holder, whose lease is polled every ``poll_s``.
    ``stopping`` returns whether the job is to end. ``token`` returns a unique text.
    """

    documents: AgentDocuments
    holder: Holder
    log: EventLog
    stopping: Callable[[], bool]
    longest_wait_s: float = LONGEST_WAIT_S
    poll_s: float = 1.0
    clock: Callable[[], datetime] = wall_clock
    timer: Timer = SYSTEM
    token: Callable[[], str] = _token

    def acquire(self, account_key: str) -> Lease:
        """Return the lease of an account (``[a-z0-9]{1,48}``), once no other job can be sending for it.

        Call it under the data folder's exclusive lock, once per account: the lease of an earlier job of the
        same folder is taken over at once, any other one when it is released or has expired.

        Raises ``LeaseHeld`` where another job still holds it after ``longest_wait_s``, ``RunStopped`` where
        the job is to end, and ``EngineError`` where the store can't be read or written.
        """
        if not _ACCOUNT_KEY.fullmatch(account_key):
            raise ValueError(f"the account key is {account_key!r}; expected [a-z0-9]{{1,48}}.")
        return _Acquisition(self, account_key).wait()


@dataclass(frozen=True)
class _Origin:
    """A timestamp by both clocks; jumps of the wall clock after it are never used in our favour."""

    leasing: Leasing
    wall: datetime
    monotonic_s: float

    def earliest(self) -> datetime:
        return min(self.leasing.clock(), self._counted())

    def latest(self) -> datetime:
        return max(self.leasing.clock(), self._counted())

    def _counted(self) -> datetime:
        return self.wall + timedelta(seconds=self.leasing.timer.monotonic() - self.monotonic_s)


class _Acquisition:
    """One wait for one lease."""

    def __init__(self, leasing: Leasing, account_key: str) -> None:
        self._leasing = leasing
        self._account_key = account_key
        self._origin = _Origin(leasing, leasing.clock(), leasing.timer.monotonic())
        self._watched: dict[str, Any] | None = None
        self._watched_since_s = self._origin.monotonic_s

    def wait(self) -> Lease:
        leasing = self._leasing
        is_waiting = False
        while True:
            document, kept = self._read()
            why = self._why_free(kept)
            if why:
                lease = Lease(leasing, self._account_key, self._origin, lease_epoch=self._epoch_after(kept))
                if lease.begin(replacing=document, why=why):
                    return lease
                continue  # another job was faster
            if leasing.timer.monotonic() - self._origin.monotonic_s >= leasing.longest_wait_s:
                raise LeaseHeld(
                    f"Account {self._account_key} is in use: {kept.holder} holds its trading lease "
                    f"until {kept.until()}, and still did after {leasing.longest_wait_s:g} s of waiting "
                    f"({leasing.documents.place}). Nothing was sent. Wait for the end of that job and run "
                    f"again; if it has died, its lease expires by itself."
                )
            if not is_waiting:
                is_waiting = True
                leasing.log.event(
                    "lease_waiting",
                    f"account {self._account_key} is in use by {kept.holder} until {kept.until()}; waiting",
                    account_key=self._account_key,
                    holder=kept.holder,
                )
            if not waited(leasing.poll_s, leasing.stopping, timer=leasing.timer):
                raise RunStopped(
                    f"Stopped while waiting for the trading lease of account {self._account_key}, which "
                    f"{kept.holder} holds. Nothing was sent; the next run goes on there."
                )

    def _read(self) -> tuple[dict[str, Any] | None, KeptLease]:
        document = self._leasing.documents.agent_document(_name(self._account_key))
        if document != self._watched:
            self._watched = document
            self._watched_since_s = self._leasing.timer.monotonic()
        if document is None:
            return None, KeptLease("", "", "", "", None)
        try:
            return document, KeptLease.read(document)
        except (ValueError, TypeError, KeyError) as error:
            raise DataUnavailable(
                f"{self._leasing.documents.place}: the lease of account {self._account_key} is invalid "
                f"({type(error).__name__}: {error}). Find out what wrote it; nothing is sent for the "
                f"account until it is repaired or removed."
            ) from error

    def _epoch_after(self, kept: KeptLease) -> str:
        """Return the lease epoch of an earlier job of the same data folder, else a new one."""
        is_ours = kept.identity and kept.identity == self._leasing.holder.identity
        return kept.lease_epoch if is_ours else self._leasing.token()

    def _why_free(self, kept: KeptLease) -> str:
        """Return why the lease may be taken, "" where its holder could still be sending."""
        if kept.expires_at is None:
            return "it was free"
        if kept.identity and kept.identity == self._leasing.holder.identity:
            return f"an earlier job of this data folder has died: {kept.holder}"
        if (self._origin.earliest() - kept.expires_at).total_seconds() >= CLOCK_SKEW_LIMIT_S:
            return f"it expired at {kept.until()}: {kept.holder}"
        if self._leasing.timer.monotonic() - self._watched_since_s >= TTL_S:
            return f"it was not renewed for {TTL_S:g} s: {kept.holder}"
        return ""


@dataclass(frozen=True)
class _Term:
    """What was last written, and when that request began, by the monotonic clock."""

    kept: KeptLease
    began_s: float


class Lease:
    """The trading lease of an account, from ``Leasing.acquire``; may be shared by threads.

    As a context manager it is released at the end of the enclosed work, also where an ``EngineError`` ends
    it. After any other exception it is left to expire, since some thread may still be sending.
    ``lease_epoch`` is that of an earlier job where no other holder can have sent anything since.
    """

    def __init__(self, leasing: Leasing, account_key: str, origin: _Origin, *, lease_epoch: str) -> None:
        self._leasing = leasing
        self._account_key = account_key
        self._origin = origin
        self.lease_epoch = lease_epoch
        self._nonce = leasing.token()
        self._renewing = threading.Lock()
        self._term = self._released_term()
        self._ended = ""
        self._fault: EngineError | None = None

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, EngineError):
            self.release()

    def begin(self, *, replacing: Mapping[str, Any] | None, why: str) -> bool:
        """Write the first term over ``replacing``; return False where another job was faster."""
        term = self._next_term()
        if not self._replace(term, replacing):
            return False
        self._term = term
        self._leasing.log.event(
            "lease_acquired",
            f"the trading lease of account {self._account_key} was acquired: {why}",
            account_key=self._account_key,
            why=why,
        )
        return True

    def left_s(self) -> float:
        """Return the seconds for which no other job can send; 0 or less once it has expired or ended."""
        term = self._term
        if self._ended or term.kept.expires_at is None:
            return 0.0
        by_monotonic_s = TTL_S - (self._leasing.timer.monotonic() - term.began_s)
        by_wall_s = (term.kept.expires_at - self._leasing.clock()).total_seconds()
        return min(by_monotonic_s, by_wall_s) - CLOCK_SKEW_LIMIT_S

    def hold_for(self, seconds: float) -> None:
        """Return only if no other job can send for ``seconds`` from now, at most ``LONGEST_HOLD_S``.

        Renews the lease in the store only near its end. One thread does so; others don't wait for it while
        the lease lasts long enough for them. Raises ``LeaseLost`` where another job holds it or it can't be
        renewed in time, and at each call after that.
        """
        if not seconds <= LONGEST_HOLD_S:
            raise ValueError(f"a lease is held for {seconds} s; expected at most {LONGEST_HOLD_S:g}.")
        self._check_not_ended()
        left_s = self.left_s()
        if left_s >= seconds + RESERVE_S:
            return
        if not self._renewing.acquire(blocking=left_s < seconds):
            return
        try:
            self._renew_for(seconds)
        finally:
            self._renewing.release()

    def release(self) -> None:
        """Release the lease, so that the next holder need not wait; if that fails, it expires by itself."""
        with self._renewing:
            if self._ended:
                return
            expiring = self._term.kept
            self._ended = "it was released"
            try:
                self._write(self._released_term)
            except LeaseLost:
                return  # it had expired, and another job took it
            except EngineError as error:
                self._leasing.log.event(
                    "lease_not_released",
                    f"the lease of account {self._account_key} could not be released and expires at "
                    f"{expiring.until()}: {error}",
                    severity="WARNING",
                    account_key=self._account_key,
                )

    def _renew_for(self, seconds: float) -> None:
        self._check_not_ended()
        for _ in range(_ATTEMPTS):
            if self.left_s() >= seconds + RESERVE_S:
                return  # another thread was faster
            try:
                self._term = self._write(self._next_term)
            except LeaseLost as error:
                self._ended = str(error)
                raise
            except EngineError as error:
                if not self.left_s() >= seconds:
                    raise self._lost(f"it can't be renewed in time: {error}") from error
                self._warn_once(error)
                return
            self._fault = None
            if self.left_s() >= seconds:
                return
        raise self._lost("renewing it takes longer than it lasts.")

    def _write(self, new: Callable[[], _Term]) -> _Term:
        """Write a new term over our own one, which may be one whose write was never acknowledged.

        Raises ``LeaseLost`` where the store has another holder's: nonces are unique.
        """
        replacing: dict[str, Any] | None = self._term.kept.document()
        for _ in range(_ATTEMPTS):
            term = new()
            if self._replace(term, replacing):
                return term
            replacing = self._leasing.documents.agent_document(_name(self._account_key))
            if replacing is None or replacing.get("nonce") != self._nonce:
                raise self._lost(
                    "it was removed." if replacing is None else f"{replacing.get('holder')} took it over."
                )
        raise EngineError(f"{self._leasing.documents.place}: its document changes with every read.")

    def _replace(self, term: _Term, replacing: Mapping[str, Any] | None) -> bool:
        return self._leasing.documents.replace_agent_document(
            _name(self._account_key), term.kept.document(), replacing=replacing
        )

    def _next_term(self) -> _Term:
        began_s = self._leasing.timer.monotonic()
        return self._term_of(self._origin.latest() + timedelta(seconds=TTL_S), began_s)

    def _released_term(self) -> _Term:
        return self._term_of(None, self._leasing.timer.monotonic())

    def _term_of(self, expires_at: datetime | None, began_s: float) -> _Term:
        holder = self._leasing.holder
        return _Term(
            KeptLease(holder.name, holder.identity, self._nonce, self.lease_epoch, expires_at), began_s
        )

    def _check_not_ended(self) -> None:
        if self._ended:
            raise LeaseLost(self._ended)

    def _lost(self, why: str) -> LeaseLost:
        """Return the error, which every later use of the lease raises too."""
        self._ended = (
            f"The trading lease of account {self._account_key} is lost: {why} Nothing more is sent "
            f"here; run again, and unfinished work is resumed."
        )
        return LeaseLost(self._ended)

    def _warn_once(self, error: EngineError) -> None:
        if self._fault is None:
            self._leasing.log.event(
                "lease_not_renewed",
                f"the lease of account {self._account_key} could not be renewed and has "
                f"{self.left_s():.0f} s left: {error}",
                severity="WARNING",
                account_key=self._account_key,
            )
        self._fault = error


def _name(account_key: str) -> str:
    return f"lease-{account_key}"
