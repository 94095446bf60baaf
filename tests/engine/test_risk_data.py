"""Runs on PostgreSQL and Firestore: when all is well, and with each of them failing in each way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pytest

from engine.context import RunContext
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run.risk_inputs import record_inputs
from engine.run.stages import finish
from engine.safety.kill_switch import KillSwitch, KillSwitchState
from engine.stores.firestore.store import FirestoreStore
from engine.stores.postgres.schema import init_db
from engine.stores.postgres.store import PostgresStore
from tests.desk import Desk, off, order, outcomes, reasons
from tests.servers.proxy import Proxy

TIMEOUT_S = 3.0
BOUND_S = 30.0
"""Far above what a run needs, far below for ever: these machines are busy."""

Fault = Callable[[Proxy], None]
FAULTS: dict[str, Fault] = {
    "refused": Proxy.refuse,
    "hanging": Proxy.hang,
    "reset in the middle": lambda proxy: proxy.cut_after(60),
    "nonsense": Proxy.garble,
}


@dataclass
class RealDesk:
    """A desk whose positions and ledger are in real servers, each behind a proxy."""

    desk: Desk
    postgres: Proxy
    firestore: Proxy
    positions: PostgresStore
    ledger: FirestoreStore

    def context(self) -> RunContext:
        """Return the run context; the ledger's client is a new one, as in a new job."""
        return self.desk.context(positions=self.positions, ledger=self.ledger, risk_data_timeout_s=TIMEOUT_S)

    def run(self, config: RiskConfig | None = None, *rows: dict[str, object]) -> RunFolder:
        self.desk.drop("intents.jsonl", *(rows or (order(),)))
        return self.desk.run(config, context=self.context())


@pytest.fixture
def postgres(database_url: str, proxy_to: Callable[[str, int], Proxy]) -> tuple[Proxy, PostgresStore]:
    init_db(PostgresStore(database_url).server)
    address = urlsplit(database_url)
    proxy = proxy_to(address.hostname or "", address.port or 0)
    through = database_url.replace(f":{address.port}/", f":{proxy.port}/")
    return proxy, PostgresStore(through, timeout_s=TIMEOUT_S)


@pytest.fixture
def firestore(
    firestore_emulator: str,
    firestore_project: str,
    proxy_to: Callable[[str, int], Proxy],
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Proxy, FirestoreStore]:
    host, _, port = firestore_emulator.rpartition(":")
    proxy = proxy_to(host, int(port))
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"{proxy.host}:{proxy.port}")
    return proxy, FirestoreStore(firestore_project, timeout_s=TIMEOUT_S)


@pytest.fixture
def real(
    desk: Desk, postgres: tuple[Proxy, PostgresStore], firestore: tuple[Proxy, FirestoreStore]
) -> RealDesk:
    return RealDesk(desk, postgres[0], firestore[0], postgres[1], firestore[1])


def book(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["broker_account_id", "symbol", "qty"])


def trades(real: RealDesk, *order_ids: str, account: str = "paper") -> None:
    head = {"broker_account_id": account, "trading_date": "2026-03-02"}
    real.ledger.write_ledger([{"broker_order_id": order_id, **head} for order_id in order_ids])


# --- when all is well


def test_each_intent_sees_its_own_accounts_position_only(real: RealDesk) -> None:
    real.positions.load_positions(book(("a", "SPY", 95), ("b", "SPY", -95)), updated_at=real.desk.now)
    folder = real.run(
        None,
        order(broker_account_id="a", side="buy", qty=10),
        order(broker_account_id="b", side="buy", qty=10),
        order(broker_account_id="c", side="buy", qty=100),
    )
    assert outcomes(folder) == [
        ("rejected", "max_position_size_exceeded"),
        ("dry_run", "ok"),
        ("dry_run", "ok"),
    ]


def test_each_intent_sees_its_own_accounts_trades_only(real: RealDesk) -> None:
    trades(real, "o1", "o2", account="a")
    trades(real, "o3", account="b")
    rows = [order(broker_account_id=account) for account in ("a", "b", "c")]
    folder = real.run(RiskConfig(max_daily_trades=2), *rows)
    assert reasons(folder) == ["max_daily_trades_exceeded", "ok", "ok"]


def test_real_stores_decide_as_the_embedded_one_does(real: RealDesk) -> None:
    positions = book(("paper", "SPY", 60), ("paper", "QQQ", -99.5), ("other", "SPY", 150))
    documents = [
        {"broker_order_id": f"o{nth}", "broker_account_id": "paper", "trading_date": "2026-03-02"}
        for nth in range(3)
    ]
    rows = [
        order(client_intent_id=f"i{nth}", symbol=symbol, side=side, qty=qty, broker_account_id=account)
        for nth, (account, symbol, side, qty) in enumerate(
            [
                ("paper", "SPY", "buy", 40), ("paper", "SPY", "buy", 1), ("paper", "QQQ", "sell", 1),
                ("paper", "QQQ", "buy", 199), ("other", "SPY", "sell", 250), ("other", "SPY", "buy", 1),
                ("paper", "IWM", "buy", 1), ("paper", "IWM", "sell", 1),
            ]
        )
    ]  # fmt: skip
    for store in (real.positions, real.desk.store):
        store.load_positions(positions, updated_at=real.desk.now)
    for ledger in (real.ledger, real.desk.store):
        ledger.write_ledger(documents)
    config = RiskConfig(max_daily_trades=6)
    real.desk.drop("intents.jsonl", *rows)
    on_embedded = real.desk.run(config).table("decisions.parquet")
    assert real.run(
        config, *[{**row, "client_intent_id": f"again-{row['client_intent_id']}"} for row in rows]
    )
    day = real.desk.context().runs.all()
    on_servers = day[-1].table("decisions.parquet")
    columns = [name for name in on_embedded.column_names if name != "client_intent_id"]
    assert on_servers.select(columns).equals(on_embedded.select(columns))


# --- one of them failing


@pytest.mark.parametrize("fault", FAULTS)
def test_without_postgres_positions_are_unavailable_and_the_run_ends(real: RealDesk, fault: str) -> None:
    FAULTS[fault](real.postgres)
    begun_at = time.monotonic()
    folder = real.run()
    assert time.monotonic() - begun_at < BOUND_S
    assert outcomes(folder) == [("rejected", "risk_data_unavailable")]
    checks = folder.table("decisions.parquet").to_pylist()[0]
    assert checks["check_max_position_size_exceeded"] == "unavailable"
    assert checks["check_max_daily_trades_exceeded"] == "pass"
    assert set(folder.json("inputs.json")["unavailable"]) == {"positions"}
    assert folder.json("manifest.json")["exit_code"] == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_without_firestore_trades_are_unavailable_and_the_run_ends(real: RealDesk, fault: str) -> None:
    FAULTS[fault](real.firestore)
    begun_at = time.monotonic()
    folder = real.run()
    assert time.monotonic() - begun_at < BOUND_S
    assert outcomes(folder) == [("rejected", "risk_data_unavailable")]
    checks = folder.table("decisions.parquet").to_pylist()[0]
    assert checks["check_max_daily_trades_exceeded"] == "unavailable"
    assert checks["check_max_position_size_exceeded"] == "pass"
    assert set(folder.json("inputs.json")["unavailable"]) == {"daily_trades"}


def test_without_both_the_first_rule_that_needs_one_refuses_and_the_run_ends(real: RealDesk) -> None:
    real.postgres.hang()
    real.firestore.hang()
    begun_at = time.monotonic()
    folder = real.run()
    assert time.monotonic() - begun_at < BOUND_S
    assert outcomes(folder) == [("rejected", "risk_data_unavailable")]
    assert set(folder.json("inputs.json")["unavailable"]) == {"positions", "daily_trades"}
    said = [event["source"] for event in real.desk.events("risk_data_unavailable")]
    assert sorted(said) == ["daily_trades", "positions"]


@pytest.mark.parametrize(
    ("down", "skipped", "works"),
    [
        ("postgres", "max_position_size_exceeded", "max_daily_trades_exceeded"),
        ("firestore", "max_daily_trades_exceeded", "max_position_size_exceeded"),
    ],
)
def test_failing_open_skips_the_rule_of_the_source_that_is_down_alone(
    real: RealDesk, down: str, skipped: str, works: str
) -> None:
    real.positions.load_positions(book(("paper", "SPY", 100)), updated_at=real.desk.now)
    trades(real, "o1", "o2")
    {"postgres": real.postgres, "firestore": real.firestore}[down].refuse()
    config = RiskConfig(fail_open=True, max_daily_trades=2)
    folder = real.run(config)
    row = folder.table("decisions.parquet").to_pylist()[0]
    assert (row[f"check_{skipped}"], row[f"check_{works}"]) == ("unavailable", "fail")
    assert row["reason"] == works


def test_a_source_that_comes_back_serves_the_next_run(real: RealDesk) -> None:
    real.postgres.refuse()
    real.firestore.refuse()
    assert reasons(real.run()) == ["risk_data_unavailable"]
    real.postgres.heal()
    real.firestore.heal()
    real.ledger = FirestoreStore(real.ledger.project, timeout_s=TIMEOUT_S + 1)  # connects as a new job does
    assert reasons(real.run()) == ["ok"]


def test_a_slow_answer_in_time_is_an_answer(real: RealDesk) -> None:
    real.postgres.slow(0.02)
    assert reasons(real.run()) == ["ok"]


# --- the kill switch's document


def switch(real: RealDesk) -> KillSwitch:
    env = {"EXECUTION_HALTED_DOC": "ops/kill_switch"}
    return KillSwitch.from_env(env, read_document=real.ledger.document)


def say(real: RealDesk, enabled: object) -> None:
    from google.cloud import firestore

    firestore.Client(project=real.ledger.project).document("ops/kill_switch").set({"enabled": enabled})


@pytest.mark.parametrize(("enabled", "is_on"), [(True, True), (False, False), ("no", False), (None, True)])
def test_the_switch_is_what_its_document_says(real: RealDesk, enabled: object, is_on: bool) -> None:
    say(real, enabled)
    assert switch(real).read().on is is_on


def test_the_switch_is_on_while_its_document_does_not_exist(real: RealDesk) -> None:
    assert "does not exist" in switch(real).read().why


@pytest.mark.parametrize("fault", FAULTS)
def test_the_switch_is_on_while_its_document_cant_be_read(real: RealDesk, fault: str) -> None:
    say(real, False)
    FAULTS[fault](real.firestore)
    begun_at = time.monotonic()
    assert switch(real).read().on
    assert time.monotonic() - begun_at < BOUND_S


def test_a_switch_that_goes_on_between_two_reads_halts_what_is_left(real: RealDesk) -> None:
    say(real, False)
    asked = 0

    def read() -> KillSwitchState:
        nonlocal asked
        asked += 1
        if asked == 2:  # the first time is when the inputs are recorded
            say(real, True)
        return switch(real).read()

    real.desk.drop("intents.jsonl", order())
    folder = real.desk.run(context=real.desk.context(kill_switch=read))
    assert outcomes(folder) == [("halted", "kill_switch_enabled")]


def test_a_switch_that_gives_no_answer_is_on(desk: Desk) -> None:
    answered = threading.Event()

    def read() -> KillSwitchState:
        answered.wait(BOUND_S)
        return off()

    desk.drop("intents.jsonl", order())
    folder = desk.begin()
    finish(folder, desk.context(), until="intents.parquet")
    record_inputs(folder, desk.context(kill_switch=read, risk_data_timeout_s=0.1))
    answered.set()
    assert folder.json("inputs.json")["kill_switch"] is True


# --- what makes the bounds hold


def test_stores_and_switch_are_read_at_the_same_time(desk: Desk) -> None:
    together = threading.Barrier(3, timeout=BOUND_S)

    class Waiting:
        place = "a store that waits for the others"

        def positions(self, accounts: object, **_: object) -> pd.DataFrame:
            together.wait()
            return desk.store.positions(["paper"], as_of=pd.Timestamp(desk.now))

        def trade_counts(self, accounts: object, trading_date: date) -> pd.DataFrame:
            together.wait()
            return desk.store.trade_counts(["paper"], trading_date)

    def read() -> KillSwitchState:
        if not asked:  # later reads are the routing's
            asked.append(True)
            together.wait()
        return off()

    asked: list[bool] = []
    context = desk.context(
        positions=Waiting(), ledger=Waiting(), kill_switch=read, risk_data_timeout_s=BOUND_S
    )
    desk.drop("a.jsonl", order())
    assert reasons(desk.run(context=context)) == ["ok"]


def test_a_run_that_is_resumed_is_not_judged_by_another_book(desk: Desk, tmp_path: Path) -> None:
    class Elsewhere(PostgresStore):
        place = "PostgreSQL database other at elsewhere"

    desk.drop("a.jsonl", order())
    folder = desk.begin()
    finish(folder, desk.context(), until="intents.parquet")
    finish(folder, desk.context(positions=Elsewhere("")))
    assert outcomes(folder) == [("rejected", "risk_data_unavailable")]
    why = folder.json("inputs.json")["unavailable"]["positions"]
    assert why.startswith(
        "this run began with engine.db, and PostgreSQL database other at elsewhere is configured now."
    )
