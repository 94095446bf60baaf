"""Live execution of one intent: a run of its own, with the same stages as a batch.

It passes the same gate, holds the same lease, is on disk before it is sent, and leaves the same record.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any, Protocol

from engine.accounts.configured import read_accounts
from engine.accounts.connection import Opening
from engine.accounts.market_data import market_data_access
from engine.api.dropping import intent_lines
from engine.api.sent_before import Sent, SentBefore, current
from engine.brokers.access import Access
from engine.brokers.trading import TradingBroker
from engine.context import RunContext
from engine.intents.reading import IntentFile
from engine.log import EventLog
from engine.model.orders import OrderIntent
from engine.record.modes import Modes
from engine.record.objects import LocalObjects, Objects
from engine.record.run_folder import COLLECTED, DECISIONS, INPUTS, RESULTS, RunFolder, RunFolders
from engine.risk.config import RiskConfig
from engine.run.stages import finish, to_finish
from engine.run.starting import check_start, start
from engine.safety.agent_state import Agent, process_name
from engine.safety.generations import generations_of
from engine.safety.halt_mark import HaltMark
from engine.safety.kill_switch import KillSwitchState
from engine.safety.lease_document import Holder
from engine.safety.lock import exclusive
from engine.safety.preflight import broker_checks, market_data_check, store_checks
from engine.safety.trading_gate import Gate, closed_by
from engine.settings.variables import RunSettings
from engine.stores.chosen import Stores, check_emulator
from engine.stores.inbox.inbox import Inbox, drop_file
from engine.waiting.retry_policy import RetryPolicy

SLOT = "engine"


class _Risk(Protocol):
    """The parts of ``RiskManager`` that a live run needs."""

    settings: RunSettings
    config: RiskConfig
    stores: Stores
    kill_switch: Callable[[], KillSwitchState]
    clock: Callable[[], datetime]

    def session(self) -> date: ...

    def read(self, intent: OrderIntent) -> IntentFile: ...


@dataclass(frozen=True)
class LiveRun:
    """The run of one intent: its rows of decisions and results, or why there are none."""

    folder: RunFolder
    decision: dict[str, Any] | None
    result: dict[str, Any] | None
    refused: tuple[str, ...]
    unavailable: tuple[str, ...] = ()


def execute_live(
    intent: OrderIntent,
    broker: TradingBroker,
    risk: _Risk,
    log: EventLog,
    *,
    earlier: RunFolder | None = None,
) -> LiveRun:
    """Finish unfinished runs, execute one intent in a run of its own, and return that run.

    Where the intent was sent before, or may have been, it is not sent again: its current outcome is returned,
    even with the gate closed. It is looked up in the runs of the session, and in ``earlier``, the run in
    which this engine executed the same object.

    Raises ``GateClosed``, ``RunInProgress``, ``LeaseHeld``, ``ConfigurationError`` and ``BrokerError``: then
    the intent was not sent, or the next run resumes its run.
    """
    settings = risk.settings
    check_start(settings, slot=SLOT)
    sent = SentBefore(RunFolders(LocalObjects(settings.data_dir)), risk, earlier)
    if (found := sent.find(intent)) is not None:
        return _now(found, broker, intent)
    now = risk.clock()
    fields = {name: value for name, value in asdict(intent).items() if value is not None}
    fields.setdefault("created_at", now)  # the same intent executed again is another one
    modes = Modes.of(group_access=settings.stores.group_access)
    private = settings.data_dir / f".{SLOT}" / "inbox"
    objects = LocalObjects(settings.data_dir, modes)
    agent = Agent(risk.stores.agent, log, process_name(), clock=risk.clock, mark=HaltMark(objects))
    access = Access(account=settings.account or intent.broker_account_id, broker=broker)
    check_emulator(settings.stores, broker.trading_host)
    with (
        exclusive(settings.data_dir, since=f"{now:%Y-%m-%d %H:%M:%S} UTC", modes=modes),
        _gate(access, risk, agent, objects).opened(cancels_pass=intent.action == "cancel") as closed,
        _opening(settings, agent).connections([access]) as connections,
    ):
        context = RunContext.of_agent(
            agent,
            objects=objects,
            inbox=Inbox(settings.data_dir / "inbox"),
            positions=risk.stores.positions,
            ledger=risk.stores.ledger,
            kill_switch=risk.kill_switch,
            risk_data_timeout_s=settings.stores.timeout_s,
            connections=connections,
            closed_by=closed_by(closed),
            market_data=market_data_access(
                read_accounts, retry_policy=RetryPolicy(broker_wait_s=settings.broker_wait_s)
            ),
        )
        for unfinished in to_finish(context):
            finish(unfinished, context)
        if (found := sent.find(intent)) is not None:  # by a run that was unfinished
            return _now(found, broker, intent)
        shutil.rmtree(private, ignore_errors=True)
        modes.make_folder(private)
        drop_file("intent.jsonl", intent_lines(fields), private)
        context = replace(context, inbox=Inbox(private))
        folder = start(settings, risk.config, context, slot=SLOT)
        finish(folder, context)
    return _live_run(folder)


def _opening(settings: RunSettings, agent: Agent) -> Opening:
    return Opening(
        agent=agent,
        holder=Holder.of(settings.data_dir),
        settle_s=settings.settle_s,
        retry_policy=RetryPolicy(broker_wait_s=settings.broker_wait_s),
        stopping=lambda: False,
    )


def _gate(access: Access, risk: _Risk, agent: Agent, objects: Objects) -> Gate:
    settings = risk.settings
    checks = {
        **store_checks(risk.stores),
        **market_data_check(settings.gate, risk.stores.documents, risk.clock),
        **broker_checks([access], risk.clock, broker_wait_s=settings.broker_wait_s),
    }
    return Gate(
        agent=agent,
        generations=generations_of(objects, risk.stores, risk.clock),
        agent_mode=settings.gate.agent_mode,
        kill_switch=risk.kill_switch,
        checks=checks,
        timeout_s=settings.stores.timeout_s,
    )


def _now(found: Sent, broker: TradingBroker, intent: OrderIntent) -> LiveRun:
    run = _live_run(found.folder, found.row)
    assert run.result is not None
    return replace(run, result=current(run.result, broker, intent, run_id=found.folder.run_id))


def _live_run(folder: RunFolder, row: int = 0) -> LiveRun:
    collected = folder.json(COLLECTED)
    problems = [record["message"] for record in (*collected["refused"], *collected["duplicates"])]
    decisions = folder.table(DECISIONS).slice(row, 1).to_pylist()
    results = folder.table(RESULTS).slice(row, 1).to_pylist()
    if not decisions:
        return LiveRun(folder, None, None, tuple(problems))
    unavailable = folder.json(INPUTS)["unavailable"].items()
    why = tuple(f"{name} is unavailable: {why}" for name, why in unavailable)
    return LiveRun(folder, decisions[0], results[0], tuple(problems), why)
