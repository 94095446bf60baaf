"""The right to send orders for one broker account: one holder at a time, across data folders and machines.

It is a document in the store of the ledger, ``lease-<account key>``, replaced only on the condition that it
is still what was read::

    holder       who has it, for people
    identity     the holder's data folder, in this boot of its machine; empty where nobody can tell
    nonce        another one for each acquisition
    tenure       the same for as long as jobs of one data folder are the only holders
    expires_at   ISO text in UTC; null once it was released

Why no two hold it at once, as long as each job's clock is within ``CLOCK_SKEW_LIMIT_S`` of the true time when
it begins: the holder counts ``TTL_S`` from before it asked for the renewal, by its wall clock and by its
monotonic one, whichever leaves less, and stops that limit early; whoever waits begins that limit late.
Neither believes a wall clock that jumps in its favour. And a lease that stayed the same for ``TTL_S`` under
somebody's eyes has run out, whatever any wall clock says.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.errors import DataUnavailable, EngineError, LeaseHeld, LeaseLost, RunStopped
from engine.log import EventLog, wall_clock
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.safety.agent_state import whoever_acts
from engine.stores.protocols import AgentDocuments

TTL_S = 60.0
RESERVE_S = 15.0
"""A lease is renewed while it still has this much to spare: a store may need 10 s to say that it is down."""
LONGEST_HOLD_S = TTL_S - CLOCK_SKEW_LIMIT_S - RESERVE_S
PATIENCE_S = TTL_S + 2 * CLOCK_SKEW_LIMIT_S
"""Outlasts every holder that has died."""
POLL_S = 1.0

_ACCOUNT_KEY = re.compile(r"[a-z0-9]{1,48}")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ATTEMPTS = 3


def _token() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: ``name`` for people, ``identity`` of the data folder, empty where there is none."""

    name: str
    identity: str = ""

    @classmethod
    def of(cls, data_dir: Path, *, boot_id: Path = _BOOT_ID) -> Holder:
        """Name this process and the data folder whose exclusive lock it holds.

        The identity is the lock file's inode in this boot of this machine: a copy of the folder has another
        one, and so has the folder after a restart. Who holds the lock knows that a holder of the same
        identity is dead.
        """
        name = f"{whoever_acts()}, data folder {data_dir.absolute()}"
        try:
            boot = boot_id.read_text(encoding="ascii").strip()
            lock = (data_dir / ".lock").stat()
        except (OSError, UnicodeError):
            return cls(name)
        if not boot or not lock.st_ino:
            return cls(name)
        return cls(name, hashlib.sha256(f"{boot} {lock.st_dev} {lock.st_ino}".encode()).hexdigest())


@dataclass(frozen=True, kw_only=True)
class Leasing:
    """What leases are taken with: where they are kept, who takes them, how to wait, and by which clocks.

    ``patience_s`` is how long to wait for another holder, ``stopping`` tells whether the job is to end.
    ``token`` gives a text that never comes again.
    """

    documents: AgentDocuments
    holder: Holder
    log: EventLog
    stopping: Callable[[], bool]
    patience_s: float = PATIENCE_S
    clock: Callable[[], datetime] = wall_clock
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    token: Callable[[], str] = _token

    def acquire(self, account_key: str) -> Lease:
        """Take the lease of an account (``[a-z0-9]{1,48}``), once nobody else can be sending for it.

        To be called under the data folder's exclusive lock, once per account: what an earlier job of the same
        folder held is taken over at once, what others hold when it is released or has run out.

        Raises ``LeaseHeld`` where another one still has it after ``patience_s``, ``RunStopped`` where the job
        is to end, and ``EngineError`` where the store can't be read or written.
        """
        if not _ACCOUNT_KEY.fullmatch(account_key):
            raise ValueError(f"the account key is {account_key!r}; expected [a-z0-9]{{1,48}}.")
        return _Acquisition(self, account_key).wait()


@dataclass(frozen=True)
class _Origin:
    """A moment by both clocks; from here on neither may be moved to our favour by the wall clock's jumps."""

    leasing: Leasing
    wall: datetime
    monotonic_s: float

    def earliest(self) -> datetime:
        return min(self.leasing.clock(), self._counted())

    def latest(self) -> datetime:
        return max(self.leasing.clock(), self._counted())

    def _counted(self) -> datetime:
        return self.wall + timedelta(seconds=self.leasing.monotonic() - self.monotonic_s)


@dataclass(frozen=True)
class _Kept:
    """A lease as the store keeps it; ``expires_at`` is None once it was released."""

    holder: str
    identity: str
    nonce: str
    lease_epoch: str
    expires_at: datetime | None

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> _Kept:
        """Read a document. Raises ``ValueError``, ``TypeError`` or ``KeyError`` where it makes no sense."""
        texts = [document[name] for name in ("holder", "identity", "nonce", "tenure")]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("holder, identity, nonce and tenure are not all text")
        text = document["expires_at"]
        timestamp = None if text is None else datetime.fromisoformat(text)
        if timestamp is not None and timestamp.utcoffset() != timedelta(0):
            raise ValueError(f"expires_at is {text!r}, which is not in UTC")
        holder, identity, nonce, lease_epoch = texts
        return cls(holder, identity, nonce, lease_epoch, timestamp)

    def document(self) -> dict[str, Any]:
        timestamp = None if self.expires_at is None else self.expires_at.isoformat()
        return {
            "holder": self.holder,
            "identity": self.identity,
            "nonce": self.nonce,
            "tenure": self.lease_epoch,
            "expires_at": timestamp,
        }

    def until(self) -> str:
        return "nobody holds it" if self.expires_at is None else f"{self.expires_at:%Y-%m-%d %H:%M:%S} UTC"


class _Acquisition:
    """One wait for one lease."""

    def __init__(self, leasing: Leasing, account_key: str) -> None:
        self._leasing = leasing
        self._account_key = account_key
        self._origin = _Origin(leasing, leasing.clock(), leasing.monotonic())
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
                continue  # somebody else was faster
            if leasing.monotonic() - self._origin.monotonic_s >= leasing.patience_s:
                raise LeaseHeld(
                    f"Account {self._account_key} is in use: {kept.holder} has the right to send its orders "
                    f"until {kept.until()}, and waiting for {leasing.patience_s:g} s did not change that "
                    f"({leasing.documents.place}). Nothing was sent. Wait for the end of that job and run "
                    f"again; if it has died, its right runs out by itself."
                )
            if leasing.stopping():
                raise RunStopped(
                    f"Stopped while waiting for account {self._account_key}, which {kept.holder} has. "
                    f"Nothing was sent; the next run goes on there."
                )
            if not is_waiting:
                is_waiting = True
                leasing.log.event(
                    "lease_waiting",
                    f"account {self._account_key} is in use by {kept.holder} until {kept.until()}; waiting",
                    account_key=self._account_key,
                    holder=kept.holder,
                )
            leasing.sleep(POLL_S)

    def _read(self) -> tuple[dict[str, Any] | None, _Kept]:
        document = self._leasing.documents.agent_document(_name(self._account_key))
        if document != self._watched:
            self._watched = document
            self._watched_since_s = self._leasing.monotonic()
        if document is None:
            return None, _Kept("", "", "", "", None)
        try:
            return document, _Kept.read(document)
        except (ValueError, TypeError, KeyError) as error:
            raise DataUnavailable(
                f"{self._leasing.documents.place}: the lease of account {self._account_key} makes no sense "
                f"({type(error).__name__}: {error}). Look at what wrote there; nothing is sent for the "
                f"account until it is repaired or removed."
            ) from error

    def _epoch_after(self, kept: _Kept) -> str:
        """Go on with the tenure of an earlier job of the same data folder; anybody else's ends with them."""
        is_ours = kept.identity and kept.identity == self._leasing.holder.identity
        return kept.lease_epoch if is_ours else self._leasing.token()

    def _why_free(self, kept: _Kept) -> str:
        """Say why the lease may be taken; empty where its holder could still be sending."""
        if kept.expires_at is None:
            return "nobody held it"
        if kept.identity and kept.identity == self._leasing.holder.identity:
            return f"an earlier job of this data folder has died: {kept.holder}"
        if (self._origin.earliest() - kept.expires_at).total_seconds() >= CLOCK_SKEW_LIMIT_S:
            return f"it ran out at {kept.until()}: {kept.holder}"
        if self._leasing.monotonic() - self._watched_since_s >= TTL_S:
            return f"nobody renewed it for {TTL_S:g} s: {kept.holder}"
        return ""


@dataclass(frozen=True)
class _Term:
    """What was last written, and when asking for it began, by the monotonic clock."""

    kept: _Kept
    began_s: float


class Lease:
    """The right to send orders for an account; ``Leasing.acquire`` gives it. May be shared by threads.

    As a context manager it is released at the end of the work inside, also where an ``EngineError`` ends it.
    After any other exception it is left to run out, for something here may still be sending.
    ``lease_epoch`` is the same as an earlier job's where nobody else can have sent anything since.
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
        """Write the first term over ``replacing``; tell whether nobody else was faster."""
        term = self._next_term()
        if not self._replace(term, replacing):
            return False
        self._term = term
        self._leasing.log.event(
            "lease_acquired",
            f"the orders of account {self._account_key} are sent from here: {why}",
            account_key=self._account_key,
            why=why,
        )
        return True

    def left_s(self) -> float:
        """Give the seconds for which nobody else can send; 0 or less once they are over."""
        term = self._term
        if term.kept.expires_at is None:
            return 0.0
        by_monotonic_s = TTL_S - (self._leasing.monotonic() - term.began_s)
        by_wall_s = (term.kept.expires_at - self._leasing.clock()).total_seconds()
        return min(by_monotonic_s, by_wall_s) - CLOCK_SKEW_LIMIT_S

    def hold_for(self, seconds: float) -> None:
        """Return only if nobody else can send for so many seconds from now, at most ``LONGEST_HOLD_S``.

        Asks the store only when the lease comes to its end; one thread does, and others don't wait for it
        while there is enough left for them. Raises ``LeaseLost`` where another holder has it or it can't be
        renewed in time, and ever after.
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
        """Let go, so that the next holder need not wait; where that fails, the lease runs out by itself."""
        with self._renewing:
            if self._ended:
                return
            expiring = self._term.kept
            self._ended = "it was released"
            try:
                self._write(self._released_term)
            except LeaseLost:
                return  # it had run out, and somebody else was waiting
            except EngineError as error:
                self._leasing.log.event(
                    "lease_not_released",
                    f"the lease of account {self._account_key} could not be released and runs out at "
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
        raise self._lost("to renew it takes longer than it lasts.")

    def _write(self, new: Callable[[], _Term]) -> _Term:
        """Keep a new term in place of our own one, which may be one whose write was never answered.

        Raises ``LeaseLost`` where somebody else's is kept: nonces don't come again.
        """
        replacing: dict[str, Any] | None = self._term.kept.document()
        for _ in range(_ATTEMPTS):
            term = new()
            if self._replace(term, replacing):
                return term
            replacing = self._leasing.documents.agent_document(_name(self._account_key))
            if replacing is None or replacing.get("nonce") != self._nonce:
                who = "somebody" if replacing is None else replacing.get("holder")
                raise self._lost(f"{who} {'removed it' if replacing is None else 'took it over'}.")
        raise EngineError(f"{self._leasing.documents.place}: its document changes with every look.")

    def _replace(self, term: _Term, replacing: Mapping[str, Any] | None) -> bool:
        return self._leasing.documents.replace_agent_document(
            _name(self._account_key), term.kept.document(), replacing=replacing
        )

    def _next_term(self) -> _Term:
        began_s = self._leasing.monotonic()
        return self._term_of(self._origin.latest() + timedelta(seconds=TTL_S), began_s)

    def _released_term(self) -> _Term:
        return self._term_of(None, self._leasing.monotonic())

    def _term_of(self, expires_at: datetime | None, began_s: float) -> _Term:
        holder = self._leasing.holder
        return _Term(_Kept(holder.name, holder.identity, self._nonce, self.lease_epoch, expires_at), began_s)

    def _check_not_ended(self) -> None:
        if self._ended:
            raise LeaseLost(self._ended)

    def _lost(self, why: str) -> LeaseLost:
        """Give the error, and give it to whoever asks from now on."""
        self._ended = (
            f"The right to send orders for account {self._account_key} is lost: {why} Nothing more is sent "
            f"here; run again, and what is unfinished is resumed."
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
