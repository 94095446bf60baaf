"""Everything that can stop the engine, as one tree.

::

    EngineError
    ├── ConfigurationError      a setting or limit is wrong; nothing runs          exit 2
    │   ├── SeveralFaults       several things are
    │   └── StoreChanged        a store is gone, another one, or behind; nothing trades
    ├── UsageError              a command was asked for what it can't do           exit 2
    ├── UnreadableFile          an intent or positions file can't be parsed      exit 2
    ├── DataUnavailable         a store can't say; the rules that need it refuse
    │   └── StoreDamaged        and won't be able to until it is repaired
    ├── UnusablePlace           a disk is full, read-only, or lacks what is asked   exit 2
    ├── DocumentRefused         a store can't keep a document, now or later
    ├── RecordError             a run folder is damaged or contradicts itself      exit 1
    │   └── AlreadyWritten      a sealed file exists already
    ├── RunInProgress           another job holds this data folder                 exit 1
    ├── LeaseHeld               another job sends this account's orders            exit 1
    ├── LeaseLost               the right to send was lost on the way; resumable   exit 1
    ├── GateClosed              live trading is refused, with every reason         exit 3
    ├── RunStopped              SIGTERM: stopped between two steps, resumable      exit 1
    └── BrokerError             the broker refused, or nobody knows what it did
        ├── BrokerRejected      it answered and said no
        │   └── RateLimited     429: turned away before it was looked at
        ├── NotSent             no connection: the request certainly never left
        │   └── LookTooSlow     the look before it took too long: it was not sent
        └── OutcomeUnknown      no answer, half an answer, or a 5xx after sending

A refused row is not in here: it is data, with a reason in its own column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

_MOST_SHOWN = 8


class EngineError(Exception):
    """Base of all errors that the engine raises on purpose; its text is fit for an operator."""

    exit_code = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """The text as it is printed, a line each; none of them is broken where it is printed."""
        return (str(self),)


class ConfigurationError(EngineError):
    """A setting is wrong: running again without changing it is useless."""

    exit_code = 2


class SeveralFaults(ConfigurationError):
    """Several things are wrong, each by itself; ``faults`` says what, with the remedy of each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(" ".join(faults))
        self.faults = tuple(faults)

    @property
    def lines(self) -> tuple[str, ...]:
        """The faults."""
        return self.faults


class StoreChanged(ConfigurationError):
    """A store is not the one that the live runs of the data folder used, or is behind.

    ``faults`` say what is wrong with each store, and its remedy.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(" ".join(faults) + " Nothing was traded, and the inbox is untouched.")
        self.faults = tuple(faults)


class UsageError(EngineError):
    """A command was asked for something that it can't do."""

    exit_code = 2


class UnreadableFile(EngineError):
    """A file can't be parsed as what its name says it is.

    ``message`` says where and what, ``problems`` what is wrong with its rows; ``remedy`` says what to do.
    """

    exit_code = 2

    def __init__(self, message: str, *, remedy: str, problems: Sequence[str] = ()) -> None:
        *others, last = (message + (":" if problems else ""), *problems)
        self.message = message
        self.remedy = remedy
        self._lines = (*others, f"{last.removesuffix('.')}. {remedy}")
        super().__init__("\n  ".join(self._lines))

    @property
    def lines(self) -> tuple[str, ...]:
        """The text as it is printed: what it is about, and a line for each problem."""
        first, *others = self._lines
        return (first, *(f"  {line}" for line in others))


class DataUnavailable(EngineError):
    """A source of risk data can't be read; ``str()`` says which and why."""


class AccountsInDoubt(DataUnavailable):
    """Something can't be known of some accounts alone, named in ``accounts``."""

    def __init__(self, message: str, *, accounts: Sequence[str]) -> None:
        super().__init__(message)
        self.accounts = tuple(accounts)


class StoreDamaged(DataUnavailable):
    """A store is there and can't be read, now or later: it is damaged, empty, or of a newer engine."""


class UnusablePlace(EngineError):
    """A place on disk takes no write, or lacks what is asked of it; until that is mended nothing runs."""

    exit_code = 2


class DocumentRefused(EngineError):
    """A document breaks a rule of the stores: writing it again is useless, unlike to a store that is down."""


class RecordError(EngineError):
    """A run folder lacks or contradicts what it must contain."""


class AlreadyWritten(RecordError):
    """A sealed file exists already: files of a run are written once."""


class RunInProgress(EngineError):
    """Another job is at work in the same data folder."""


class LeaseHeld(EngineError):
    """Another job has the right to send orders for this account."""


class LeaseLost(EngineError):
    """The right to send orders for an account ended; what is unfinished is resumed by the next run."""


class RunStopped(EngineError):
    """The job was asked to stop (SIGTERM); what is unfinished is resumed by the next run."""


class GateClosed(EngineError):
    """Live trading is refused; ``refusals`` are all (reason, why), the first of which is the reason."""

    exit_code = 3

    def __init__(self, refusals: Sequence[tuple[str, str]]) -> None:
        (reason, why), *others = refusals
        also = "".join(f" Also {also}: {because}" for also, because in others)
        super().__init__(f"Live trading is refused: {reason}. {why}{also} The inbox is untouched.")
        self.refusals = tuple(refusals)

    @property
    def reason(self) -> str:
        """The first reason."""
        return self.refusals[0][0]


class BrokerError(EngineError):
    """A broker did not do what it was asked for.

    ``wait_s``: the seconds for which it asks to be left alone, 0 where it doesn't say.
    """

    wait_s = 0.0


class BrokerRejected(BrokerError):
    """The broker answered and refused: ``status`` (HTTP), ``code`` and ``message`` as it gave them.

    ``details`` are the other fields of its answer, decimals still text; the text has those that are words or
    numbers. ``request_id`` is what the broker calls the request, "" where it gave it no name.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: int | None = None,
        details: Mapping[str, Any] | None = None,
        request_id: str = "",
    ) -> None:
        self.message = message
        self.status = status
        self.code = code
        self.details = MappingProxyType(dict(details or {}))
        self.request_id = request_id
        also = [f"code {code}"] if code is not None else []
        telling = [f"{name} {value}" for name, value in self.details.items() if isinstance(value, str | int)]
        also += telling[:_MOST_SHOWN]
        also += [f"request {request_id}"] if request_id else []
        super().__init__(f"{message} ({', '.join(also)})" if also else message)


class RateLimited(BrokerRejected):
    """The broker turned the request away before it looked at it, or asked for no further ones."""


class NotSent(BrokerError):
    """The request certainly never left: there was no connection to send it on."""


class LookTooSlow(NotSent):
    """The request was not sent: what allowed it could not be looked at shortly before."""


class OutcomeUnknown(BrokerError):
    """Nobody knows whether the broker acted: never send again before looking."""
