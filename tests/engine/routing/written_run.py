"""A live run of one account whose record, journal, broker and controls are written down by a test."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa

from engine.accounts.connection import SEND_S, Connection
from engine.brokers.trading import TradingBroker
from engine.errors import BrokerRejected, LeaseLost, OutcomeUnknown
from engine.log import EventLog
from engine.model.orders import BrokerOrder, OrderIntent
from engine.model.schema import intents_schema
from engine.record.journal import Journal
from engine.record.run_folder import BATCH, DECISIONS, INPUTS, RunFolder
from engine.routing.controls import TradingControls
from engine.routing.live import carry_out
from engine.routing.outcomes import OrderOutcome
from engine.safety.kill_switch import KillSwitchState
from engine.safety.trading_states import TradingStates
from engine.waiting.retry_policy import RetryPolicy

READ_AT = datetime(2026, 3, 2, 17, tzinfo=UTC)
SECOND = timedelta(seconds=1)
OFF = KillSwitchState(on=False, why="")
ON = KillSwitchState(on=True, why="the file kill says 1.")
REFUSED = BrokerRejected("insufficient buying power", status=403)
UNKNOWN = OutcomeUnknown("the reply was cut off.")
Row = dict[str, Any]
Answer = BrokerOrder | BrokerRejected | None


def one(client_intent_id: str, **said: Any) -> Row:
    plain: Row = {"strategy_id": "momentum", "broker_account_id": "paper", "symbol": "SPY", "side": "buy"}
    return {**plain, "qty": 1.0, "action": "new", "client_intent_id": client_intent_id, **said}


def cancel(target: str) -> Row:
    return one(f"cancel-{target}", action="cancel", symbol=None, side=None, qty=None, target_intent_id=target)


def at_broker(client_id: str, **said: Any) -> BrokerOrder:
    plain: Row = {"symbol": "SPY", "side": "buy", "qty": 1.0, "order_type": "market", "order_status": "new"}
    plain |= {"broker_order_id": f"b-{client_id}", "client_order_id": client_id, "created_at": READ_AT}
    return BrokerOrder(**{**plain, **said})


@dataclass
class Desk:
    """A sealed run, its journal, its broker and its controls; ``did`` is what was written and asked."""

    rows: list[Row]
    attempted: set[int] = field(default_factory=set)
    recorded: list[tuple[str, Answer, str]] = field(default_factory=list)
    exists: list[BrokerOrder] = field(default_factory=list)
    answers: dict[str, Exception] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)
    inputs: Row = field(default_factory=dict)
    start: Row = field(default_factory=dict)
    now: datetime = READ_AT
    max_age_s: float | None = None
    switch: Callable[[], KillSwitchState] = lambda: OFF
    halted: Callable[[], str] = lambda: ""
    states: Callable[[], TradingStates] = TradingStates
    closed_by: tuple[str, str] | None = None
    stopping: Callable[[], bool] = lambda: False
    lease_epoch: str = "epoch"
    lease_lost: bool = False
    lost: frozenset[str] = frozenset()
    hidden: int = 0
    at_once: int = 1
    answering: Callable[[], object] = lambda: None
    after_cancel: str = "canceled"
    did: list[str] = field(default_factory=list)
    steps: list[tuple[str, int, int]] = field(default_factory=list)
    logged: StringIO = field(default_factory=StringIO)

    def carry_out(self) -> dict[int, OrderOutcome]:
        return carry_out(self.folder, self.controls, self.connection, self.journal)

    def statuses(self) -> list[tuple[str, str | None]]:
        found = self.carry_out()
        return [(found[row].status, found[row].reason) for row in sorted(found)]

    @property
    def folder(self) -> RunFolder:
        batch = pa.Table.from_pylist(self.rows, schema=intents_schema())
        tables = {BATCH: batch, DECISIONS: pa.table({"allowed": [True] * len(self.rows)})}
        inputs = {
            "read_at": READ_AT.isoformat(),
            "broker": {"paper": {"tenure": "epoch", "time": READ_AT.isoformat()}},
            "unavailable": [],
            **self.inputs,
        }
        settings = {"calendar": "XNYS", "decision_max_age_s": 900.0}
        folder = SimpleNamespace(
            table=lambda name, columns=None: tables[name].select(columns or tables[name].schema.names),
            json={INPUTS: inputs}.__getitem__,
            names=set,
            objects=None,
            run_id="run-1",
            trading_date=date(2026, 3, 2),
            start={"settings": settings, "config": {"intent_max_age_s": self.max_age_s}, **self.start},
        )
        return cast(RunFolder, folder)

    @property
    def controls(self) -> TradingControls:
        return TradingControls(
            kill_switch=self.switch,
            trading_states=self.states,
            log=EventLog(self.logged),
            clock=lambda: self.now,
            closed_by=self.closed_by,
            stopping=self.stopping,
            progress=lambda *step: self.steps.append(step),
        )

    @property
    def connection(self) -> Connection:
        return Connection(
            account="paper",
            key="key",
            broker=cast(TradingBroker, self),
            lease=cast(Any, SimpleNamespace(lease_epoch=self.lease_epoch, hold_for=self._hold_for)),
            halted=self.halted,
            notes=cast(Any, None),
            retry_policy=RetryPolicy(lookups_s=(0.0,), posts=1),
            orders_at_once=self.at_once,
        )

    @property
    def journal(self) -> Journal:
        said = SimpleNamespace(
            attempt=self._attempt,
            attempted=lambda: set(self.attempted),
            interactions=lambda: [SimpleNamespace(account=row[2], answer=row) for row in self.recorded],
        )
        return cast(Journal, said)

    def _hold_for(self, seconds: float) -> None:
        assert seconds == SEND_S
        self.did.append("hold")
        if self.lease_lost:
            raise LeaseLost("another job holds it.")

    def _attempt(self, orders: Sequence[Row], *, at: str) -> None:
        assert at == self.now.isoformat()
        self.did.append(f"note {' '.join(str(row['row']) for row in orders)}")

    # the broker

    def place_order(self, *, intent: OrderIntent, at_its_turn: Callable[[], None]) -> BrokerOrder:
        client_id = str(intent.client_intent_id)
        at_its_turn()
        self.did.append(f"place {client_id}")
        self.answering()
        if client_id in self.answers:
            raise self.answers[client_id]
        return at_broker(client_id, symbol=intent.symbol, qty=intent.qty)

    def find_order(self, *, client_order_id: str) -> BrokerOrder | None:
        self.did.append(f"find {client_order_id}")
        self.hidden -= 1
        if self.hidden >= 0:
            return None
        return next((order for order in self.exists if order.client_order_id == client_order_id), None)

    def orders_since(self, since: datetime, *, sought: Collection[str] = ()) -> list[BrokerOrder]:
        self.did.append(f"list since {since:%H:%M:%S}")
        return self.exists

    def get_order_status(self, *, broker_order_id: str) -> BrokerOrder:
        self.did.append(f"look at {broker_order_id}")
        if broker_order_id in self.lost:
            raise BrokerRejected("order not found", status=404)
        return at_broker(broker_order_id.removeprefix("b-"))

    def cancel_order(self, *, broker_order_id: str) -> BrokerOrder:
        self.did.append(f"cancel {broker_order_id}")
        return at_broker(broker_order_id.removeprefix("b-"), order_status=self.after_cancel)

    def why_refused(self, intent: OrderIntent) -> str:
        return self.refuses.get(str(intent.client_intent_id), "")

    def order_payload(self, intent: OrderIntent) -> Row:
        return {"client_order_id": intent.client_intent_id}

    def answer_of(self, interaction: Any) -> tuple[str, Answer] | None:
        client_id, answer, _ = interaction.answer
        return None if client_id == "" else (client_id, answer)

    def is_duplicate_id(self, error: BrokerRejected) -> bool:
        return "must be unique" in str(error)

    def placed(self) -> list[str]:
        return [what.removeprefix("place ") for what in self.did if what.startswith("place ")]

    def events(self, name: str) -> list[Row]:
        rows = [json.loads(line) for line in self.logged.getvalue().splitlines()]
        return [row for row in rows if row["event"] == name]
