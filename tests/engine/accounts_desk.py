"""A desk with several accounts, each at a simulator of its own: what tests of accounts drive and look at.

All simulators' clocks stand still but for a second with every list of orders, so that what was sent can fill
while a run waits for it. ``Lies`` let a broker say what its simulator can't be made to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from requests import PreparedRequest, Response

from engine.brokers.access import Access
from engine.errors import EngineError
from engine.model.calendar import NEW_YORK, trading_date
from engine.reconciliation.session import Session
from engine.reconciliation.sync import Synced, sync_all
from engine.record.run_folder import RESULTS, RunFolder
from engine.risk.config import RiskConfig
from tests.desk import Row
from tests.engine.routing.trading import Between, Send, TradingDesk, path_of, reply, standing_still

ACCOUNTS = ("alpha", "beta", "gamma")
ALL = RiskConfig(max_position_qty=1e6, max_daily_trades=10_000, accounts=frozenset(ACCOUNTS))
_NOT_FOUND = {"code": 40410000, "message": "order not found"}
_ORDERS, _POSITIONS, _ACTIVITIES = "/v2/orders", "/v2/positions", "/v2/account/activities"


@dataclass
class Lies:
    """What a broker says otherwise than its simulator.

    ``shares`` are added to positions, by symbol. ``orders``: fields of orders, by id. ``unknown``: ids of
    orders that it knows no more. ``activities`` are told of as well; ``silent_on``: symbols whose splits
    are not told of.
    """

    shares: dict[str, float] = field(default_factory=dict)
    orders: dict[str, Row] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    activities: list[Row] = field(default_factory=list)
    silent_on: set[str] = field(default_factory=set)

    def __call__(self, request: PreparedRequest, send: Send) -> Response:
        path = path_of(request)
        if path.rpartition("/")[2] in self.unknown:
            return reply(request, 404, _NOT_FOUND)
        answer = send()
        if request.method != "GET" or answer.status_code != 200:
            return answer
        said = self._told(path, answer.json())
        answer._content = json.dumps(said).encode()
        return answer

    def _told(self, path: str, said: Any) -> Any:
        if path == _ORDERS:
            return [self._order(one) for one in said if one["id"] not in self.unknown]
        if path.startswith(f"{_ORDERS}/"):
            return self._order(said)
        if path == _POSITIONS:
            return [self._position(one) for one in said]
        if path == _ACTIVITIES:
            told = [
                one for one in said if one["activity_type"] == "FILL" or one["symbol"] not in self.silent_on
            ]
            return told + self.activities
        return said

    def _order(self, order: Row) -> Row:
        return order | self.orders.get(order["id"], {})

    def _position(self, position: Row) -> Row:
        more = self.shares.get(position["symbol"], 0.0)
        return position | {"qty": f"{float(position['qty']) + more:.9f}"} if more else position


@dataclass
class AccountsDesk(TradingDesk):
    """A desk of the accounts ``names``: ``at`` has each one's simulator, ``lies`` what its broker says.

    ``in_between``: who stands between the engine and a broker, where anybody does.
    """

    names: tuple[str, ...] = ACCOUNTS
    at: dict[str, TradingDesk] = field(default_factory=dict)
    lies: dict[str, Lies] = field(default_factory=dict)
    in_between: dict[str, Between] = field(default_factory=dict)
    settle_s: float = 0.0

    def __post_init__(self) -> None:
        start_ns = int(self.now.timestamp()) * 1_000_000_000
        self.data.mkdir(parents=True, exist_ok=True)
        for seed, name in enumerate(self.names):
            self.lies[name] = Lies()
            simulator = standing_still(seed=seed, start_ns=start_ns)
            self.at[name] = TradingDesk(
                self.data,
                now=self.now,
                simulator=simulator,
                between=self._between(name),
                effects=self.effects,
                dead=self.dead,
                broker_read_s=self.broker_read_s,
            )

    def _between(self, name: str) -> Between:
        def middle(request: PreparedRequest, send: Send) -> Response:
            if request.method == "GET" and path_of(request) == _ORDERS:
                self.let_pass(name, 1)
            outer = self.in_between.get(name)

            def told() -> Response:
                return self.lies[name](request, send)

            return told() if outer is None else outer(request, told)

        return middle

    def let_pass(self, name: str, seconds: float) -> None:
        """Let time go by at one simulator."""
        simulation = self.at[name].simulator.simulation
        with simulation.lock:
            simulation.clock.advance(seconds)
            simulation.venue.advance()

    def accesses(self) -> list[Access]:
        return [Access(account=name, broker=desk.broker()) for name, desk in self.at.items()]

    def live(self, config: RiskConfig | None = None, **said: Any) -> RunFolder:
        return super().live(config or ALL, **said)

    def go_to(self, timestamp: datetime) -> None:
        """Let it be a later moment, at the desk and at all simulators."""
        self.now = timestamp
        for desk in self.at.values():
            desk.now = timestamp
            desk.control("POST", "clock", {"set": timestamp.isoformat()})

    def go_to_new_york(self, day: str, clock: str) -> None:
        """Let it be a day and time of day, ``2026-03-02`` and ``19:59``, in New York."""
        self.go_to(in_new_york(day, clock))

    @property
    def session(self) -> Session:
        """The session that it is now."""
        return Session(trading_date(self.now, "XNYS"), "XNYS")

    def answers(self) -> dict[str, Synced | EngineError]:
        """Sync all accounts; gives what each broker said, or why nothing is known."""
        with self.connections() as connections:
            return sync_all(self.context(connections=connections), connections, self.session)

    def synced(self) -> list[Synced]:
        """Sync all accounts, none of which fails."""
        answers = self.answers().values()
        failed = [answer for answer in answers if isinstance(answer, EngineError)]
        assert not failed, failed
        return [answer for answer in answers if isinstance(answer, Synced)]

    def held_at(self, name: str) -> dict[str, float]:
        """Return the positions that a broker tells of."""
        told = self.at[name].by_hand("GET", _POSITIONS)
        return {row["symbol"]: float(row["qty"]) for row in map(self.lies[name]._position, told)}

    @contextmanager
    def asked(self) -> Iterator[dict[str, list[Row]]]:
        """Give, when the block ends, which requests each broker has answered in it."""
        before = {name: len(desk.requests()) for name, desk in self.at.items()}
        seen: dict[str, list[Row]] = {}
        yield seen
        seen |= {name: desk.requests()[before[name] :] for name, desk in self.at.items()}


def in_new_york(day: str, clock: str) -> datetime:
    """Return a day and time of day in New York as a moment, UTC."""
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=NEW_YORK).astimezone(UTC)


def by_intent(run: RunFolder) -> dict[str, tuple[str, str]]:
    """Return status and reason of a run's intents, by their ids."""
    rows = run.table(RESULTS, ["client_intent_id", "status", "reason"]).to_pylist()
    return {row["client_intent_id"]: (row["status"], row["reason"]) for row in rows}


def accounts_desk(data: Path, day: str, clock: str, *, names: tuple[str, ...] = ACCOUNTS) -> AccountsDesk:
    """Return a desk whose accounts begin at a day and time of day in New York."""
    return AccountsDesk(data, now=in_new_york(day, clock), names=names)
