"""Settings: read once from the environment, strictly, into frozen objects.

A value that can't be read, a limit that isn't a number and a name that is no setting are all errors: a
typing mistake must never loosen a limit. ``SETTINGS`` is the whole list.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from engine.errors import ConfigurationError
from engine.settings.alarm_addresses import as_alarm_url, as_emails, as_form, as_mail_server
from engine.settings.hosts import DATA_HOST, PAPER_HOST, as_data_host
from engine.settings.paths import as_path
from engine.settings.values import (
    as_count,
    as_database_url,
    as_document,
    as_flag,
    as_metadata_names,
    as_name,
    as_path_part,
    as_price_feed,
    as_price_source,
    as_projection,
    as_seconds,
    as_size,
    as_store,
    as_table_path,
    as_text,
    as_timeout,
    as_wait,
    as_zone,
)
from engine.text.masking import shown_text


@dataclass(frozen=True)
class Setting:
    """One environment variable: its parser, its default and its meaning.

    ``secret``: its value is never shown; of a URL, all but the password is.
    """

    name: str
    parse: Callable[[str, str], Any]
    default: str | None
    meaning: str
    secret: bool = False


SETTINGS = (
    Setting(
        "EXEC_DRY_RUN",
        as_flag,
        "1",
        "judge and record, send nothing; 0 (false, no, off) asks for live orders",
    ),
    Setting("AGENT_MODE", as_text, None, "only LIVE lets live orders through; a dry run doesn't ask"),
    Setting("EXEC_DATA_DIR", as_path, "./data", "folder of inbox, archive, quarantine, runs and engine.db"),
    Setting(
        "EXEC_GROUP_ACCESS", as_flag, "0", "1: the group may read what the engine creates (modes 0750, 0640)"
    ),
    Setting("EXEC_REPORT", as_flag, "0", "1: write the page of each run, reports/<session>/<run id>.html"),
    Setting(
        "EXEC_POSITION_PROJECTION", as_projection, "worst_case", "worst_case (any subset of fills) or net"
    ),
    Setting("EXEC_RISK_FAIL_OPEN", as_flag, "0", "skip a rule whose data is unavailable (not recommended)"),
    Setting("EXEC_POSITIONS_MAX_AGE_S", as_seconds, None, "positions older than this are unavailable"),
    Setting("EXEC_DECISION_MAX_AGE_S", as_seconds, "900", "a resumed run sends nothing decided longer ago"),
    Setting("EXEC_INBOX_SETTLE_S", as_seconds, "2", "leave files alone that are younger than this"),
    Setting("EXEC_INBOX_MAX_FILE_BYTES", as_size, "268435456", "largest file of the inbox that is read"),
    Setting("EXEC_INBOX_MAX_UNPACKED_BYTES", as_size, "536870912", "largest content of a file, unpacked"),
    Setting("EXEC_INBOX_MAX_ROWS", as_size, "2000000", "most rows of a file"),
    Setting("EXEC_INBOX_MAX_COLUMNS", as_size, "1000", "most columns of a file; JSON: different keys"),
    Setting("EXEC_INBOX_MAX_KEYS", as_size, "10000", "most keys of a row, those of nested objects included"),
    Setting(
        "EXEC_INBOX_MAX_REFUSED_ROWS", as_count, "50000", "a file with more refused rows is refused whole"
    ),
    Setting("EXEC_INBOX_MAX_DEPTH", as_count, "16", "folders below each other in the inbox that are read"),
    Setting(
        "EXEC_INBOX_MAX_TOTAL_BYTES", as_size, "536870912", "files of one run, together; the next takes more"
    ),
    Setting("EXEC_INBOX_MAX_FILES", as_size, "10000", "most files of one run; the next run takes more"),
    Setting("EXEC_INBOX_TZ", as_zone, None, "zone of times in files that name none; unset: they are refused"),
    Setting(
        "EXEC_IDENTITY_IGNORES", as_metadata_names, None, "names in metadata that don't identify a row, a,b"
    ),
    Setting("EXEC_SETTLE_S", as_wait, "30", "live: wait so long for fills after the last order has left"),
    Setting(
        "EXEC_BROKER_WAIT_S", as_wait, "60", "live: longest wait that a broker may ask for (429, Retry-After)"
    ),
    Setting("EXEC_CALENDAR", as_text, "XNYS", "exchange_calendars name of the sessions"),
    Setting("EXEC_BROKER_ACCOUNT_ID", as_name, None, "the one account that may trade; unset: any"),
    Setting(
        "EXEC_ACCOUNTS_FILE", as_path, None, "several accounts, with hosts and where their keys are (TOML)"
    ),
    Setting("EXEC_LIMITS_FILE", as_path, None, "limits of accounts, symbols and strategies (TOML)"),
    Setting(
        "DATABASE_URL", as_database_url, None, "positions in PostgreSQL; unset: in engine.db", secret=True
    ),
    Setting("FIREBASE_PROJECT_ID", as_path_part, None, "ledger and counts in Firestore; unset: in engine.db"),
    Setting("GOOGLE_CLOUD_PROJECT", as_path_part, None, "the same, where FIREBASE_PROJECT_ID is unset"),
    Setting("EXEC_TENANT_ID", as_path_part, None, "keep the ledger below tenants/<this>/ in Firestore"),
    Setting("EXEC_STORE", as_store, None, "embedded: a live run may use engine.db for what is unset above"),
    Setting(
        "EXEC_RISK_DATA_TIMEOUT_S", as_timeout, "10", "what a store doesn't say in this time is unavailable"
    ),
    Setting(
        "EXEC_HEARTBEAT_DOC", as_document, None, "Firestore document with the market data's last moment (ts)"
    ),
    Setting("MARKETDATA_STALE_THRESHOLD_S", as_seconds, "120", "live: oldest market data in that document"),
    Setting("ALPACA_API_KEY", as_text, None, "key of the Alpaca account", secret=True),
    Setting("ALPACA_SECRET_KEY", as_text, None, "its secret", secret=True),
    Setting("ALPACA_TRADING_HOST", as_text, PAPER_HOST, "where orders go; a live host has to be named here"),
    Setting(
        "EXEC_PRICES", as_price_source, None, "prices: alpaca, intents (their own), or a CSV or Parquet file"
    ),
    Setting(
        "EXEC_PRICE_FEED", as_price_feed, "sip", "feed of Alpaca's quotes: sip, iex, delayed_sip, otc, …"
    ),
    Setting("ALPACA_DATA_HOST", as_data_host, DATA_HOST, "where Alpaca's quotes come from"),
    Setting(
        "EXEC_ADV", as_table_path, None, "file of average daily volumes, each with its date (CSV or Parquet)"
    ),
    Setting("EXEC_ALERT_WEBHOOK", as_alarm_url, None, "URL that alarms are posted to", secret=True),
    Setting("EXEC_ALERT_WEBHOOK_FORM", as_form, None, "json, or slack; unset: slack for hooks.slack.com"),
    Setting("EXEC_ALERT_EMAIL", as_emails, None, "addresses that alarms are mailed to, a@b.com,c@d.com"),
    Setting("EXEC_SMTP_URL", as_mail_server, None, "mail server: smtp(s)://user:password@host", secret=True),
    Setting("EXEC_ALERT_EVERY_S", as_seconds, "900", "alarms of one kind are sent at most so often"),
    Setting("EXEC_HEARTBEAT_URL", as_alarm_url, None, "URL that is called after each good run", secret=True),
    Setting("EXECUTION_HALTED", as_text, None, "kill switch: anything but 0, false, no or off is ON"),
    Setting("EXECUTION_HALTED_FILE", as_text, None, "kill switch: a file whose first line says the same"),
    Setting("EXECUTION_HALTED_DOC", as_text, None, "kill switch: a Firestore document, field enabled"),
    Setting("EXEC_KILL_SWITCH", as_text, None, "deprecated name of EXECUTION_HALTED"),
    Setting("EXEC_KILL_SWITCH_FILE", as_text, None, "deprecated name of EXECUTION_HALTED_FILE"),
    Setting("EXEC_KILL_SWITCH_DOC", as_text, None, "deprecated name of EXECUTION_HALTED_DOC"),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


def read_setting(name: str, env: Mapping[str, str]) -> Any:
    """Return one setting's parsed value, its default where it is unset or empty, or None.

    Raises ``ConfigurationError`` where the value can't be read.
    """
    setting = _BY_NAME[name]
    text = env.get(name, "")
    if not text:
        if setting.default is None:
            return None
        text = setting.default
    return setting.parse(name, text)


def read(name: str, parse: Callable[[str, str], Any], env: Mapping[str, str]) -> Any:
    """Return a variable's parsed value, None where it is unset or empty.

    Raises ``ConfigurationError`` where the value can't be read.
    """
    text = env.get(name, "")
    return parse(name, text) if text else None


def account_names(env: Mapping[str, str]) -> frozenset[str]:
    """Return the accounts that may trade, empty for any."""
    account, path = read_setting("EXEC_BROKER_ACCOUNT_ID", env), read_setting("EXEC_ACCOUNTS_FILE", env)
    if not path:
        return frozenset([account] if account else [])
    if account:
        raise ConfigurationError(
            f"EXEC_BROKER_ACCOUNT_ID is {shown_text(account)} and EXEC_ACCOUNTS_FILE is set too, "
            f"which names the "
            f"accounts itself. Unset one of them."
        )
    from engine.settings.accounts_file import listed_accounts

    return frozenset(listed_accounts(path))


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Where positions and ledger are kept, chosen independently; None: in the data folder's ``engine.db``.

    ``embedded_is_meant``: a live run may use that file as well. ``timeout_s``: bound of every answer.
    ``group_access``: the group of this user may read what is created in the data folder.
    """

    data_dir: Path
    database_url: str | None = field(default=None, repr=False)
    firestore_project: str | None = None
    tenant_id: str | None = None
    embedded_is_meant: bool = False
    timeout_s: float = 10.0
    group_access: bool = False

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
            group_access=read_setting("EXEC_GROUP_ACCESS", env),
        )


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """The settings of the gate before live trading; ``heartbeat_document`` is None where unset."""

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
class IntakeLimits:
    """The limits for files of the inbox; a file beyond them is quarantined whole.

    ``max_file_bytes``: size in the inbox. ``max_unpacked_bytes``: size of the content when unpacked, and as
    columns. ``max_columns``: for JSON, different keys. ``max_keys``: keys of one row, those of nested objects
    included. ``max_refused_rows``: the most refused rows with which the good rows of a file are accepted.
    ``max_depth``: levels of folders; files in deeper ones are left.

    A run reads at most ``max_files`` files and ``max_total_bytes`` (the larger of file and columns), and no
    further file once it has ``max_rows`` rows or ``max_refused_rows`` refused ones: the next run reads the
    rest.
    """

    max_file_bytes: int = 1 << 28
    max_unpacked_bytes: int = 1 << 29
    max_rows: int = 2_000_000
    max_columns: int = 1_000
    max_keys: int = 10_000
    max_refused_rows: int = 50_000
    max_depth: int = 16
    max_total_bytes: int = 1 << 29
    max_files: int = 10_000

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> IntakeLimits:
        """Read them from environment variables. Raises ``ConfigurationError``."""
        return cls(**{limit.name: read_setting(cls.setting_of(limit.name), env) for limit in fields(cls)})

    @classmethod
    def of_record(cls, settings: Mapping[str, Any]) -> IntakeLimits:
        """Return the limits that a run began with; those its record doesn't have are the defaults."""
        known = {limit.name for limit in fields(cls)}
        recorded = settings.get("intake", {})
        return cls(**{name: limit for name, limit in recorded.items() if name in known})

    @staticmethod
    def setting_of(limit: str) -> str:
        """Return the environment variable of a limit."""
        return f"EXEC_INBOX_{limit.upper()}"


DEFAULT_INTAKE = IntakeLimits()


@dataclass(frozen=True, kw_only=True)
class PriceSettings:
    """Where prices and average volumes come from; fixed when a run begins.

    ``source``: ``alpaca``, ``intents`` or the path of a file, None for no prices. ``feed`` and ``data_host``
    are Alpaca's. ``volumes``: the path of a file, None for no volumes.
    """

    source: str | None = None
    feed: str = "sip"
    data_host: str = DATA_HOST
    volumes: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> PriceSettings:
        """Read them from environment variables. Raises ``ConfigurationError``."""
        return cls(
            source=read_setting("EXEC_PRICES", env),
            feed=read_setting("EXEC_PRICE_FEED", env),
            data_host=read_setting("ALPACA_DATA_HOST", env),
            volumes=read_setting("EXEC_ADV", env),
        )

    @classmethod
    def of_record(cls, settings: Mapping[str, Any]) -> PriceSettings:
        """Return the settings that a run began with; a record of an earlier version has none."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in settings.get("prices", {}).items() if name in known})


NO_PRICES = PriceSettings()


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings of a run besides its limits; ages and delays in seconds.

    ``account``: the only one that may trade; None for any, or where ``accounts_file`` names several.
    ``disk_is_lost``: local folders are lost when the job ends, as in a Cloud Run job. ``writes_page``: write
    the page of each run.
    """

    data_dir: Path
    dry_run: bool
    stores: StoreSettings
    gate: GateSettings
    calendar: str
    inbox_settle_s: float
    intake: IntakeLimits
    inbox_tz: str | None
    identity_ignores: tuple[str, ...]
    decision_max_age_s: float
    positions_max_age_s: float | None
    settle_s: float
    broker_wait_s: float
    account: str | None
    accounts_file: Path | None
    disk_is_lost: bool
    prices: PriceSettings = NO_PRICES
    writes_page: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> RunSettings:
        """Return the settings of a run from environment variables (``os.environ`` by default).

        Raises ``ConfigurationError``.
        """
        env = os.environ if env is None else env
        file = read_setting("EXEC_ACCOUNTS_FILE", env)
        return cls(
            data_dir=Path(read_setting("EXEC_DATA_DIR", env)),
            dry_run=read_setting("EXEC_DRY_RUN", env),
            stores=StoreSettings.from_env(env),
            gate=GateSettings.from_env(env),
            calendar=read_setting("EXEC_CALENDAR", env),
            inbox_settle_s=read_setting("EXEC_INBOX_SETTLE_S", env),
            intake=IntakeLimits.from_env(env),
            inbox_tz=read_setting("EXEC_INBOX_TZ", env),
            identity_ignores=read_setting("EXEC_IDENTITY_IGNORES", env) or (),
            decision_max_age_s=read_setting("EXEC_DECISION_MAX_AGE_S", env),
            positions_max_age_s=read_setting("EXEC_POSITIONS_MAX_AGE_S", env),
            settle_s=read_setting("EXEC_SETTLE_S", env),
            broker_wait_s=read_setting("EXEC_BROKER_WAIT_S", env),
            account=read_setting("EXEC_BROKER_ACCOUNT_ID", env),
            accounts_file=Path(file) if file else None,
            disk_is_lost=bool(env.get("CLOUD_RUN_JOB")),
            prices=PriceSettings.from_env(env),
            writes_page=read_setting("EXEC_REPORT", env),
        )
