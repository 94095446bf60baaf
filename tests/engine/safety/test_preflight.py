from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest

from engine.brokers.access import Access
from engine.brokers.account import BrokerAccount, BrokerClock
from engine.brokers.trading import TradingBroker
from engine.errors import BrokerError, ConfigurationError, DataUnavailable, EngineError
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.safety.preflight import (
    Finding,
    broker_checks,
    examine,
    heartbeat,
    market_data_check,
    one_of,
    store_checks,
)
from engine.settings.variables import GateSettings, StoreSettings
from engine.stores.chosen import choose_stores

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
HANG_S = 30.0
FAR_BELOW_HANG_S = 15.0
DOC = "ops/market_ingest"


def noon() -> datetime:
    return NOON


def seconds_ago(age_s: float) -> datetime:
    return NOON - timedelta(seconds=age_s)


def beat(**document: Any) -> str:
    return heartbeat(DOC, document, NOON, 120)


def what_fails(check: Callable[[], str]) -> str:
    with pytest.raises(EngineError) as error:
        check()
    return str(error.value)


# --- the heartbeat of the market data


@pytest.mark.parametrize("age_s", [0, 1, 60, 119.9, 120])
def test_market_data_no_older_than_the_threshold_passes_and_its_age_is_reported(age_s: float) -> None:
    assert beat(ts=seconds_ago(age_s)) == f"{DOC} is {age_s:.1f} s old"


@pytest.mark.parametrize("age_s", [120.001, 121, 3600, 86_400 * 365])
def test_market_data_older_than_the_threshold_fails(age_s: float) -> None:
    assert what_fails(lambda: beat(ts=seconds_ago(age_s))) == (
        f"the heartbeat {DOC} is {age_s:.1f} s old, the limit 120 s (MARKETDATA_STALE_THRESHOLD_S). "
        f"Check that market data is coming in."
    )


def test_a_microsecond_above_the_threshold_fails() -> None:
    timestamp = NOON - timedelta(seconds=120, microseconds=1)
    assert what_fails(lambda: beat(ts=timestamp))


@pytest.mark.parametrize("threshold_s", [0, 0.5, 30])
def test_the_threshold_is_the_one_of_the_settings(threshold_s: float) -> None:
    assert heartbeat(DOC, {"ts": seconds_ago(threshold_s)}, NOON, threshold_s)
    late = seconds_ago(threshold_s + 0.01)
    assert what_fails(lambda: heartbeat(DOC, {"ts": late}, NOON, threshold_s))


def test_a_timestamp_as_little_ahead_as_clocks_may_differ_passes() -> None:
    assert beat(ts=seconds_ago(-CLOCK_SKEW_LIMIT_S)) == f"{DOC} is 5.0 s ahead of this machine's clock"


@pytest.mark.parametrize("ahead_s", [CLOCK_SKEW_LIMIT_S + 0.001, 3600, 1e8])
def test_a_timestamp_in_the_future_fails(ahead_s: float) -> None:
    said = what_fails(lambda: beat(ts=seconds_ago(-ahead_s)))
    assert f"is {ahead_s:.1f} s ahead of this machine's clock" in said


@pytest.mark.parametrize(
    "timestamp",
    [
        NOON.astimezone(timezone(timedelta(hours=-5))),
        "2026-03-02T17:00:00Z",
        "2026-03-02T17:00:00+00:00",
        " 2026-03-02T12:00:00.000-05:00\n",
    ],
)
def test_a_time_may_be_a_timestamp_or_iso_text_in_any_zone(timestamp: object) -> None:
    assert beat(ts=timestamp) == f"{DOC} is 0.0 s old"


@pytest.mark.parametrize(
    "timestamp",
    [
        NOON.replace(tzinfo=None),
        NOON.date(),
        "2026-03-02T17:00:00",
        "2026-03-02",
        "now",
        "",
        " ",
        None,
        True,
        0,
        1772470800,
        1772470800.0,
        float("nan"),
        b"2026-03-02T17:00:00Z",
        [NOON],
        {"ts": NOON},
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_a_timestamp_that_is_none_or_has_no_zone_fails_and_is_shown(timestamp: object) -> None:
    assert what_fails(lambda: beat(ts=timestamp)) == (
        f"the heartbeat {DOC} has ts {timestamp!r}; expected a timestamp, or ISO text with a zone. "
        f"Correct what writes it."
    )


@pytest.mark.parametrize("document", [{}, {"timestamp": NOON}, {"TS": NOON}, {"ts ": NOON}])
def test_a_document_without_the_field_fails(document: dict[str, Any]) -> None:
    assert f"the heartbeat {DOC} has no field ts" in what_fails(lambda: beat(**document))


def test_a_document_that_does_not_exist_fails() -> None:
    said = what_fails(lambda: heartbeat(DOC, None, NOON, 120))
    assert said == f"the heartbeat {DOC} does not exist. Check that market data is coming in."


@dataclass
class Documents:
    """Firestore, as far as the heartbeat asks it."""

    said: dict[str, Any] | Exception | None

    def document(self, path: str) -> dict[str, Any] | None:
        assert path == DOC
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def gate_settings(**env: str) -> GateSettings:
    return GateSettings.from_env(env)


def test_without_a_heartbeat_document_market_data_is_not_examined() -> None:
    assert market_data_check(gate_settings(), Documents(None), noon) == {}


def test_the_heartbeat_is_read_from_firestore_when_it_is_examined() -> None:
    documents = Documents({"ts": seconds_ago(30)})
    settings = gate_settings(EXEC_HEARTBEAT_DOC=DOC, MARKETDATA_STALE_THRESHOLD_S="60")
    check = market_data_check(settings, documents, noon)["market data"]
    assert check() == f"{DOC} is 30.0 s old"
    documents.said = {"ts": seconds_ago(61)}
    assert "is 61.0 s old, the limit 60 s" in what_fails(check)


def test_the_default_threshold_is_120_seconds() -> None:
    settings = gate_settings(EXEC_HEARTBEAT_DOC=DOC)
    assert market_data_check(settings, Documents({"ts": seconds_ago(120)}), noon)["market data"]()
    late = market_data_check(settings, Documents({"ts": seconds_ago(121)}), noon)["market data"]
    assert "the limit 120 s" in what_fails(late)


def test_a_heartbeat_that_cannot_be_read_fails() -> None:
    documents = Documents(DataUnavailable("Firestore is down. Start it."))
    check = market_data_check(gate_settings(EXEC_HEARTBEAT_DOC=DOC), documents, noon)["market data"]
    assert what_fails(check) == "Firestore is down. Start it."


def test_a_heartbeat_document_without_a_firestore_project_fails_with_the_remedy() -> None:
    check = market_data_check(gate_settings(EXEC_HEARTBEAT_DOC=DOC), None, noon)["market data"]
    with pytest.raises(ConfigurationError, match=r"no Firestore project is set\. Set FIREBASE_PROJECT_ID"):
        check()


# --- the broker


@dataclass
class StubBroker:
    """A broker whose account says what a test wants, and whose clock is ``behind_s`` behind ours."""

    status: str = "ACTIVE"
    trading_blocked: bool = False
    behind_s: float = 0.0
    fault: Exception | None = None

    def get_account(self) -> BrokerAccount:
        if self.fault:
            raise self.fault
        return BrokerAccount(
            account_number="PA2ABCDEFGHI",
            status=self.status,
            trading_blocked=self.trading_blocked,
            account_blocked=False,
            trade_suspended_by_user=False,
            currency="USD",
        )

    def get_clock(self) -> BrokerClock:
        if self.fault:
            raise self.fault
        timestamp = seconds_ago(self.behind_s)
        return BrokerClock(timestamp=timestamp, is_open=True, next_open=NOON, next_close=NOON)


def checks_of(broker: StubBroker) -> dict[str, Callable[[], str]]:
    return broker_checks([reached(broker)], noon)


def reached(broker: StubBroker, **said: Any) -> Access:
    return Access(account="paper", broker=cast(TradingBroker, broker), **said)


def test_account_and_clock_that_are_fine_pass_in_words() -> None:
    said = {name: check() for name, check in checks_of(StubBroker()).items()}
    assert said == {
        "broker account": "account …FGHI can trade",
        "clock": "0.000 s ahead of the broker's clock, give or take 0.000 s",
    }


@pytest.mark.parametrize(
    ("broker", "why"),
    [
        (StubBroker(trading_blocked=True), "account …FGHI cannot trade: trading_blocked is true"),
        (StubBroker(status="ACCOUNT_CLOSED"), "its status is 'ACCOUNT_CLOSED' instead of 'ACTIVE'"),
        (StubBroker(fault=BrokerError("no answer. Ask again.")), "no answer. Ask again."),
    ],
)
def test_an_account_that_cannot_trade_or_be_asked_fails(broker: StubBroker, why: str) -> None:
    assert why in what_fails(checks_of(broker)["broker account"])


@pytest.mark.parametrize("behind_s", [CLOCK_SKEW_LIMIT_S, -CLOCK_SKEW_LIMIT_S, 4.9, -4.9])
def test_clocks_no_further_apart_than_the_limit_agree(behind_s: float) -> None:
    assert checks_of(StubBroker(behind_s=behind_s))["clock"]()


@pytest.mark.parametrize(
    ("behind_s", "said"),
    [
        (5.001, "this machine's clock is 5.001 s ahead of the broker's clock"),
        (-5.001, "this machine's clock is 5.001 s behind the broker's clock"),
        (60, "60.000 s ahead of"),
        (-86_400, "86400.000 s behind"),
    ],
)
def test_clocks_further_apart_fail_with_what_to_do(behind_s: float, said: str) -> None:
    why = what_fails(checks_of(StubBroker(behind_s=behind_s))["clock"])
    assert said in why
    assert "the limit 5 s. Let NTP set it" in why


def test_a_reply_so_slow_that_the_clocks_might_differ_fails() -> None:
    timestamps = iter([NOON, NOON + timedelta(seconds=11)])
    broker = StubBroker(behind_s=-5.5)
    check = broker_checks([reached(broker)], lambda: next(timestamps))["clock"]
    assert "0.000 s ahead of the broker's clock, give or take 5.500 s" in what_fails(check)


def test_a_clock_that_goes_back_meanwhile_fails() -> None:
    timestamps = iter([NOON, seconds_ago(1)])
    broker = StubBroker()
    check = broker_checks([reached(broker)], lambda: next(timestamps))["clock"]
    assert "give or take inf s" in what_fails(check)


def test_a_broker_whose_clock_cannot_be_asked_fails() -> None:
    broker = StubBroker(fault=BrokerError("no answer. Ask again."))
    assert what_fails(checks_of(broker)["clock"]) == "no answer. Ask again."


# --- the stores


def test_each_store_is_examined(tmp_path: Path) -> None:
    stores = choose_stores(StoreSettings(data_dir=tmp_path))
    said = {name: check() for name, check in store_checks(stores).items()}
    assert set(said) == {"positions", "ledger"}
    assert all(said.values())


def test_a_damaged_store_fails_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "engine.db").write_bytes(b"garbage")
    checks = store_checks(choose_stores(StoreSettings(data_dir=tmp_path)))
    assert all(f"{tmp_path}/engine.db: can't be read" in what_fails(check) for check in checks.values())


# --- all of them


@pytest.fixture
def hangs() -> Iterator[Callable[[], str]]:
    """A check that takes far too long, but ends with the test."""
    over = threading.Event()

    def check() -> str:
        over.wait(HANG_S)
        return "late"

    yield check
    over.set()


def says(fault: Exception) -> Callable[[], str]:
    def check() -> str:
        raise fault

    return check


def test_findings_come_in_the_order_of_the_checks_with_what_each_said() -> None:
    checks = {"b": lambda: "fine", "a": says(DataUnavailable("down. Start it.")), "c": lambda: "well"}
    found = [(each.name, each.passed, each.text) for each in examine(checks, 5)]
    assert found == [("b", True, "fine"), ("a", False, "down. Start it."), ("c", True, "well")]


def test_a_check_that_raises_an_unexpected_error_fails_with_its_kind() -> None:
    (finding,) = examine({"ledger": says(KeyError("ts"))}, 5)
    assert (finding.passed, finding.text) == (False, "KeyError: 'ts'. This is a defect of the check itself.")


def test_checks_are_done_at_the_same_time() -> None:
    all_there = threading.Barrier(6)

    def check() -> str:
        all_there.wait(HANG_S)
        return "there"

    assert all(finding.passed for finding in examine({str(n): check for n in range(6)}, HANG_S))


def test_checks_that_hang_end_within_the_timeout_and_a_little_and_keep_no_other_from_passing(
    hangs: Callable[[], str],
) -> None:
    begun_at = time.monotonic()
    checks = {"hangs": hangs, "well": lambda: "well", "hangs too": hangs}
    found = {each.name: each for each in examine(checks, 0.1)}
    assert time.monotonic() - begun_at < FAR_BELOW_HANG_S
    assert [found[name].passed for name in checks] == [False, True, False]
    assert found["well"].took_s < found["hangs"].took_s


def test_a_check_that_hangs_is_named_once(hangs: Callable[[], str]) -> None:
    (finding,) = examine({"broker account": hangs}, 0.1)
    assert finding == Finding(
        "broker account",
        passed=False,
        text="no answer within 0.1 s. See that it is up and can be reached; where it is only slow, raise "
        "EXEC_RISK_DATA_TIMEOUT_S.",
        took_s=0.1,
    )


def test_where_all_accounts_fail_each_is_named_in_one_sentence() -> None:
    def fails() -> str:
        raise BrokerError("no answer. Ask again.")

    said = what_fails(one_of({"account a": fails, "account b": fails}, 5.0))
    assert said == "account a: no answer. Ask again; account b: no answer. Ask again."
