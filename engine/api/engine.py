"""The engine for one intent at a time, with the same reader, rules and results as a batch of one."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from engine.accounts.configured import read_accounts
from engine.accounts.market_data import market_data_access
from engine.brokers.protocol import Broker
from engine.context import RunContext
from engine.errors import ConfigurationError
from engine.intents.reading import IntentFile, read_intent_file, refused_file
from engine.log import EventLog, wall_clock
from engine.model.calendar import trading_date
from engine.model.keeping import unkeepable_metadata
from engine.model.orders import BrokerOrder, OrderIntent, intent_of
from engine.model.schema import FIGURES
from engine.reconciliation.working_orders import WorkingOrder, attempted, frame_of
from engine.record.formats import json_line
from engine.record.modes import Modes
from engine.record.objects import LocalObjects
from engine.record.run_folder import STANDING_FRAMES
from engine.record.sealed_limits import check_session
from engine.risk import RULE_BOOK, evaluate
from engine.risk.config import RiskConfig
from engine.risk.inputs import RiskInputs
from engine.run import input_sources
from engine.run.input_sources import sources_of, standing_sources
from engine.run.inputs_configured import check_inputs_configured
from engine.run.reading import Reading
from engine.run.risk_inputs import as_recorded, read_inputs
from engine.safety.agent_state import Agent, process_name
from engine.safety.halt_mark import HaltMark
from engine.safety.kill_switch import KillSwitch, KillSwitchState
from engine.settings.variables import RunSettings
from engine.stores.chosen import choose_stores
from engine.stores.inbox.inbox import Inbox
from engine.stores.protocols import LedgerStore, PositionStore
from engine.waiting.once import Once

if TYPE_CHECKING:
    from engine.brokers.trading import TradingBroker
    from engine.record.run_folder import RunFolder

_FILE = "intent.json"
_TERMS = "working_order_terms"
_SENT = "earlier_orders"


@dataclass(frozen=True, kw_only=True)
class RiskDecision:
    """The decision on one intent.

    ``reason`` is ``ok`` or the first failing rule; ``checks`` has every rule's verdict (pass, fail, off,
    unavailable), ``figures`` the numbers behind the verdicts (NaN where unavailable), ``messages`` what is
    wrong with the intent itself, or why a store was unavailable.
    """

    allowed: bool
    reason: str
    checks: Mapping[str, str]
    figures: Mapping[str, float] = field(default_factory=dict)
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ExecutionResult:
    """The outcome of one intent; ``status`` is one of ``schema.RESULT_STATUSES``."""

    status: str
    risk: RiskDecision
    client_intent_id: str
    broker_order: BrokerOrder | None = None
    message: str = ""


class RiskManager:
    """Judges intents by given limits, stores and kill switch.

    Arguments that are left out come from the environment, as for a run. Raises ``ConfigurationError`` for
    settings that can't be read.
    """

    def __init__(
        self,
        config: RiskConfig | None = None,
        *,
        positions: PositionStore | None = None,
        ledger: LedgerStore | None = None,
        kill_switch: Callable[[], KillSwitchState] | None = None,
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self.settings = RunSettings.from_env()
        self.config = RiskConfig.from_env() if config is None else config
        stores = choose_stores(self.settings.stores)
        reader = stores.documents.document if stores.documents else None
        own_switch = KillSwitch.from_env(read_document=reader).read
        self.kill_switch = own_switch if kill_switch is None else kill_switch
        self.clock = clock
        self.stores = replace(stores, positions=positions or stores.positions, ledger=ledger or stores.ledger)

    def validate(self, *, intent: OrderIntent, working_orders: pd.DataFrame | None = None) -> RiskDecision:
        """Return the decision on an intent. ``working_orders``: open orders to count (``RiskInputs``).

        Those without a strategy or terms, as ``working_order_terms`` has them, are of none known.
        """
        return self.judge(self.read(intent), working_orders)

    def session(self) -> date:
        """Return the current session."""
        return trading_date(self.clock(), self.settings.calendar)

    def read(self, intent: OrderIntent) -> IntentFile:
        """Return an intent as a file with one row, trimmed and checked, with an id."""
        part = unkeepable_metadata(intent.metadata)
        if part is not None:
            return refused_file(_FILE, part)
        fields = {name: value for name, value in asdict(intent).items() if value is not None}
        now = self.clock()
        return read_intent_file(
            _FILE,
            json_line(fields),
            file_time_us=round(now.timestamp() * 1e6),
            now_us=round(now.timestamp() * 1e6),
            trading_date=trading_date(now, self.settings.calendar),
        )

    def judge(
        self,
        row: IntentFile,
        working_orders: pd.DataFrame | None,
        allowed_ids: frozenset[tuple[str, str]] = frozenset(),
        sent: Sequence[Mapping[str, Any]] = (),
    ) -> RiskDecision:
        """Return the decision on an intent that was read. ``allowed_ids``: as in ``RiskInputs``.

        ``sent``: further rows of ``earlier_orders``. Raises ``ConfigurationError`` where the limits file has
        expired, or a limit needs prices or volumes that are not configured.
        """
        check_session(self.config, self.session())
        check_inputs_configured(self.config, self.settings.prices)
        if row.refused:
            messages = tuple(problem.message for problem in row.refused[0].problems)
            halted = self.kill_switch().on
            known = {"kill_switch_enabled": "fail" if halted else "pass", "invalid_intent": "fail"}
            checks = {rule.name: "unavailable" for rule in RULE_BOOK} | known
            reason = "kill_switch_enabled" if halted else "invalid_intent"
            return RiskDecision(allowed=False, reason=reason, checks=checks, messages=messages)
        intents = row.table.to_pandas()
        inputs, unavailable = self._inputs(intents, working_orders, allowed_ids, sent)
        decision = evaluate(intents, inputs, self.config).iloc[0]
        return RiskDecision(
            allowed=bool(decision["allowed"]),
            reason=str(decision["reason"]),
            checks={rule.name: str(decision[f"check_{rule.name}"]) for rule in RULE_BOOK},
            figures={name: float(decision[name]) for name in FIGURES},
            messages=unavailable,
        )

    def _inputs(
        self,
        intents: pd.DataFrame,
        working_orders: pd.DataFrame | None,
        allowed_ids: frozenset[tuple[str, str]],
        sent: Sequence[Mapping[str, Any]],
    ) -> tuple[RiskInputs, tuple[str, ...]]:
        """Return the inputs, read from the stores as in a run, and why any of them are unavailable."""
        now = pd.Timestamp(self.clock())
        session = trading_date(now, self.settings.calendar)
        accounts = [str(intents["broker_account_id"].iloc[0])]
        if working_orders is None:
            working_orders = frame_of([])
        positions = Once(
            lambda: self.stores.positions.positions(
                accounts, as_of=now, max_age_s=self.settings.positions_max_age_s
            )
        )
        read = read_inputs(
            {
                "positions": positions,
                "daily_trades": lambda: self.stores.ledger.trade_counts(accounts, session),
                **standing_sources(self._context(), session=session, calendar=self.settings.calendar),
                **self._sources_for_limits(intents, now, positions, working_orders),
            },
            self.kill_switch,
            timeout_s=self.settings.stores.timeout_s,
        )
        frames: dict[str, Any] = {name: table.to_pandas() for name, table in read.tables.items()}
        if _TERMS in frames:
            frames[_TERMS] = working_orders.reindex(columns=list(WorkingOrder._fields))
        if _SENT in frames:
            key = accounts[0], str(intents["symbol"].iloc[0])
            own = [one for one in sent if (one["broker_account_id"], one["symbol"]) == key]
            if own:
                frame = as_recorded(_SENT, pd.DataFrame(own)).to_pandas()
                frames[_SENT] = pd.concat([frames[_SENT], frame], ignore_index=True)
        inputs = RiskInputs(
            as_of=now,
            trading_date=session,
            **dict.fromkeys(("positions", "daily_trades", *read.unavailable)) | frames,
            working_orders=working_orders,
            kill_switch=read.switch.on,
            allowed_ids=allowed_ids,
        )
        return inputs, tuple(f"{name} is unavailable: {why}" for name, why in read.unavailable.items())

    def _sources_for_limits(
        self,
        intents: pd.DataFrame,
        now: pd.Timestamp,
        positions: Once[pd.DataFrame],
        working_orders: pd.DataFrame,
    ) -> dict[str, Callable[[], pd.DataFrame]]:
        """Return the functions that read the frames that limits and notionals need, as in a dry run."""
        settings = self.settings
        needed = input_sources.frames_to_read(self.config, settings.prices).difference(STANDING_FRAMES)
        needed |= input_sources.frames_for_notionals(settings.prices, intents["notional"], working_orders)
        if not needed:
            return {}
        names = ("broker_account_id", "symbol", "strategy_id")
        accounts, symbols, strategies = ([str(intents[name].iloc[0])] for name in names)
        reading = Reading(
            context=self._context(),
            config=self.config,
            mode="dry",
            run_id="",
            as_of=now,
            trading_date=trading_date(now, settings.calendar),
            calendar=settings.calendar,
            accounts=accounts,
            symbols=symbols,
            strategies=strategies,
            prices=settings.prices,
            positions=positions,
            working_symbols=working_orders["symbol"].dropna().unique().tolist(),
        )
        return sources_of(needed, reading)

    def _context(self) -> RunContext:
        """Return what the sources of inputs may read."""
        settings, log = self.settings, EventLog()
        objects = LocalObjects(settings.data_dir, Modes.of(group_access=settings.stores.group_access))
        agent = Agent(self.stores.agent, log, process_name(), self.clock, HaltMark(objects))
        return RunContext.of_agent(
            agent,
            objects=objects,
            inbox=Inbox(settings.data_dir / "inbox"),
            positions=self.stores.positions,
            ledger=self.stores.ledger,
            kill_switch=self.kill_switch,
            market_data=market_data_access(read_accounts),
        )


class ExecutionEngine:
    """Judges intents one after the other, and sends them when live.

    In a dry run the intents that one engine has allowed count as working orders for the following ones, and
    their ids as taken, so that a sequence of calls is judged like a batch of the same intents. Live, each
    call is a run of its own, with its folder below ``EXEC_DATA_DIR`` (``engine.api.live_intent``); it needs
    everything that a live run needs, ``EXEC_DRY_RUN=0`` included. Raises ``ConfigurationError`` where that
    setting, or a broker that takes orders, is missing.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        broker_name: str,
        dry_run: bool | None = None,
        risk: RiskManager | None = None,
        log: EventLog | None = None,
    ) -> None:
        self.risk = RiskManager() if risk is None else risk
        self.dry_run = self.risk.settings.dry_run if dry_run is None else dry_run
        if self.dry_run is not True:
            _check_live(self.risk.settings, broker)
        self.broker = broker
        self.broker_name = broker_name
        self._log = EventLog() if log is None else log
        self._session: date | None = None
        self._working: list[WorkingOrder] = []
        self._sent: list[dict[str, Any]] = []
        self._taken: dict[tuple[str, str], tuple[OrderIntent, ExecutionResult]] = {}
        self._runs: dict[tuple[str, str], tuple[OrderIntent, RunFolder]] = {}
        self._one_at_a_time = threading.Lock()

    def execute_intent(self, *, intent: OrderIntent) -> ExecutionResult:
        """Judge one intent, send it when live, and return its outcome; ``status`` as in ``results.parquet``.

        Idempotent: for an intent that was sent, or may have been (in a dry run: that was allowed), the
        current result is returned. One that was refused, halted or expired is judged again.

        Calls of several threads run one at a time. A live engine raises what
        ``engine.api.live_intent.execute_live`` raises.
        """
        with self._one_at_a_time:
            is_refused = (
                unkeepable_metadata(intent.metadata) is not None
            )  # refused before a run: its files could not keep it
            return (
                self._executed(intent) if self.dry_run is True or is_refused else self._executed_live(intent)
            )

    def _executed_live(self, intent: OrderIntent) -> ExecutionResult:
        from engine.api.live_intent import execute_live

        own = (intent.broker_account_id, str(intent.client_intent_id))
        earlier, folder = self._runs.get(own, (None, None))
        done = execute_live(
            intent,
            cast("TradingBroker", self.broker),
            self.risk,
            self._log,
            earlier=folder if earlier == intent else None,
        )
        self._runs[own] = intent, done.folder
        decision, result = done.decision, done.result
        if decision is None or result is None:
            row = self.risk.read(intent)
            return ExecutionResult(
                status="rejected",
                risk=replace(self.risk.judge(row, None), allowed=False, messages=done.refused),
                client_intent_id=intent.client_intent_id or "",
                message=" ".join(done.refused),
            )
        return ExecutionResult(
            status=result["status"],
            risk=RiskDecision(
                allowed=bool(decision["allowed"]),
                reason=str(decision["reason"]),
                checks={rule.name: str(decision[f"check_{rule.name}"]) for rule in RULE_BOOK},
                figures={name: _figure(decision[name]) for name in FIGURES},
                messages=done.unavailable,
            ),
            client_intent_id=result["client_intent_id"],
            broker_order=_order_of(result),
            message=result["message"] or "",
        )

    def _executed(self, intent: OrderIntent) -> ExecutionResult:
        session = self.risk.session()
        if session != self._session:  # a new session: orders of the last one neither work nor count
            self._session, self._working = session, []
        row = self.risk.read(intent)
        decision = self.risk.judge(row, frame_of(self._working), frozenset(self._taken), self._sent)
        fields = {"client_intent_id": ""} if row.refused else row.table.slice(0, 1).to_pylist()[0]
        own = (fields.get("broker_account_id", ""), fields["client_intent_id"])
        if own in self._taken:
            earlier, result = self._taken[own]
            if earlier == intent:
                return result
        self._log_decision(intent, fields["client_intent_id"], decision)
        if not decision.allowed:
            return ExecutionResult(
                status="rejected",
                risk=decision,
                client_intent_id=fields["client_intent_id"],
                message=" ".join(decision.messages),
            )
        if fields["action"] != "cancel":
            self._working.append(attempted(fields["broker_account_id"], intent_of(fields)))
            self._sent.append(fields | {"sent_at": self.risk.clock()})
        result = ExecutionResult(
            status="dry_run",
            risk=decision,
            client_intent_id=fields["client_intent_id"],
            broker_order=None,
            message="would be sent; this was a dry run",
        )
        self._taken[own] = intent, result
        return result

    def _log_decision(self, intent: OrderIntent, intent_id: str, decision: RiskDecision) -> None:
        log = self._log.with_fields(intent_id=intent_id, strategy_id=intent.strategy_id)
        log.event("intent_received", f"{intent.broker_account_id} {intent.side} {intent.symbol}")
        outcome = "allowed" if decision.allowed else f"refused: {decision.reason}"
        message = " ".join([f"{intent_id or 'an intent'} {outcome}", *decision.messages])
        log.event(
            "risk_decision",
            message,
            allowed=decision.allowed,
            reason=decision.reason,
            checks=dict(decision.checks),
        )
        if decision.allowed:
            log.event("dry_run_accept", f"{intent_id} would be sent")


def _check_live(settings: RunSettings, broker: Broker) -> None:
    if settings.dry_run:
        raise ConfigurationError(
            "dry_run is off and EXEC_DRY_RUN is on; live orders need both off. Set EXEC_DRY_RUN=0, or leave "
            "dry_run on."
        )
    if not hasattr(broker, "recorded"):
        raise ConfigurationError(
            f"dry_run is off, and orders can't be sent through {type(broker).__name__}. Pass an "
            f"AlpacaBroker, or leave dry_run on."
        )


def _figure(recorded: float | None) -> float:
    return math.nan if recorded is None else float(recorded)


def _order_of(result: Mapping[str, Any]) -> BrokerOrder | None:
    """Return the order of a row of results, as the broker last reported it."""
    if result["broker_order_id"] is None:
        return None
    return BrokerOrder(
        broker_order_id=result["broker_order_id"],
        client_order_id=result["client_intent_id"],
        order_status=result["order_status"],
        qty=result["order_qty"],
        filled_qty=result["filled_qty"],
        filled_avg_price=result["filled_avg_price"],
    )
