from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import ConfigurationError
from engine.risk.config import RiskConfig
from engine.risk.settings import OF_LIMITS, SETTINGS
from engine.settings.alarm_addresses import MailServer
from engine.settings.alarms import alarm_settings
from engine.settings.hosts import PAPER_HOST
from engine.settings.limits_text import FILE
from engine.settings.variables import SETTINGS as GENERAL
from engine.settings.variables import (
    GateSettings,
    IntakeLimits,
    RunSettings,
    StoreSettings,
    read_setting,
)
from engine.text.printable import printable

_MAIL_SERVER = {"EXEC_SMTP_URL": "smtp://127.0.0.1"}
_MAIL_TO = {"EXEC_ALERT_EMAIL": "a@b.com"}
WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
NO_WORDS = ["y", "n", "2", "-1", "flase", "ture", "enabled", "none", "null", "1.0", "0 0", "01", " ", "\t"]
NO_QUANTITIES = [
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "-1",
    "-0.5",
    "+5",
    "abc",
    "",
    "2e10",
    "1e9",
    "1_000",
]
NO_QUANTITIES += [
    "1,5",
    "1e400",
    "1e-10",
    "0.1234567891",
    "1234567.123456789",
    "0x10",
    "1e",
    ".",
    "٣",
    "--1",
    " ",
]
NO_COUNTS = ["nan", "inf", "-1", "1.5", "5.0", "1e3", "abc", "1_000", "9999999999", "²", "٣", " ", "0x1"]
NO_SECONDS = ["nan", "inf", "-1", "-0.1", "abc", "1_0", "2s", "1e10", "1e400", " "]


def settings(**env: str) -> RunSettings:
    return RunSettings.from_env(env)


def limits(**env: str) -> RiskConfig:
    return RiskConfig.from_env(env)


# --- what holds without a word


def test_without_settings_the_limits_are_those_of_the_specification() -> None:
    config = limits()
    assert config == RiskConfig()
    assert (config.max_position_qty, config.max_daily_trades, config.fail_open) == (100.0, 50, False)
    assert (config.position_projection, config.intent_max_age_s) == ("worst_case", None)
    assert config.accounts == frozenset()


def test_without_settings_it_is_a_dry_run_below_data() -> None:
    assert settings() == RunSettings(
        data_dir=Path("data"),
        dry_run=True,
        stores=StoreSettings(
            data_dir=Path("data"),
            database_url=None,
            firestore_project=None,
            tenant_id=None,
            embedded_is_meant=False,
            timeout_s=10.0,
        ),
        gate=GateSettings(
            agent_mode="",
            heartbeat_document=None,
            marketdata_stale_threshold_s=120.0,
        ),
        calendar="XNYS",
        inbox_settle_s=2.0,
        intake=IntakeLimits(
            max_file_bytes=268435456,
            max_unpacked_bytes=536870912,
            max_rows=2_000_000,
            max_columns=1_000,
            max_keys=10_000,
            max_refused_rows=50_000,
            max_depth=16,
            max_total_bytes=536870912,
            max_files=10_000,
        ),
        inbox_tz=None,
        identity_ignores=(),
        decision_max_age_s=900.0,
        positions_max_age_s=None,
        settle_s=30.0,
        broker_wait_s=60.0,
        account=None,
        accounts_file=None,
        disk_is_lost=False,
    )


def test_without_settings_the_broker_is_the_paper_host_without_keys() -> None:
    names = ("ALPACA_TRADING_HOST", "ALPACA_API_KEY", "ALPACA_SECRET_KEY")
    assert [read_setting(name, {}) for name in names] == [PAPER_HOST, None, None]
    assert PAPER_HOST == "https://paper-api.alpaca.markets"


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS if "HALTED" not in setting.name])
def test_an_empty_setting_is_unset(setting: Any) -> None:
    read = read_setting if setting in GENERAL else lambda _, env: RiskConfig.from_env(env)
    assert read(setting.name, {setting.name: ""}) == read(setting.name, {})


def test_every_setting_has_a_meaning_and_a_default_that_it_can_read_itself() -> None:
    for setting in SETTINGS:
        assert setting.meaning
        if setting.default is not None:
            setting.parse(setting.name, setting.default)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXEC_MAX_DAILY_TRADES", "7")
    monkeypatch.setenv("EXEC_INBOX_SETTLE_S", "0.5")
    assert RiskConfig.from_env().max_daily_trades == 7
    assert RunSettings.from_env().inbox_settle_s == 0.5


# --- each one, read strictly

READ: dict[str, Callable[[str], Any]] = {
    "EXEC_MAX_POSITION_QTY": lambda text: limits(EXEC_MAX_POSITION_QTY=text).max_position_qty,
    "EXEC_MAX_DAILY_TRADES": lambda text: limits(EXEC_MAX_DAILY_TRADES=text).max_daily_trades,
    "EXEC_RISK_FAIL_OPEN": lambda text: limits(EXEC_RISK_FAIL_OPEN=text).fail_open,
    "EXEC_POSITION_PROJECTION": lambda text: limits(EXEC_POSITION_PROJECTION=text).position_projection,
    "EXEC_INTENT_MAX_AGE_S": lambda text: limits(EXEC_INTENT_MAX_AGE_S=text).intent_max_age_s,
    "EXEC_BROKER_ACCOUNT_ID": lambda text: limits(EXEC_BROKER_ACCOUNT_ID=text).accounts,
    "EXEC_ACCOUNTS_FILE": lambda text: settings(EXEC_ACCOUNTS_FILE=text).accounts_file,
    "EXEC_DRY_RUN": lambda text: settings(EXEC_DRY_RUN=text).dry_run,
    "EXEC_DATA_DIR": lambda text: settings(EXEC_DATA_DIR=text).data_dir,
    "EXEC_CALENDAR": lambda text: settings(EXEC_CALENDAR=text).calendar,
    "EXEC_INBOX_TZ": lambda text: settings(EXEC_INBOX_TZ=text).inbox_tz,
    "EXEC_IDENTITY_IGNORES": lambda text: settings(EXEC_IDENTITY_IGNORES=text).identity_ignores,
    "EXEC_INBOX_SETTLE_S": lambda text: settings(EXEC_INBOX_SETTLE_S=text).inbox_settle_s,
    "EXEC_DECISION_MAX_AGE_S": lambda text: settings(EXEC_DECISION_MAX_AGE_S=text).decision_max_age_s,
    "EXEC_POSITIONS_MAX_AGE_S": lambda text: settings(EXEC_POSITIONS_MAX_AGE_S=text).positions_max_age_s,
    "EXEC_SETTLE_S": lambda text: settings(EXEC_SETTLE_S=text).settle_s,
    "EXEC_BROKER_WAIT_S": lambda text: settings(EXEC_BROKER_WAIT_S=text).broker_wait_s,
    "EXEC_INBOX_MAX_FILE_BYTES": lambda text: settings(EXEC_INBOX_MAX_FILE_BYTES=text).intake.max_file_bytes,
    "EXEC_INBOX_MAX_UNPACKED_BYTES": lambda text: (
        settings(EXEC_INBOX_MAX_UNPACKED_BYTES=text).intake.max_unpacked_bytes
    ),
    "EXEC_INBOX_MAX_ROWS": lambda text: settings(EXEC_INBOX_MAX_ROWS=text).intake.max_rows,
    "EXEC_INBOX_MAX_COLUMNS": lambda text: settings(EXEC_INBOX_MAX_COLUMNS=text).intake.max_columns,
    "EXEC_INBOX_MAX_KEYS": lambda text: settings(EXEC_INBOX_MAX_KEYS=text).intake.max_keys,
    "EXEC_INBOX_MAX_REFUSED_ROWS": lambda text: (
        settings(EXEC_INBOX_MAX_REFUSED_ROWS=text).intake.max_refused_rows
    ),
    "EXEC_INBOX_MAX_DEPTH": lambda text: settings(EXEC_INBOX_MAX_DEPTH=text).intake.max_depth,
    "EXEC_INBOX_MAX_TOTAL_BYTES": lambda text: (
        settings(EXEC_INBOX_MAX_TOTAL_BYTES=text).intake.max_total_bytes
    ),
    "EXEC_INBOX_MAX_FILES": lambda text: settings(EXEC_INBOX_MAX_FILES=text).intake.max_files,
    "DATABASE_URL": lambda text: settings(DATABASE_URL=text).stores.database_url,
    "FIREBASE_PROJECT_ID": lambda text: settings(FIREBASE_PROJECT_ID=text).stores.firestore_project,
    "GOOGLE_CLOUD_PROJECT": lambda text: settings(GOOGLE_CLOUD_PROJECT=text).stores.firestore_project,
    "EXEC_TENANT_ID": lambda text: settings(EXEC_TENANT_ID=text).stores.tenant_id,
    "EXEC_STORE": lambda text: settings(EXEC_STORE=text).stores.embedded_is_meant,
    "EXEC_GROUP_ACCESS": lambda text: settings(EXEC_GROUP_ACCESS=text).stores.group_access,
    "EXEC_REPORT": lambda text: settings(EXEC_REPORT=text).writes_page,
    "EXEC_RISK_DATA_TIMEOUT_S": lambda text: settings(EXEC_RISK_DATA_TIMEOUT_S=text).stores.timeout_s,
    "AGENT_MODE": lambda text: settings(AGENT_MODE=text).gate.agent_mode,
    "EXEC_HEARTBEAT_DOC": lambda text: settings(EXEC_HEARTBEAT_DOC=text).gate.heartbeat_document,
    "MARKETDATA_STALE_THRESHOLD_S": lambda text: (
        settings(MARKETDATA_STALE_THRESHOLD_S=text).gate.marketdata_stale_threshold_s
    ),
    "ALPACA_API_KEY": lambda text: read_setting("ALPACA_API_KEY", {"ALPACA_API_KEY": text}),
    "ALPACA_SECRET_KEY": lambda text: read_setting("ALPACA_SECRET_KEY", {"ALPACA_SECRET_KEY": text}),
    "ALPACA_TRADING_HOST": lambda text: read_setting("ALPACA_TRADING_HOST", {"ALPACA_TRADING_HOST": text}),
    "EXEC_PRICES": lambda text: settings(EXEC_PRICES=text).prices.source,
    "EXEC_PRICE_FEED": lambda text: settings(EXEC_PRICE_FEED=text).prices.feed,
    "ALPACA_DATA_HOST": lambda text: settings(ALPACA_DATA_HOST=text).prices.data_host,
    "EXEC_ADV": lambda text: settings(EXEC_ADV=text).prices.volumes,
    "EXEC_ALERT_WEBHOOK": lambda text: alarm_settings({"EXEC_ALERT_WEBHOOK": text}).webhook,
    "EXEC_ALERT_WEBHOOK_FORM": lambda text: alarm_settings({"EXEC_ALERT_WEBHOOK_FORM": text}).form,
    "EXEC_ALERT_EMAIL": lambda text: alarm_settings({"EXEC_ALERT_EMAIL": text, **_MAIL_SERVER}).emails,
    "EXEC_SMTP_URL": lambda text: alarm_settings({"EXEC_SMTP_URL": text, **_MAIL_TO}).mail_server,
    "EXEC_ALERT_EVERY_S": lambda text: alarm_settings({"EXEC_ALERT_EVERY_S": text}).every_s,
    "EXEC_HEARTBEAT_URL": lambda text: alarm_settings({"EXEC_HEARTBEAT_URL": text}).heartbeat_url,
}
FIRESTORE_NAMES = ("FIREBASE_PROJECT_ID", "GOOGLE_CLOUD_PROJECT", "EXEC_TENANT_ID")
SIZES = [
    f"EXEC_INBOX_MAX_{of}"
    for of in ("FILE_BYTES", "UNPACKED_BYTES", "ROWS", "COLUMNS", "KEYS", "TOTAL_BYTES", "FILES")
]
COUNTS_OF_FILES = ["EXEC_INBOX_MAX_REFUSED_ROWS", "EXEC_INBOX_MAX_DEPTH"]
TIMEOUTS = ("EXEC_RISK_DATA_TIMEOUT_S",)
GOOD = [
    *[("EXEC_DRY_RUN", word, meant) for word, meant in WORDS.items()],
    *[("EXEC_RISK_FAIL_OPEN", f" {word.upper()}\n", meant) for word, meant in WORDS.items()],
    ("EXEC_MAX_POSITION_QTY", "0", 0.0),
    ("EXEC_MAX_POSITION_QTY", " 1e2 ", 100.0),
    ("EXEC_MAX_POSITION_QTY", "0.000000001", 1e-9),
    ("EXEC_MAX_POSITION_QTY", "999999999", 999999999.0),
    ("EXEC_MAX_POSITION_QTY", "1.500000000000000000", 1.5),
    ("EXEC_MAX_DAILY_TRADES", "0", 0),
    ("EXEC_MAX_DAILY_TRADES", " 007 ", 7),
    ("EXEC_POSITION_PROJECTION", " NET ", "net"),
    ("EXEC_INTENT_MAX_AGE_S", "0", 0.0),
    ("EXEC_INTENT_MAX_AGE_S", "1e9", 1e9),
    ("EXEC_BROKER_ACCOUNT_ID", " paper ", frozenset({"paper"})),
    ("EXEC_ACCOUNTS_FILE", "accounts.toml", Path("accounts.toml")),
    ("EXEC_DATA_DIR", "/var/data", Path("/var/data")),
    ("EXEC_CALENDAR", "XLON", "XLON"),
    ("EXEC_INBOX_SETTLE_S", "0.5", 0.5),
    ("EXEC_INBOX_TZ", " America/New_York ", "America/New_York"),
    ("EXEC_IDENTITY_IGNORES", "seed", ("seed",)),
    ("EXEC_IDENTITY_IGNORES", " Generated At , seed,seed", ("Generated At", "seed")),
    *[(name, " 1\n", 1) for name in SIZES],
    *[(name, "999999999999", 999_999_999_999) for name in SIZES],
    ("EXEC_INBOX_MAX_REFUSED_ROWS", "0", 0),
    ("EXEC_INBOX_MAX_DEPTH", "0", 0),
    ("EXEC_DECISION_MAX_AGE_S", "60", 60.0),
    ("EXEC_POSITIONS_MAX_AGE_S", "60", 60.0),
    ("EXEC_SETTLE_S", "0", 0.0),
    ("EXEC_SETTLE_S", "600", 600.0),
    ("EXEC_BROKER_WAIT_S", "0", 0.0),
    ("EXEC_BROKER_WAIT_S", " 90.5 ", 90.5),
    ("DATABASE_URL", " postgresql://u:p%40ss@db:5432/x\n", "postgresql://u:p%40ss@db:5432/x"),
    ("DATABASE_URL", "postgres://db/x", "postgres://db/x"),
    ("DATABASE_URL", "host=db dbname=x", "host=db dbname=x"),
    *[(name, " acme-1 ", "acme-1") for name in FIRESTORE_NAMES],
    ("EXEC_STORE", "embedded", True),
    ("EXEC_GROUP_ACCESS", " Yes", True),
    ("EXEC_GROUP_ACCESS", "0", False),
    ("EXEC_REPORT", "on", True),
    ("EXEC_STORE", " Embedded\n", True),
    ("EXEC_RISK_DATA_TIMEOUT_S", "0.1", 0.1),
    ("EXEC_RISK_DATA_TIMEOUT_S", "600", 600.0),
    ("AGENT_MODE", "LIVE", "LIVE"),
    ("AGENT_MODE", "live", "live"),
    ("EXEC_HEARTBEAT_DOC", "ops/market_ingest", "ops/market_ingest"),
    ("EXEC_HEARTBEAT_DOC", " /tenants/acme/ops/market_ingest ", "tenants/acme/ops/market_ingest"),
    ("MARKETDATA_STALE_THRESHOLD_S", "0", 0.0),
    ("MARKETDATA_STALE_THRESHOLD_S", "30.5", 30.5),
    ("ALPACA_API_KEY", " PK1 ", "PK1"),
    ("ALPACA_SECRET_KEY", "s==", "s=="),
    ("ALPACA_TRADING_HOST", " https://api.alpaca.markets\n", "https://api.alpaca.markets"),
    ("EXEC_PRICES", " Alpaca\n", "alpaca"),
    ("EXEC_PRICES", "intents", "intents"),
    ("EXEC_PRICES", "/data/quotes.CSV", "/data/quotes.CSV"),
    ("EXEC_PRICES", "quotes.parquet", "quotes.parquet"),
    ("EXEC_PRICE_FEED", "IEX", "iex"),
    ("EXEC_ADV", "adv.csv", "adv.csv"),
    ("EXEC_ALERT_WEBHOOK", "https://example.com/hook?token=x", "https://example.com/hook?token=x"),
    ("EXEC_HEARTBEAT_URL", "http://[::1]:8080/beat", "http://[::1]:8080/beat"),
    ("EXEC_ALERT_WEBHOOK_FORM", "Slack", "slack"),
    ("EXEC_ALERT_EMAIL", "a@b.com, c@d.com", ("a@b.com", "c@d.com")),
    ("EXEC_SMTP_URL", "smtp://mail.desk.com", MailServer("mail.desk.com", 587, False)),
    ("EXEC_ALERT_EVERY_S", "60", 60.0),
    ("ALPACA_DATA_HOST", "https://data.sandbox.alpaca.markets/", "https://data.sandbox.alpaca.markets"),
    ("ALPACA_DATA_HOST", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
]
BAD = [
    *[
        (name, text)
        for name in ("EXEC_DRY_RUN", "EXEC_RISK_FAIL_OPEN", "EXEC_GROUP_ACCESS", "EXEC_REPORT")
        for text in NO_WORDS
    ],
    *[("EXEC_MAX_POSITION_QTY", text) for text in NO_QUANTITIES if text],
    *[("EXEC_MAX_DAILY_TRADES", text) for text in NO_COUNTS],
    *[(name, text) for name in COUNTS_OF_FILES for text in NO_COUNTS],
    *[
        (name, text)
        for name in SIZES
        for text in ("0", "1e6", "1_000", "1.0", "-1", "1" * 13, "all", "256MB")
    ],
    *[(name, text) for name in READ if name.endswith("_S") for text in NO_SECONDS],
    *[(name, text) for name in TIMEOUTS for text in ("0", "0.09", "600.5", "1e9")],
    *[(name, text) for name in FIRESTORE_NAMES for text in (" ", "a/b", "/", ".", "..", "__a__")],
    *[
        (name, text)
        for name in ("EXEC_SETTLE_S", "EXEC_BROKER_WAIT_S")
        for text in ("600.5", "1e9", "-1", "nan", "inf", "a minute")
    ],
    *[("EXEC_INBOX_TZ", text) for text in ("New York", "+05:00", "../UTC")],
    *[("EXEC_IDENTITY_IGNORES", text) for text in (" ", "a,,b", "a,", "qty", "a,Limit Price", "metadata")],
    *[("EXEC_STORE", text) for text in ("postgres", "firestore", "1", "true", "embeded", " ")],
    *[("EXEC_HEARTBEAT_DOC", text) for text in ("ops", "ops/a/b", "ops//a/b", "/", " ")],
    *[(name, " ") for name in READ if name.startswith(("ALPACA_", "AGENT_"))],
    *[("EXEC_PRICES", text) for text in ("alpca", "file", "prices.json", "prices.csv.gz", "gs://b/p.csv")],
    *[("EXEC_PRICE_FEED", text) for text in ("best", "SIPS", " ")],
    *[("EXEC_ADV", text) for text in ("adv", "alpaca", "adv.txt")],
    *[("EXEC_ALERT_WEBHOOK_FORM", text) for text in ("teams", " ")],
    *[("EXEC_ALERT_EVERY_S", text) for text in ("abc", "-1", "nan", " ")],
    *[("EXEC_POSITION_PROJECTION", text) for text in ("worst", "gross", "worst-case", " ")],
    *[
        (name, " ")
        for name in ("EXEC_BROKER_ACCOUNT_ID", "EXEC_ACCOUNTS_FILE", "EXEC_DATA_DIR", "EXEC_CALENDAR")
    ],
    *[
        (name, text)
        for name in ("EXEC_BROKER_ACCOUNT_ID", "EXEC_TENANT_ID")
        for text in ("p\u200b", "p\u2028", "\u202ep", "p\u00a0", "\uff50", "o\u0308")
    ],
    *[("EXEC_BROKER_ACCOUNT_ID", text) for text in ("p" * 129, "p\u3164")],
]


@pytest.mark.parametrize(("name", "text", "meant"), GOOD)
def test_a_value_is_read_as_what_it_means(name: str, text: str, meant: Any) -> None:
    value = READ[name](text)
    assert (value, type(value)) == (meant, type(meant) if not isinstance(meant, Path) else type(value))


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_value_that_cannot_be_read_is_an_error_that_names_setting_and_value(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        READ[name](text)
    assert error.value.exit_code == 2
    shown = printable(repr(text))
    assert str(error.value).startswith(f"{name} is {shown}; expected" if text.strip() else f"{name} is ")


@pytest.mark.parametrize(
    "text",
    [
        "s3cret",
        "mysql://u:s3cret@db/x",
        "postgresql+psycopg2://u:s3cret@db/x",
        "POSTGRESQL://u:s3cret@db/x",
        "sqlite:///s3cret",
        "://u:s3cret@db",
        " ",
    ],
)
def test_a_database_address_that_is_none_is_an_error_that_never_repeats_it(text: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        settings(DATABASE_URL=text)
    assert str(error.value) == (
        "DATABASE_URL is no address of a PostgreSQL database; expected postgresql://user:password@host/"
        "database (without a driver such as +psycopg2 in it)."
    )


def test_settings_do_not_show_the_database_address_when_printed() -> None:
    assert "s3cret" not in repr(settings(DATABASE_URL="postgresql://u:s3cret@db/x"))


def test_the_project_named_for_firebase_comes_before_that_of_the_platform() -> None:
    both = {"FIREBASE_PROJECT_ID": "own", "GOOGLE_CLOUD_PROJECT": "platform"}
    assert settings(**both).stores.firestore_project == "own"
    assert settings(**both | {"FIREBASE_PROJECT_ID": ""}).stores.firestore_project == "platform"


def test_the_account_and_a_disk_that_vanishes_are_read_from_the_environment() -> None:
    assert settings(EXEC_BROKER_ACCOUNT_ID=" paper ").account == "paper"
    assert settings(CLOUD_RUN_JOB="engine").disk_is_lost


def test_every_setting_is_tested_here_or_is_one_of_the_kill_switch() -> None:
    switches = {
        setting.name for setting in SETTINGS if "HALTED" in setting.name or "KILL_SWITCH" in setting.name
    }
    limits = {setting.name for setting in OF_LIMITS} | {FILE}  # tests/jobs/test_limits_of_runs.py
    assert {setting.name for setting in SETTINGS} == set(READ) | switches | limits


def test_the_limits_of_files_are_those_that_a_run_began_with() -> None:
    began = IntakeLimits(max_rows=7, max_refused_rows=0)
    assert IntakeLimits.of_record({"intake": asdict(began)}) == began


def test_a_run_that_recorded_no_limits_of_files_goes_on_with_the_defaults() -> None:
    assert IntakeLimits.of_record({"inbox_settle_s": 2.0}) == IntakeLimits() == IntakeLimits.from_env({})
    assert IntakeLimits.of_record({"intake": {"max_rows": 7, "max_moons": 1}}) == IntakeLimits(max_rows=7)


# --- names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EXEC_DRYRUN", "EXEC_DRY_RUN"),
        ("EXEC_MAX_POSITON_QTY", "EXEC_MAX_POSITION_QTY"),
        ("EXECUTION_HALT", "EXECUTION_HALTED"),
        ("EXEC_DAILY_TRADES", "EXEC_MAX_DAILY_TRADES"),
        ("exec_dry_run", "EXEC_DRY_RUN"),
        ("Exec_Max_Position_Qty", "EXEC_MAX_POSITION_QTY"),
        ("EXCE_DRY_RUN", "EXEC_DRY_RUN"),
        ("EXE_DRY_RUN", "EXEC_DRY_RUN"),
        ("EXECDRYRUN", "EXEC_DRY_RUN"),
        ("execution_halted", "EXECUTION_HALTED"),
    ],
)
def test_a_name_that_is_no_setting_is_an_error_with_a_suggestion(name: str, meant: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"{name} is no setting of the engine\. Did you mean {meant}\?"
    ):
        RiskConfig.from_env({name: "1"})


def test_a_name_like_no_setting_is_an_error_too() -> None:
    with pytest.raises(ConfigurationError, match=r"EXEC_ZZZ is no setting of the engine\. Unset it\."):
        RiskConfig.from_env({"EXEC_ZZZ": "1"})


@pytest.mark.parametrize("name", ["EXECUTABLE", "PATH", "MY_EXEC_DRY_RUN", "APCA_API_KEY_ID"])
def test_other_variables_of_the_environment_do_not_matter(name: str) -> None:
    assert settings(**{name: "nonsense"}) == settings()


# --- limits made in Python


def test_blanks_around_an_account_that_may_trade_are_no_part_of_its_name() -> None:
    assert RiskConfig(accounts=frozenset([" paper\n"])).accounts == frozenset(["paper"])


@pytest.mark.parametrize(
    ("limit", "meant"),
    [(7, 7.0), (0.1, 0.1), (1e-9, 1e-9), (np.float64(2.5), 2.5), (np.int64(3), 3.0), (0, 0.0)],
)
def test_a_position_limit_is_any_number_that_a_quantity_may_be(limit: Any, meant: float) -> None:
    config = RiskConfig(max_position_qty=limit)
    assert (config.max_position_qty, type(config.max_position_qty)) == (meant, float)


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), -1.0, -0.0001, 2e10, 1e9, 0.1 + 0.2, 1e-10])
def test_a_position_limit_that_is_no_quantity_is_an_error(limit: float) -> None:
    with pytest.raises(ConfigurationError, match="max_position_qty is"):
        RiskConfig(max_position_qty=limit)


@pytest.mark.parametrize("limit", [-1, 1.5, float("nan"), 10**9])
def test_a_trade_limit_that_is_no_count_is_an_error(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_daily_trades is"):
        RiskConfig(max_daily_trades=limit)


def test_a_trade_limit_may_be_an_integer_of_numpy() -> None:
    limit: Any = np.int64(3)
    config = RiskConfig(max_daily_trades=limit)
    assert (config.max_daily_trades, type(config.max_daily_trades)) == (3, int)


@pytest.mark.parametrize("age", [-1.0, float("nan"), float("inf"), 1e10])
def test_an_age_that_is_no_time_is_an_error(age: float) -> None:
    with pytest.raises(ConfigurationError, match="intent_max_age_s is"):
        RiskConfig(intent_max_age_s=age)


@pytest.mark.parametrize("name", ["max_position_qty", "max_daily_trades", "intent_max_age_s"])
@pytest.mark.parametrize("value", [True, False, "100", Decimal(100), b"1", [1]])
def test_a_limit_that_is_no_number_is_an_error(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is .*; expected a number"):
        RiskConfig(**{name: value})


@pytest.mark.parametrize("name", ["max_position_qty", "max_daily_trades"])
def test_a_limit_cannot_be_left_out(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is None"):
        RiskConfig(**{name: None})  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["NET", "worst_case ", "WORST_CASE", "", None, 1])
def test_a_projection_that_is_not_written_out_is_an_error(word: Any) -> None:
    with pytest.raises(ConfigurationError, match="position_projection is"):
        RiskConfig(position_projection=word)


@pytest.mark.parametrize("value", [0, 1, "false", None])
def test_fail_open_is_true_or_false(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="fail_open is"):
        RiskConfig(fail_open=value)


@pytest.mark.parametrize("accounts", ["paper", ["paper"], {"paper"}, frozenset({1}), None])
def test_accounts_are_a_frozen_set_of_text(accounts: Any) -> None:
    with pytest.raises(ConfigurationError, match="accounts is"):
        RiskConfig(accounts=accounts)


def test_limits_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RiskConfig().fail_open = True  # type: ignore[misc]


@pytest.mark.parametrize(
    "name",
    [
        "EXECUTION_ENGINE_SERVICE_HOST",
        "EXECUTION_ENGINE_SERVICE_PORT",
        "EXECUTION_ENGINE_SERVICE_PORT_HTTP",
        "EXECUTION_ENGINE_PORT",
        "EXECUTION_ENGINE_PORT_8080_TCP_ADDR",
    ],
)
def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_mistake(name: str) -> None:
    assert RunSettings.from_env({name: "10.0.0.1"}) == RunSettings.from_env({})
