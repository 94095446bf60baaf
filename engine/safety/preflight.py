"""The preflight checks of a live run, which ``doctor`` runs as well.

Each check returns a sentence with its finding, or raises an ``EngineError`` with the fault and the remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from engine.brokers.access import Access
from engine.brokers.clock_skew import measure_clock_skew
from engine.errors import ConfigurationError, DataUnavailable, EngineError, RunStopped
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.record.system_errors import is_of_a_place, unusable
from engine.settings.variables import GateSettings
from engine.stores.chosen import Stores
from engine.stores.protocols import DocumentStore
from engine.text.masking import shown_text
from engine.waiting.bounded import Answer, at_once

Check = Callable[[], str]
HEARTBEAT_FIELD = "ts"


@dataclass(frozen=True)
class Finding:
    """The result of a check; ``text`` is for the operator, and has the remedy where the check failed."""

    name: str
    passed: bool
    text: str
    took_s: float


@dataclass(frozen=True)
class Waiting:
    """A check that may take ``longer_s`` seconds more than others, as a broker may ask for a wait."""

    check: Check
    longer_s: float

    def __call__(self) -> str:
        """Run the check."""
        return self.check()


def examine(checks: Mapping[str, Check], timeout_s: float) -> list[Finding]:
    """Return the findings of all checks, run in parallel within about ``timeout_s``; ``Waiting`` adds to it.

    Raises ``RunStopped`` where the job was asked to end meanwhile.
    """
    longer_s = {name: check.longer_s for name, check in checks.items() if isinstance(check, Waiting)}
    answers = at_once(checks, timeout_s, bounded_within=True, longer_s=longer_s)
    for answer in answers.values():
        if isinstance(answer.error, RunStopped):
            raise answer.error
    return [
        Finding(name, answer.error is None, _text_of(name, answer), answer.took_s)
        for name, answer in answers.items()
    ]


def store_checks(stores: Stores) -> dict[str, Check]:
    """Return the checks that each store can be read."""
    return {"positions": stores.positions.check, "ledger": stores.ledger.check}


def market_data_check(
    settings: GateSettings, documents: DocumentStore | None, clock: Callable[[], datetime]
) -> dict[str, Check]:
    """Return the check of the market data's heartbeat, where a document is set."""
    path = settings.heartbeat_document
    if path is None:
        return {}

    def check() -> str:
        if documents is None:
            raise ConfigurationError(
                f"EXEC_HEARTBEAT_DOC is {shown_text(path)}, and no Firestore project is set. Set "
                f"FIREBASE_PROJECT_ID, "
                f"or unset EXEC_HEARTBEAT_DOC."
            )
        return heartbeat(path, documents.document(path), clock(), settings.marketdata_stale_threshold_s)

    return {"market data": check}


def broker_checks(
    accesses: Sequence[Access], clock: Callable[[], datetime], *, broker_wait_s: float = 0.0
) -> dict[str, Check]:
    """Return the checks that each account may trade, and that the brokers' clocks agree with ours.

    ``broker_wait_s``: how much longer than other checks each may take, where its broker asks for a wait.
    """
    if len(accesses) == 1:
        (only,) = accesses
        return {
            "broker account": Waiting(lambda: _can_trade(only), broker_wait_s),
            "clock": Waiting(lambda: _clocks_agree(only, clock), broker_wait_s),
        }

    def check_of(access: Access) -> Check:
        asked = replace(access, broker=access.broker.waiting_together())
        return Waiting(lambda: f"{_can_trade(asked)}; {_clocks_agree(asked, clock)}", broker_wait_s)

    return {account_check(access.account): check_of(access) for access in accesses}


def account_check(account: str) -> str:
    """Return the name of the check of one of several accounts."""
    return f"account {account}"


def one_of(
    checks: Mapping[str, Check], timeout_s: float, failed: MutableMapping[str, str] | None = None
) -> Check:
    """Return a check that passes where at least one of these does: a failed account does not stop the others.

    The texts of the failed ones are put into ``failed``, by the check's name.
    """

    def check() -> str:
        findings = examine(checks, timeout_s)
        if failed is not None:
            failed.update((finding.name, finding.text) for finding in findings if not finding.passed)
        text = "; ".join(f"{finding.name}: {finding.text.rstrip('.')}" for finding in findings) + "."
        if not any(finding.passed for finding in findings):
            raise DataUnavailable(text)
        return text

    longest_s = max((one.longer_s for one in checks.values() if isinstance(one, Waiting)), default=0.0)
    return Waiting(check, longest_s + 1.0)  # the checks' own messages are more useful than a timeout


def _can_trade(access: Access) -> str:
    return f"account {access.asked().shown_as} can trade"


def _clocks_agree(access: Access, clock: Callable[[], datetime]) -> str:
    skew = measure_clock_skew(access.broker, clock)
    if not skew.worst_s <= CLOCK_SKEW_LIMIT_S:
        raise DataUnavailable(
            f"this machine's clock is {skew}, the limit {CLOCK_SKEW_LIMIT_S:g} s. Let NTP set it "
            f"(chrony, systemd-timesyncd); where only the reply was slow, check the network."
        )
    return str(skew)


def heartbeat(path: str, document: Mapping[str, Any] | None, now: datetime, threshold_s: float) -> str:
    """Return the age of the market data as text. Raises ``DataUnavailable`` where it is stale or unknown.

    ``document`` has the timestamp of the latest data as ``ts``: a timestamp, or ISO text with a zone.
    """
    if document is None:
        raise DataUnavailable(f"the heartbeat {path} does not exist. Check that market data is coming in.")
    value = document.get(HEARTBEAT_FIELD)
    timestamp = _timestamp(value)
    if HEARTBEAT_FIELD not in document:
        raise DataUnavailable(
            f"the heartbeat {path} has no field {HEARTBEAT_FIELD}, the timestamp of the latest market data. "
            f"Correct what writes it."
        )
    if timestamp is None:
        raise DataUnavailable(
            f"the heartbeat {path} has {HEARTBEAT_FIELD} {value!r}; expected a timestamp, or "
            f"ISO text with a zone. Correct what writes it."
        )
    age_s = (now - timestamp).total_seconds()
    if not -CLOCK_SKEW_LIMIT_S <= age_s <= threshold_s:
        raise DataUnavailable(
            f"the heartbeat {path} is {_age(age_s)}, the limit {threshold_s:g} s "
            f"(MARKETDATA_STALE_THRESHOLD_S). Check that market data is coming in."
        )
    return f"{path} is {_age(age_s)}"


def _timestamp(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        return None
    try:
        return value.astimezone(UTC)
    except OverflowError:  # beyond the first or last datetime
        return None


def _age(age_s: float) -> str:
    return f"{age_s:.1f} s old" if age_s >= 0 else f"{-age_s:.1f} s ahead of this machine's clock"


def _text_of(name: str, answer: Answer) -> str:
    error = answer.error
    if error is None:
        return str(answer.value)
    if isinstance(error, OSError) and is_of_a_place(error):
        error = unusable(error)
    if isinstance(error, EngineError):
        return str(error).removeprefix(f"{name}: ")  # the error of a timeout begins with the name
    return f"{type(error).__name__}: {error}. This is a defect of the check itself."
