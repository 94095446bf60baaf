"""A live run carried out again: AlpacaBroker, routing and settlement of ``engine`` over recorded traffic.

The run's folder is copied into memory, its decisions are those of the replay, its clock stands at the time
at which its inputs had been read, and its only transport is ``CassetteAdapter``. Outside events (a kill
switch was set, a session ended, an account failed) are known by their effect alone, so an order that was
withheld in the record is withheld again, for the recorded reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from requests.adapters import BaseAdapter

from engine.accounts.connection import Connection, Connections, Names
from engine.brokers.chosen import Recording as Remembering
from engine.brokers.chosen import first_request_since
from engine.errors import BrokerError, LeaseLost, RecordError, RunStopped
from engine.log import EventLog
from engine.record.fills import fills_table
from engine.record.formats import json_bytes
from engine.record.journal import Journal
from engine.record.run_folder import BATCH, DECISIONS, INPUTS, RESULTS, START, RunFolder
from engine.routing.accounts import Traded, trade_accounts
from engine.routing.controls import TradingControls
from engine.routing.live import CLOCK_MARGIN
from engine.routing.outcomes import ACCOUNT_DOWN, OrderOutcome, live_results
from engine.routing.state_watch import scope_of
from engine.safety.kill_switch import KillSwitchState
from engine.safety.trading_states import Scoped, TradingStates
from engine.waiting.retry_policy import RetryPolicy
from replay.cassettes import Interaction, read_cassette
from replay.judging import Case
from replay.not_recorded import NOT_RECORDED
from replay.outcomes import (
    NOT_SENT,
    RECORDED,
    Outcomes,
    differing,
    last_prices,
    outcome_columns,
    recorded_outcomes,
)
from replay.recorded import Recording
from replay.stand_ins import MemoryDocuments, MemoryObjects, OwnLease, ReplayedBroker, Silence
from replay.transport import CassetteAdapter
from replay.venue_book import DERIVED, SIMULATED, VenueBook

_ONE_ORDER = ("/v2/orders/", "/v2/orders:")
_NEVER_SENT = frozenset({"halted", "expired"})
_OF_A_SCOPE = ("symbol", "strategy_id")


def carried_out(
    recording: Recording, case: Case, decided: pd.DataFrame, *, orders_at_once: int = 1
) -> Outcomes:
    """Carry decisions out as the recorded run would have, and return the outcome of every intent.

    ``decided``: the replayed decisions on the case's batch. Raises ``RecordError`` where the traffic can't
    be read or is incomplete.
    """
    name = str(recording.run.path / "cassette.json")
    interactions = read_cassette(name, recording.cassette) if recording.cassette else []
    stage = _Stage(recording, case, decided, interactions)
    while True:
        try:
            traded = stage.trade(orders_at_once=orders_at_once)
            if not stage.next_job():  # a job may have stopped after settlement, and the next one polled again
                return stage.outcomes(traded)
        except (BrokerError, LeaseLost, RunStopped) as error:  # where the recorded job ended
            if not stage.next_job():
                raise RecordError(
                    f"{name}: the recorded traffic is not enough to carry run {recording.run.run_id} out "
                    f"again ({error}). Replay only its decisions."
                ) from error


class _Stage:
    """One run, prepared to be carried out again."""

    def __init__(
        self, recording: Recording, case: Case, decided: pd.DataFrame, interactions: list[Interaction]
    ) -> None:
        self.recording, self.decided = recording, decided
        self.then = recorded_outcomes(recording)
        self.at = datetime.fromisoformat(str(recording.inputs["read_at"]))
        ids = recording.batch["client_intent_id"].to_pylist()
        self.accounts = recording.batch["broker_account_id"].cast(pa.string()).to_pylist()
        references = dict(zip(ids, recording.batch["reference_price"].to_pylist(), strict=True))
        self.keys = list(zip(self.accounts, ids, strict=True))
        self.places = _places(recording, self.accounts)
        self.down = {
            account
            for account, reason in zip(self.accounts, self.then["reason"], strict=True)
            if reason == ACCOUNT_DOWN
        }
        recorded = _broker_inputs(recording, self.places)
        resuming = {name: _first_of_a_resumed_job(one["time"]) for name, one in recorded.items()}
        self.adapters = {
            account: CassetteAdapter(
                _after_the_inputs(_own(interactions, account), self.at, resuming[account]),
                partial(
                    VenueBook.of,
                    _own(interactions, account),
                    at=self.at,
                    reference_price=references.get,
                    last_price=last_prices(recording),
                ),
                account=account,
            )
            for account in {place["account"] for place in self.places}
        }
        self.jobs = sorted({job for adapter in self.adapters.values() for job in adapter.jobs}) or [1]
        self.was_resumed = len(self.jobs) > 1
        self.folder = _in_memory(recording, case, decided, self.places)
        allowed = self.decided["allowed"].to_numpy()
        self.withdrawn_elsewhere = _set_up_earlier_targets(recording, self.folder, self.places, allowed)

    def next_job(self) -> bool:
        """Continue with the next job that worked on the recorded run; return whether there is one."""
        self.jobs = self.jobs[1:]
        return bool(self.jobs)

    def trade(self, *, orders_at_once: int) -> Traded:
        """Carry the run out as far as the current job did."""
        allowed = self.decided["allowed"].to_numpy()
        for adapter in self.adapters.values():
            adapter.job = self.jobs[0]
        later = {name for name, adapter in self.adapters.items() if adapter.jobs[0] > self.jobs[0]}
        if (
            not {account for account, yes in zip(self.accounts, allowed, strict=True) if yes}
            - self.down
            - later
        ):
            return Traded()
        journal = Journal(self.folder, gather_s=0.0) if self.was_resumed else None
        held, documents = self._held(), MemoryDocuments()
        recorded = self.folder.json(INPUTS)["broker"]
        connections = [
            Connection(
                account=place["account"],
                key=place["account_key"],
                broker=ReplayedBroker(
                    place["host"],
                    self._transport(place["account"], journal),
                    held.get(place["account"], {}),
                ),
                lease=OwnLease(str(recorded.get(place["account"], {}).get("tenure", ""))),
                halted=lambda: "",
                notes=documents,
                settle_s=0.0,
                retry_policy=RetryPolicy(lookups_s=(0.0,) * 5, down_after_s=1.0),
                orders_at_once=orders_at_once,
            )
            for place in self.places
            if place["account"] not in self.down | later
        ]
        down = {account: f"account {account} failed in the recorded run" for account in self.down}
        down |= {account: f"no job had reached account {account} yet" for account in later}
        controls = TradingControls(
            kill_switch=lambda: KillSwitchState(on=False, why=""),
            trading_states=TradingStates,
            log=EventLog(Silence(), lambda: self.at),
            clock=lambda: self.at,
        )
        return trade_accounts(
            self.folder, controls, Connections(at_work=tuple(connections), names=Names(documents), down=down)
        )

    def _transport(self, account: str, journal: Journal | None) -> BaseAdapter:
        """Return an account's transport; the journal gives this job's replies to later jobs."""
        adapter = self.adapters[account]
        if journal is None:
            return adapter
        return Remembering(
            adapter,
            journal.keep,
            clean=bytes,
            is_clean=lambda _: True,
            number=journal.next_number,
            whose=account,
        )

    def outcomes(self, traded: Traded) -> Outcomes:
        """Return the outcomes, compared with the record."""
        frame = outcome_columns(live_results(self.decided, traded.outcomes))
        allowed, then = self.decided["allowed"].to_numpy(), self.recording.decisions["allowed"].to_numpy()
        failed = np.array([account in self.down for account in self.accounts], dtype=bool)
        failed[self.withdrawn_elsewhere] = True
        as_then = np.flatnonzero(failed & allowed & then)
        for name in self.then.columns:
            frame.iloc[as_then, frame.columns.get_loc(name)] = self.then[name].take(as_then).to_numpy()
        frame["source"], frame["fill_price_source"] = self._sources(frame, allowed, then)
        differs = differing(frame, self.then) if len(frame) else np.zeros(0, dtype=bool)
        fills = fills_table(
            traded.orders,
            traded.fills,
            calendar=str(self.recording.start["settings"]["calendar"]),
            run_session=self.recording.run.trading_date,
        )
        recorded = self.recording.fills
        same = bool(self.down) or recorded is None or _executions(fills) == _executions(recorded)
        return Outcomes(frame, fills, differs, fills_differ=not same)

    def _sources(
        self, frame: pd.DataFrame, allowed: np.ndarray, then: np.ndarray
    ) -> tuple[list[str], list[str]]:
        """Return the source of each intent's outcome, and of the price of a simulated fill."""
        derived = {
            (account, answer.client_id)
            for account, adapter in self.adapters.items()
            for answer in adapter.answers
            if answer.client_id and answer.how not in {RECORDED, SIMULATED}
        }
        sources, prices = [], []
        rows = zip(self.keys, frame["broker_order_id"], allowed.tolist(), then.tolist(), strict=True)
        for key, order_id, now, before in rows:
            adapter = self.adapters.get(key[0])
            simulated = None if adapter is None else adapter.simulated.get(order_id)
            if simulated is not None:
                sources.append(SIMULATED)
            elif before and not now:
                sources.append(NOT_SENT)
            else:
                sources.append(DERIVED if key in derived else RECORDED)
            prices.append("" if simulated is None else simulated.price_source)
        return sources, prices

    def _held(self) -> dict[str, dict[str, OrderOutcome]]:
        """Return the recorded outcomes of withheld orders by account and client id, to withhold them again.

        A newly allowed order is treated as the orders around it: once an account was halted, or its session
        had ended, no later order of the batch was sent; once a scope was halted, none in that scope.
        """
        held: dict[str, dict[str, OrderOutcome]] = {}
        ended: dict[str, OrderOutcome] = {}
        halted: dict[tuple[str, Scoped], OrderOutcome] = {}
        messages = self.recording.results["message"].cast(pa.string()).to_pylist()
        allowed_then = self.recording.decisions["allowed"].to_pylist()
        columns = (self.recording.batch[name].cast(pa.string()).to_pylist() for name in _OF_A_SCOPE)
        orders = (dict(zip(("symbol", "strategy"), row, strict=True)) for row in zip(*columns, strict=True))
        rows = zip(
            self.keys, orders, self.then["status"], self.then["reason"], messages, allowed_then, strict=True
        )
        for (account, client_id), order, status, reason, message, was_allowed in rows:
            own = held.setdefault(account, {})
            outcome = OrderOutcome(status=status, reason=reason, message=message or "")
            if not was_allowed:
                by_scope = (
                    halted[whose, scoped]
                    for whose, scoped in halted
                    if whose == account and scoped.has(account=account, **order)
                )
                if then := ended.get(account) or next(by_scope, None):
                    own[client_id] = then
            elif status in _NEVER_SENT:
                own[client_id] = outcome
                if (scoped := scope_of(reason, account=account, **order)) is not None:
                    halted.setdefault((account, scoped), outcome)
                elif reason != "intent_expired":
                    ended.setdefault(account, outcome)
            elif status == "unresolved" and not self._is_known(account, client_id):
                own[client_id] = replace(outcome, attempted=True)
        return held

    def _is_known(self, account: str, client_id: str) -> bool:
        adapter = self.adapters.get(account)
        return adapter is not None and adapter.knows(client_id)


def _in_memory(
    recording: Recording, case: Case, decided: pd.DataFrame, places: list[dict[str, str]]
) -> RunFolder:
    folder = RunFolder(MemoryObjects(), recording.run.trading_date, recording.run.run_id)
    config = case.config.record()
    folder.write(START, {**recording.start, "config": config, "venues": places})
    folder.write(BATCH, recording.batch)
    folder.write(INPUTS, {**recording.inputs, "broker": _broker_inputs(recording, places)})
    kept = decided.drop(columns=NOT_RECORDED, errors="ignore")
    decisions = pa.Table.from_pandas(kept, preserve_index=False).replace_schema_metadata(None)
    folder.write(DECISIONS, decisions)
    return folder


def _places(recording: Recording, accounts: Iterable[str]) -> list[dict[str, str]]:
    """Return where a run's orders were sent: account, host and key; a nameless account takes the batch's."""
    own = sorted(set(accounts))
    hosts = recording.start.get("hosts") or [""]
    key = str(recording.start.get("account_key", ""))
    begun = recording.start.get("venues") or [{"account": "", "host": hosts[0], "account_key": key}]
    return [{**place, "account": place["account"] or (own[0] if own else "")} for place in begun]


def _broker_inputs(recording: Recording, places: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return each account's entry in ``inputs.json``: the broker's time and the lease epoch."""
    recorded: Mapping[str, Any] = recording.inputs.get("broker") or {}
    time = str(recording.inputs.get("broker_time") or recording.inputs["read_at"])
    default = {"time": time, "tenure": str(recording.inputs.get("tenure", ""))}
    return {place["account"]: dict(recorded.get(place["account"], default)) for place in places}


def _set_up_earlier_targets(
    recording: Recording, folder: RunFolder, places: list[dict[str, str]], allowed: np.ndarray
) -> list[int]:
    """Write the orders of earlier runs that cancels target to where routing looks for them.

    Returns the rows of cancels whose target is unknown: only the records of other runs have it.
    """
    batch = recording.batch.select(
        ["action", "target_intent_id", "broker_account_id", "client_intent_id"]
    ).to_pylist()
    own = {(row["broker_account_id"], row["client_intent_id"]) for row in batch}
    order_ids = recording.results["broker_order_id"].to_pylist()
    of_others = [
        place
        for place, row in enumerate(batch)
        if row["action"] == "cancel"
        and allowed[place]
        and (row["broker_account_id"], row["target_intent_id"]) not in own
    ]
    rows = [place for place in of_others if order_ids[place]]
    if rows:
        _write_earlier_run(recording, folder, places, rows)
    return [place for place in of_others if not order_ids[place]]


def _write_earlier_run(
    recording: Recording, folder: RunFolder, places: list[dict[str, str]], rows: list[int]
) -> None:
    """Write an earlier run whose open orders are the targets of some cancels, as far as routing reads it."""
    earlier = RunFolder(folder.objects, recording.run.trading_date, f"before-{recording.run.run_id}")
    cancels = recording.batch.take(pa.array(rows))
    targets = cancels["target_intent_id"].cast(pa.string())
    places_of = cancels.schema.get_field_index("client_intent_id")
    earlier.write(BATCH, cancels.set_column(places_of, "client_intent_id", targets))
    earlier.write(RESULTS, recording.results.take(pa.array(rows)))
    earlier.write(INPUTS, folder.json(INPUTS))
    accounts = cancels["broker_account_id"].cast(pa.string()).to_pylist()
    for place in places:
        own_rows = [number for number, account in enumerate(accounts) if account == place["account"]]
        marker = {**place, "at": str(recording.inputs["read_at"]), "rows": own_rows}
        key = f"open/{earlier.trading_date.isoformat()}/{earlier.run_id}~{place['account_key'][:16]}.json"
        if own_rows:
            folder.objects.put(key, json_bytes(marker))


def _first_of_a_resumed_job(broker_time: str) -> str:
    """Return the request by which a resumed job lists the orders since the run began."""
    return first_request_since(datetime.fromisoformat(broker_time) - CLOCK_MARGIN)


def _own(interactions: Iterable[Interaction], account: str) -> list[Interaction]:
    return [one for one in interactions if one.account in {"", account}]


def _after_the_inputs(interactions: list[Interaction], at: datetime, resuming: str) -> list[Interaction]:
    """Return the interactions after the inputs had been read; a replay takes the inputs as recorded.

    Timestamps decide, where run and traffic had the same clock. Where they decide nothing (simulated time),
    lists that were requested before the first order or cancel, or before the run was resumed, are left out.
    """
    later = [one for one in interactions if one.method != "GET" or not _is_before(one, at)]
    if len(later) < len(interactions):
        return later
    numbers = [one.number for one in interactions if one.method != "GET" or one.target == resuming]
    begin = min(numbers, default=0)
    return [one for one in interactions if one.number >= begin or one.target.startswith(_ONE_ORDER)]


def _is_before(one: Interaction, timestamp: datetime) -> bool:
    """Return whether a request was made before ``timestamp``; False where its time is unknown."""
    if not one.started_at:
        return False
    try:
        return datetime.fromisoformat(one.started_at) < timestamp
    except (ValueError, TypeError):
        return False


def _executions(fills: pa.Table) -> set[tuple[object, ...]]:
    names = ("fill_id", "client_intent_id", "broker_order_id", "qty", "price")
    columns = [fills[name].to_pylist() for name in names]
    return set(zip(*columns, strict=True))
