"""The kinds of faults, one dataclass each: the fault, and the requests that it strikes.

As JSON a fault is one flat object: ``{"fault": "accept_then_drop", "method": "POST", "path": "/v2/orders",
"times": 3}``. Every key but ``fault`` has a default. ``times``: the number of requests that the fault
strikes, null for all. ``probability``: the chance to strike each request, drawn from the simulator's seed;
``times`` is then null by default. Faults after acceptance strike and count accepted requests only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, get_args

from engine.errors import ConfigurationError
from engine.text.printable import shown
from replay.simulator import decimals
from replay.simulator.wire.data_faults import (
    PARTS,
    CrossedQuote,
    HaltedSymbol,
    MissingSymbol,
    NullParts,
    OneSidedQuote,
    StaleQuote,
    StubQuote,
    WideQuote,
)
from replay.simulator.wire.when import ANY, When

_PLACED = When("POST", "/v2/orders")
_CANCELLED = When("DELETE", "/v2/orders/*")
_ANY_CANCELLED = When("DELETE", "/v2/orders*")
_REPLACED = When("PATCH", "/v2/orders/*")


@dataclass(frozen=True, slots=True)
class AcceptThenDrop:
    """The request is carried out, and the connection is dropped without a byte of a reply."""

    when: When = _PLACED


@dataclass(frozen=True, slots=True)
class AcceptThen504:
    """The request is carried out, and the reply is a gateway's HTML page with status 504."""

    when: When = _PLACED


@dataclass(frozen=True, slots=True)
class AcceptThenError:
    """The request is carried out, and the reply is an error: nginx's ``page``, or ``json``."""

    status: int = 409
    body: str = "page"
    when: When = _PLACED


@dataclass(frozen=True, slots=True)
class CutHeaders:
    """The request is carried out; its reply ends within the headers, after a line with this status."""

    status: int = 404
    when: When = ANY


@dataclass(frozen=True, slots=True)
class ErrorBefore:
    """The request is not carried out; the reply is a 5xx."""

    status: int = 500
    when: When = ANY


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The request is not carried out; the reply is 429, with a reset time that many seconds from now."""

    seconds: float = 1.0
    when: When = ANY


@dataclass(frozen=True, slots=True)
class SlowBody:
    """The body arrives slowly: in that many pieces, which together take that many seconds."""

    seconds: float = 1.0
    pieces: int = 10
    when: When = ANY


@dataclass(frozen=True, slots=True)
class TruncatedBody:
    """The body lacks its last bytes, which Content-Length counts; the connection closes."""

    missing_bytes: int = 10
    when: When = ANY


@dataclass(frozen=True, slots=True)
class NoLength:
    """The reply has no length and ends with the connection, without its last ``lacks_bytes``."""

    lacks_bytes: int = 10
    when: When = ANY


@dataclass(frozen=True, slots=True)
class HtmlError:
    """The request is not carried out; the reply is nginx's HTML page instead of JSON."""

    status: int = 502
    when: When = ANY


@dataclass(frozen=True, slots=True)
class LookupLag:
    """An accepted order isn't found by id or client id for that many simulated seconds or lookups."""

    seconds: float | None = None
    lookups: int | None = None
    when: When = _PLACED


@dataclass(frozen=True, slots=True)
class StuckPendingCancel:
    """A cancel is accepted and not done: the order stays in pending_cancel until the fault is removed."""

    when: When = _ANY_CANCELLED


@dataclass(frozen=True, slots=True)
class FillRacesCancel:
    """The order fills, by ``qty`` shares or in full, ``before`` it is cancelled or ``after`` the reply."""

    qty: str | None = None
    moment: str = "after"
    when: When = _CANCELLED


@dataclass(frozen=True, slots=True)
class FillRacesReplace:
    """The order fills, by ``qty`` shares or in full, ``before`` it is replaced or ``after`` the reply."""

    qty: str | None = None
    moment: str = "after"
    when: When = _REPLACED


@dataclass(frozen=True, slots=True)
class RejectAfterAcceptance:
    """The reply accepts the order; just after it the order is rejected."""

    when: When = _PLACED


@dataclass(frozen=True, slots=True)
class Latency:
    """The request or the reply (``answer``) is delayed by that many real seconds."""

    seconds: float = 1.0
    on: str = "answer"
    when: When = ANY


Fault = (
    AcceptThenDrop | AcceptThen504 | AcceptThenError | CutHeaders | ErrorBefore | RateLimited | SlowBody
    | TruncatedBody | NoLength | HtmlError | LookupLag | StuckPendingCancel | FillRacesCancel
    | FillRacesReplace | RejectAfterAcceptance | Latency
    | StaleQuote | WideQuote | CrossedQuote | OneSidedQuote | StubQuote | HaltedSymbol
    | MissingSymbol | NullParts
)  # fmt: skip

KINDS: dict[str, type[Fault]] = {
    re.sub(r"(?<=[a-z])(?=[A-Z0-9])", "_", kind.__name__).lower(): kind for kind in get_args(Fault)
}
_NAMES = {kind: name for name, kind in KINDS.items()}


def needs_acceptance(fault: Fault) -> bool:
    """Return whether a fault strikes only requests that were accepted, with a 2xx."""
    if isinstance(fault, FillRacesCancel | FillRacesReplace):
        return fault.moment == "after"
    return isinstance(
        fault,
        AcceptThenDrop
        | AcceptThen504
        | AcceptThenError
        | LookupLag
        | RejectAfterAcceptance
        | StuckPendingCancel,
    )


def name_of(fault: Fault) -> str:
    """Return a fault's name, as in its JSON."""
    return _NAMES[type(fault)]


def from_json(document: object) -> Fault:
    """Return the fault in a JSON object; raises ConfigurationError where it is invalid."""
    if not isinstance(document, Mapping):
        raise _wrong("fault", document, "a JSON object", 'Write {"fault": "accept_then_drop"}.')
    name = document.get("fault")
    if not isinstance(name, str) or name not in KINDS:
        raise _wrong("fault", name, "the name of a fault", f"Write one of {', '.join(KINDS)}.")
    kind, given = KINDS[name], {key: value for key, value in document.items() if key != "fault"}
    own = {field.name for field in fields(kind)} - {"when"}
    whens = {field.name for field in fields(When)}
    if unknown := sorted(map(str, set(given) - own - whens)):
        known = ", ".join(sorted(own | whens))
        raise _wrong(unknown[0], given.get(unknown[0]), f"one of {name}'s keys", f"They are {known}.")
    if given.get("probability") is not None:
        given.setdefault("times", None)
    when = replace(_default_when(kind), **{key: given[key] for key in given.keys() & whens})
    fault = kind(**{key: given[key] for key in given.keys() & own}, when=when)
    check(fault)
    return fault


def to_json(fault: Fault) -> dict[str, Any]:
    """Return a fault as its JSON object with every key."""
    own = {field.name: getattr(fault, field.name) for field in fields(fault) if field.name != "when"}
    when = {field.name: getattr(fault.when, field.name) for field in fields(When)}
    return {"fault": name_of(fault), **own, **when}


def check(fault: Fault) -> None:
    """Raise ConfigurationError if a field of a fault has an invalid value."""
    values = {**to_json(fault)}
    for key, value in values.items():
        if key in _RULES and not (value is None and key in _NULLABLE):
            rule, holds, remedy = _RULES[key]
            if not holds(value):
                raise _wrong(key, value, rule, remedy)
    if isinstance(fault, LookupLag) and (fault.seconds is None) == (fault.lookups is None):
        raise _wrong("seconds", fault.seconds, "either seconds or lookups, not both", 'Write "lookups": 2.')
    if not isinstance(fault, LookupLag) and values.get("seconds", 0) is None:
        raise _wrong("seconds", None, "a number", 'Write "seconds": 1.5.')


def _default_when(kind: type[Fault]) -> When:
    (default,) = (field.default for field in fields(kind) if field.name == "when")
    return default if default is not MISSING and isinstance(default, When) else ANY


def _wrong(key: str, value: object, rule: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"fault: {key} is {shown(value)}; expected {rule}. {remedy}")


def _whole(value: object, least: int, most: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number(value: object, least: float, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def _shares(value: object) -> bool:
    number = decimals.number(value) if isinstance(value, str) else None
    return number is not None and number > 0 and decimals.places(number) <= _DECIMALS


_NULLABLE = {"times", "probability", "qty", "seconds", "lookups"}
_DAY_S = 86_400
_DECIMALS = 9  # of a share
_SYMBOLS = r"[A-Z.]+(,[A-Z.]+)*"

_RULES: dict[str, tuple[str, Callable[[Any], bool], str]] = {
    "method": ("an HTTP method in capitals, or *",
               lambda v: isinstance(v, str) and re.fullmatch(r"[A-Z]+|\*", v) is not None,
               'Write "method": "POST".'),
    "path": ("a path pattern that begins with / or *", lambda v: isinstance(v, str) and v[:1] in {"/", "*"},
             'Write "path": "/v2/orders/*".'),
    "times": ("a whole number of requests, or null for all", lambda v: _whole(v, 1), 'Write "times": 3.'),
    "probability": ("a number from 0 to 1", lambda v: _number(v, 0, 1), 'Write "probability": 0.1.'),
    "status": ("an HTTP status from 400 to 599", lambda v: _whole(v, 400, 599), 'Write "status": 503.'),
    "seconds": ("seconds from 0 to a day", lambda v: _number(v, 0, _DAY_S), 'Write "seconds": 1.5.'),
    "lookups": ("a whole number of lookups", lambda v: _whole(v, 1), 'Write "lookups": 2.'),
    "pieces": ("a whole number of pieces", lambda v: _whole(v, 1, 10_000), 'Write "pieces": 10.'),
    "missing_bytes": ("a whole number of bytes", lambda v: _whole(v, 1), 'Write "missing_bytes": 10.'),
    "lacks_bytes": ("a whole number of bytes, or 0", lambda v: _whole(v, 0), 'Write "lacks_bytes": 10.'),
    "qty": ("shares as a positive decimal string", _shares, 'Write "qty": "1.5".'),
    "moment": ("before or after", lambda v: v in ("before", "after"), 'Write "moment": "after".'),
    "body": ("page or json", lambda v: v in ("page", "json"), 'Write "body": "page".'),
    "symbols": ("symbols like AAPL,MSFT, or * for all",
                lambda v: isinstance(v, str) and (v == "*" or re.fullmatch(_SYMBOLS, v) is not None),
                'Write "symbols": "AAPL".'),
    "percent": ("a number of per cent above 0 and below 200", lambda v: _number(v, 0, 200) and 0 < v < 200,
                'Write "percent": 20.'),
    "lacks": ("bid or ask", lambda v: v in ("bid", "ask"), 'Write "lacks": "ask".'),
    "part": (f"one of {', '.join(PARTS)} and all", lambda v: v in (*PARTS, "all"),
             'Write "part": "latestQuote".'),
    "on": ("request or answer", lambda v: v in ("request", "answer"), 'Write "on": "answer".'),
}  # fmt: skip
