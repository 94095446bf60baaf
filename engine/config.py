"""Settings: read once from the environment, strictly, into frozen objects.

A value that can't be read, a limit that isn't a number and a name that is no setting are all errors: a
typing mistake must never loosen a limit. ``SETTINGS`` is the whole list.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from engine.errors import ConfigurationError

ON_WORDS = frozenset({"1", "true", "yes", "on"})
OFF_WORDS = frozenset({"0", "false", "no", "off"})
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
SIGNIFICANT_DIGITS = 15
DECIMALS = 9
_SHORTEST_TIMEOUT_S, _LONGEST_TIMEOUT_S = 0.1, 600
LONGEST_S = 1e9
"""About 31 years: as good as none, and far from where dates end."""
PAPER_HOST = "https://paper-api.alpaca.markets"

Projection = Literal["worst_case", "net"]
PROJECTIONS = ("worst_case", "net")


def _flag(name: str, text: str) -> bool:
    word = text.strip().lower()
    if word in ON_WORDS:
        return True
    if word in OFF_WORDS:
        return False
    raise ConfigurationError(
        f"{name} is {text!r}; expected 1, true, yes or on, or 0, false, no or off. "
        f"Nothing runs until it is one of these, or unset."
    )


def _quantity(name: str, text: str) -> float:
    word = text.strip()
    number = Decimal(word) if _DECIMAL.fullmatch(word) else Decimal("NaN")
    if not number.is_finite() or number >= Decimal(10) ** 9 or not _representable(number):
        raise ConfigurationError(
            f"{name} is {text!r}; expected a number from 0 to below 1e9 with at most {DECIMALS} decimals and "
            f"{SIGNIFICANT_DIGITS} significant digits. Write it as, say, 100 or 0.5."
        )
    return float(number)


def _representable(number: Decimal) -> bool:
    """Tell whether a float64 carries the number exactly: by its digits, less zeros that say nothing."""
    _, digits, exponent = number.as_tuple()
    significant = "".join(map(str, digits)).strip("0")
    behind_the_point = -int(exponent) - (len(digits) - len("".join(map(str, digits)).rstrip("0")))
    return not significant or (behind_the_point <= DECIMALS and len(significant) <= SIGNIFICANT_DIGITS)


def _count(name: str, text: str) -> int:
    if not text.strip().isascii() or not text.strip().isdigit() or len(text.strip()) > DECIMALS:
        raise ConfigurationError(
            f"{name} is {text!r}; expected a whole number from 0 to 999999999. Write it as, say, 50."
        )
    return int(text)


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_S or "_" in text:
        raise ConfigurationError(
            f"{name} is {text!r}; expected a number of seconds from 0 to {LONGEST_S:g}. "
            f"Write it as, say, 2 or 0.5."
        )
    return seconds


def _projection(name: str, text: str) -> str:
    word = text.strip().lower()
    if word not in PROJECTIONS:
        raise ConfigurationError(f"{name} is {text!r}; expected worst_case or net.")
    return word


def _text(name: str, text: str) -> str:
    if not text.strip():
        raise ConfigurationError(f"{name} is blank; write a value, or unset it.")
    return text.strip()


def _timeout(name: str, text: str) -> float:
    seconds = _seconds(name, text)
    if not _SHORTEST_TIMEOUT_S <= seconds <= _LONGEST_TIMEOUT_S:
        raise ConfigurationError(
            f"{name} is {text!r}; expected a number of seconds from {_SHORTEST_TIMEOUT_S} to "
            f"{_LONGEST_TIMEOUT_S}: no run may wait for ever. Write it as, say, 10."
        )
    return seconds


def _wait(name: str, text: str) -> float:
    seconds = _seconds(name, text)
    if not seconds <= _LONGEST_TIMEOUT_S:
        raise ConfigurationError(
            f"{name} is {text!r}; expected a number of seconds from 0 to {_LONGEST_TIMEOUT_S}: no run may "
            f"wait for ever. Write it as, say, 30."
        )
    return seconds


def _database_url(name: str, text: str) -> str:
    """Take what libpq takes; its value is part of no message, since it may hold a password."""
    url = text.strip()
    scheme, found, _ = url.partition("://")
    if (found and scheme not in {"postgres", "postgresql"}) or (not found and "=" not in url):
        raise ConfigurationError(
            f"{name} is no address of a PostgreSQL database; expected "
            f"postgresql://user:password@host/database (without a driver such as +psycopg2 in it)."
        )
    return url


def _store(name: str, text: str) -> str:
    word = text.strip().lower()
    if word != "embedded":
        raise ConfigurationError(
            f"{name} is {text!r}; expected embedded, which says that a live run may keep positions or ledger "
            f"in the data folder. Unset it to use DATABASE_URL and a Firestore project."
        )
    return word


def _path_part(name: str, text: str) -> str:
    part = text.strip()
    if not part or "/" in part or part in {".", ".."} or re.fullmatch("__.*__", part):
        raise ConfigurationError(
            f"{name} is {text!r}; expected one part of a Firestore path: a name without a slash, "
            f"such as acme."
        )
    return part


def _document(name: str, text: str) -> str:
    path = text.strip().strip("/")
    parts = path.split("/")
    if len(parts) % 2 or not all(parts):
        raise ConfigurationError(
            f"{name} is {text!r}; expected the path of a Firestore document, collection/document, such as "
            f"ops/market_ingest."
        )
    return path


@dataclass(frozen=True)
class Setting:
    """One environment variable: how it is read, what it is when unset, and what it means.

    ``secret``: its value is never shown; of a URL, all but the password is.
    """

    name: str
    parse: Callable[[str, str], Any]
    default: str | None
    meaning: str
    secret: bool = False


SETTINGS = (
    Setting(
        "EXEC_DRY_RUN", _flag, "1", "judge and record, send nothing; 0 (false, no, off) asks for live orders"
    ),
    Setting("AGENT_MODE", _text, None, "only LIVE lets live orders through; a dry run doesn't ask"),
    Setting("EXEC_DATA_DIR", _text, "./data", "folder of inbox, archive, quarantine, runs and engine.db"),
    Setting("EXEC_MAX_POSITION_QTY", _quantity, "100", "largest position per account and symbol, in shares"),
    Setting("EXEC_MAX_DAILY_TRADES", _count, "50", "trades per account and session"),
    Setting("EXEC_POSITION_PROJECTION", _projection, "worst_case", "worst_case (any subset of fills) or net"),
    Setting("EXEC_RISK_FAIL_OPEN", _flag, "0", "skip a rule whose data is unavailable (not recommended)"),
    Setting("EXEC_INTENT_MAX_AGE_S", _seconds, None, "refuse intents created longer ago than this"),
    Setting("EXEC_POSITIONS_MAX_AGE_S", _seconds, None, "positions older than this are unavailable"),
    Setting("EXEC_DECISION_MAX_AGE_S", _seconds, "900", "a resumed run sends nothing decided longer ago"),
    Setting("EXEC_INBOX_SETTLE_S", _seconds, "2", "leave files alone that are younger than this"),
    Setting("EXEC_SETTLE_S", _wait, "30", "live: wait so long for fills after the last order has left"),
    Setting("EXEC_CALENDAR", _text, "XNYS", "exchange_calendars name of the sessions"),
    Setting("EXEC_BROKER_ACCOUNT_ID", _text, None, "the one account that may trade; unset: any"),
    Setting(
        "EXEC_ACCOUNTS_FILE", _text, None, "several accounts, with hosts and where their keys are (TOML)"
    ),
    Setting("DATABASE_URL", _database_url, None, "positions in PostgreSQL; unset: in engine.db", secret=True),
    Setting("FIREBASE_PROJECT_ID", _path_part, None, "ledger and counts in Firestore; unset: in engine.db"),
    Setting("GOOGLE_CLOUD_PROJECT", _path_part, None, "the same, where FIREBASE_PROJECT_ID is unset"),
    Setting("EXEC_TENANT_ID", _path_part, None, "keep the ledger below tenants/<this>/ in Firestore"),
    Setting("EXEC_STORE", _store, None, "embedded: a live run may use engine.db for what is unset above"),
    Setting(
        "EXEC_RISK_DATA_TIMEOUT_S", _timeout, "10", "what a store doesn't say in this time is unavailable"
    ),
    Setting(
        "EXEC_HEARTBEAT_DOC", _document, None, "Firestore document with the market data's last moment (ts)"
    ),
    Setting("MARKETDATA_STALE_THRESHOLD_S", _seconds, "120", "live: oldest market data in that document"),
    Setting("ALPACA_API_KEY", _text, None, "key of the Alpaca account", secret=True),
    Setting("ALPACA_SECRET_KEY", _text, None, "its secret", secret=True),
    Setting("ALPACA_TRADING_HOST", _text, PAPER_HOST, "where orders go; a live host has to be named here"),
    Setting("EXECUTION_HALTED", _text, None, "kill switch: anything but 0, false, no or off is ON"),
    Setting("EXECUTION_HALTED_FILE", _text, None, "kill switch: a file whose first line says the same"),
    Setting("EXECUTION_HALTED_DOC", _text, None, "kill switch: a Firestore document, field enabled"),
    Setting("EXEC_KILL_SWITCH", _text, None, "deprecated name of EXECUTION_HALTED"),
    Setting("EXEC_KILL_SWITCH_FILE", _text, None, "deprecated name of EXECUTION_HALTED_FILE"),
    Setting("EXEC_KILL_SWITCH_DOC", _text, None, "deprecated name of EXECUTION_HALTED_DOC"),
)
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP)(_\w+)?)?$")
"""Names that Kubernetes sets for every service, one called execution-engine, say."""
_BY_NAME = {setting.name: setting for setting in SETTINGS}


def read_setting(name: str, env: Mapping[str, str]) -> Any:
    """Give one setting's parsed value, its default where it is unset or empty, or None.

    Raises ``ConfigurationError`` where the value can't be read.
    """
    setting = _BY_NAME[name]
    text = env.get(name, "")
    if not text:
        if setting.default is None:
            return None
        text = setting.default
    return setting.parse(name, text)


def check_names(env: Mapping[str, str]) -> None:
    """Refuse names that look like settings and are none.

    Raises ``ConfigurationError``.
    """
    for error in wrong_names(env).values():
        raise error


def wrong_names(env: Mapping[str, str]) -> dict[str, ConfigurationError]:
    """Give what is wrong with names that look like settings and are none, by name."""
    found = {}
    for name in env:
        is_ours = name in _BY_NAME or _SERVICE_LINK.search(name)
        if name.startswith(("EXEC_", "EXECUTION_")) and not is_ours:
            close = get_close_matches(name, _BY_NAME, n=1, cutoff=0.85)
            hint = f"Did you mean {close[0]}?" if close else "Unset it."
            found[name] = f"{name} is no setting of the engine. {hint}"
    return {name: ConfigurationError(message) for name, message in found.items()}


@dataclass(frozen=True, kw_only=True)
class RiskConfig:
    """The limits that intents are judged by.

    ``max_position_qty``: shares per account and symbol, 0 to below 1e9. ``max_daily_trades``: per account
    and session. ``fail_open``: skip a rule whose data is unavailable. ``position_projection``:
    ``worst_case`` or ``net``. ``intent_max_age_s``: seconds, None for no limit. ``accounts``: the accounts
    that may trade, empty for any. Raises ``ConfigurationError`` for anything that is not a limit.
    """

    max_position_qty: float = 100.0
    max_daily_trades: int = 50
    fail_open: bool = False
    position_projection: Projection = "worst_case"
    intent_max_age_s: float | None = None
    accounts: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        limits = {"max_position_qty": _quantity, "max_daily_trades": _count, "intent_max_age_s": _seconds}
        for name, parse in limits.items():
            limit = getattr(self, name)
            if isinstance(limit, bool) or not isinstance(limit, Real | None):
                raise ConfigurationError(f"{name} is {limit!r}; expected a number.")
            if limit is not None or name != "intent_max_age_s":
                object.__setattr__(self, name, parse(name, str(limit)))
        if self.position_projection not in PROJECTIONS:
            raise ConfigurationError(
                f"position_projection is {self.position_projection!r}; expected worst_case or net."
            )
        if not isinstance(self.accounts, frozenset) or not all(isinstance(a, str) for a in self.accounts):
            raise ConfigurationError(f"accounts is {self.accounts!r}; expected a frozenset of account ids.")
        if not isinstance(self.fail_open, bool):
            raise ConfigurationError(f"fail_open is {self.fail_open!r}; expected True or False.")

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> RiskConfig:
        """Read the limits from environment variables (``os.environ`` by default).

        Raises ``ConfigurationError``.
        """
        env = os.environ if env is None else env
        return cls(
            max_position_qty=read_setting("EXEC_MAX_POSITION_QTY", env),
            max_daily_trades=read_setting("EXEC_MAX_DAILY_TRADES", env),
            fail_open=read_setting("EXEC_RISK_FAIL_OPEN", env),
            position_projection=read_setting("EXEC_POSITION_PROJECTION", env),
            intent_max_age_s=read_setting("EXEC_INTENT_MAX_AGE_S", env),
            accounts=_account_names(env),
        )


def _account_names(env: Mapping[str, str]) -> frozenset[str]:
    """Give the accounts that may trade, empty for any."""
    account, path = read_setting("EXEC_BROKER_ACCOUNT_ID", env), read_setting("EXEC_ACCOUNTS_FILE", env)
    if not path:
        return frozenset([account] if account else [])
    if account:
        raise ConfigurationError(
            f"EXEC_BROKER_ACCOUNT_ID is {account!r} and EXEC_ACCOUNTS_FILE is set too, which names the "
            f"accounts itself. Unset one of them."
        )
    from engine.accounts_file import listed_accounts

    return frozenset(listed_accounts(path))


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Where positions and ledger are kept, each chosen for itself; None: in the data folder's ``engine.db``.

    ``embedded_is_meant``: a live run may use that file as well. ``timeout_s``: bound of every answer.
    """

    data_dir: Path
    database_url: str | None = field(default=None, repr=False)
    firestore_project: str | None = None
    tenant_id: str | None = None
    embedded_is_meant: bool = False
    timeout_s: float = 10.0

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> StoreSettings:
        """Read them from environment variables. Raises ``ConfigurationError``."""
        own, platform = (read_setting(name, env) for name in ("FIREBASE_PROJECT_ID", "GOOGLE_CLOUD_PROJECT"))
        return cls(
            data_dir=Path(read_setting("EXEC_DATA_DIR", env)),
            database_url=read_setting("DATABASE_URL", env),
            firestore_project=own or platform,
            tenant_id=read_setting("EXEC_TENANT_ID", env),
            embedded_is_meant=read_setting("EXEC_STORE", env) is not None,
            timeout_s=read_setting("EXEC_RISK_DATA_TIMEOUT_S", env),
        )


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """What the live gate asks of the environment; ``heartbeat_document`` is None where there is none."""

    agent_mode: str
    heartbeat_document: str | None
    marketdata_stale_threshold_s: float

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> GateSettings:
        """Read them from environment variables. Raises ``ConfigurationError``."""
        return cls(
            agent_mode=read_setting("AGENT_MODE", env) or "",
            heartbeat_document=read_setting("EXEC_HEARTBEAT_DOC", env),
            marketdata_stale_threshold_s=read_setting("MARKETDATA_STALE_THRESHOLD_S", env),
        )


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a run needs to know besides its limits; ages and delays in seconds.

    ``account``: the one that may trade, None for any, or where ``accounts_file`` names several.
    ``disk_is_lost``: local folders vanish with the job, as those of a Cloud Run job do.
    """

    data_dir: Path
    dry_run: bool
    stores: StoreSettings
    gate: GateSettings
    calendar: str
    inbox_settle_s: float
    decision_max_age_s: float
    positions_max_age_s: float | None
    settle_s: float
    account: str | None
    accounts_file: Path | None
    disk_is_lost: bool

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> RunSettings:
        """Read the settings of a run from environment variables (``os.environ`` by default).

        Raises ``ConfigurationError``, also for unknown names.
        """
        env = os.environ if env is None else env
        check_names(env)
        file = read_setting("EXEC_ACCOUNTS_FILE", env)
        return cls(
            data_dir=Path(read_setting("EXEC_DATA_DIR", env)),
            dry_run=read_setting("EXEC_DRY_RUN", env),
            stores=StoreSettings.from_env(env),
            gate=GateSettings.from_env(env),
            calendar=read_setting("EXEC_CALENDAR", env),
            inbox_settle_s=read_setting("EXEC_INBOX_SETTLE_S", env),
            decision_max_age_s=read_setting("EXEC_DECISION_MAX_AGE_S", env),
            positions_max_age_s=read_setting("EXEC_POSITIONS_MAX_AGE_S", env),
            settle_s=read_setting("EXEC_SETTLE_S", env),
            account=read_setting("EXEC_BROKER_ACCOUNT_ID", env),
            accounts_file=Path(file) if file else None,
            disk_is_lost=bool(env.get("CLOUD_RUN_JOB")),
        )
