"""Everything that can stop the engine, as one tree.

::

    EngineError
    ├── ConfigurationError      a setting or limit is wrong; nothing runs          exit 2
    │   ├── SeveralFaults       several settings are wrong
    │   └── StoreChanged        a store is missing, replaced or behind; nothing trades
    ├── UsageError              a command can't do what was asked                  exit 2
    ├── UnreadableFile          an intent or positions file can't be parsed        exit 2
    ├── DataUnavailable         a store can't be read; the rules that need it refuse
    │   └── StoreDamaged        it can't be read until it is repaired
    ├── UnusablePlace           a disk is full, read-only, or lacks a feature      exit 2
    ├── DocumentRefused         a store will never accept this document
    ├── RecordError             a run folder is damaged or contradicts itself      exit 1
    │   └── AlreadyWritten      a sealed file exists already
    ├── RunInProgress           another job holds this data folder                 exit 1
    ├── LeaseHeld               another job holds this account's trading lease     exit 1
    ├── LeaseLost               the trading lease was lost during the run          exit 1
    ├── GateClosed              live trading is refused, with every reason         exit 3
    ├── RunStopped              SIGTERM: stopped between two steps, resumable      exit 1
    └── BrokerError             the broker refused, or the outcome is unknown
        ├── BrokerRejected      the broker answered with a refusal
        │   └── RateLimited     429: turned away before it was processed
        ├── NotSent             no connection: the request was certainly not sent
        │   └── LookTooSlow     the checks before sending took too long: not sent
        └── OutcomeUnknown      no reply, a partial reply, or a 5xx after sending

A refused row is not an exception: it is data, with a reason in its own column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

_MOST_SHOWN = 8


class EngineError(Exception):
    """Base of all errors that the engine raises on purpose; the text is written for an operator."""

    exit_code = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the text; each is printed without wrapping."""
        return (str(self),)


class ConfigurationError(EngineError):
    """A setting is wrong: retrying without changing it is useless."""

    exit_code = 2


class SeveralFaults(ConfigurationError):
    """Several independent faults; ``faults`` has one text for each, with its remedy."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(" ".join(faults))
        self.faults = tuple(faults)

    @property
    def lines(self) -> tuple[str, ...]:
        """The faults."""
        return self.faults


class StoreChanged(ConfigurationError):
    """A store is not the one that the live runs of the data folder used, or it is behind.

    ``faults`` has one text for each store that is wrong, with its remedy.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(" ".join(faults) + " Nothing was traded, and the inbox is untouched.")
        self.faults = tuple(faults)


class UsageError(EngineError):
    """A command can't do what was asked."""

    exit_code = 2


class UnreadableFile(EngineError):
    """A file can't be parsed as the type that its name indicates.

    ``message``: the file and the fault. ``problems``: the faults of its rows. ``remedy``: what to do.
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
        """The message, then one line for each problem."""
        first, *others = self._lines
        return (first, *(f"  {line}" for line in others))


class DataUnavailable(EngineError):
    """A source of risk data can't be read; the text names it and the cause."""


class AccountsInDoubt(DataUnavailable):
    """Data is unavailable for some accounts only, named in ``accounts``."""

    def __init__(self, message: str, *, accounts: Sequence[str]) -> None:
        super().__init__(message)
        self.accounts = tuple(accounts)


class StoreDamaged(DataUnavailable):
    """A store exists but is damaged, empty, or written by a newer engine; retrying is useless."""


class UnusablePlace(EngineError):
    """A place on disk can't be written to, or lacks a required feature; nothing runs until that is fixed."""

    exit_code = 2


class DocumentRefused(EngineError):
    """A document breaks a rule of the stores: retrying is useless, unlike with a store that is down."""


class RecordError(EngineError):
    """A run folder lacks required files, or its files contradict each other."""


class AlreadyWritten(RecordError):
    """A sealed file exists already: files of a run are written once."""


class RunInProgress(EngineError):
    """Another job is running in the same data folder."""


class LeaseHeld(EngineError):
    """Another job holds the trading lease of this account."""


class LeaseLost(EngineError):
    """The trading lease of an account was lost; the next run resumes unfinished work."""


class RunStopped(EngineError):
    """The job was asked to stop (SIGTERM); the next run resumes unfinished work."""


class GateClosed(EngineError):
    """Live trading is refused; ``refusals`` has every (reason, why), the decisive one first."""

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
    """A request to a broker failed.

    ``wait_s``: the seconds that the broker asks to wait before the next request, 0 where it asks for none.
    """

    wait_s = 0.0


class BrokerRejected(BrokerError):
    """The broker answered with a refusal: ``status`` (HTTP), ``code`` and ``message`` as received.

    ``details``: the other fields of the reply, decimals as text; the error's text shows those that are text
    or integers. ``request_id``: the broker's id of the request, "" where it gave none.
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
        shown = [f"{name} {value}" for name, value in self.details.items() if isinstance(value, str | int)]
        also += shown[:_MOST_SHOWN]
        also += [f"request {request_id}"] if request_id else []
        super().__init__(f"{message} ({', '.join(also)})" if also else message)


class RateLimited(BrokerRejected):
    """The broker turned the request away before processing it, or asked to send no further requests."""


class NotSent(BrokerError):
    """The request was certainly not sent: there was no connection."""


class LookTooSlow(NotSent):
    """The request was not sent: the checks that must precede it took too long."""


class OutcomeUnknown(BrokerError):
    """It is unknown whether the broker acted on the request: look it up before sending it again."""
