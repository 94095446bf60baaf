"""Carries out a live run's decisions for an account: each allowed order is sent exactly once or has a reason.

Attempts of a job that was killed are read from the journal first. An order in a recorded reply is decisive. A
recorded refusal is decisive where the broker has no such order, since an even earlier job may have placed it.
Any other attempt is looked up before anything is sent again.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from engine.accounts.connection import SEND_S, Connection
from engine.brokers.order_differences import differences
from engine.brokers.trading import TradingBroker
from engine.errors import BrokerRejected, DataUnavailable, RunStopped
from engine.model.calendar import trading_date
from engine.model.orders import BrokerOrder, OrderIntent
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.model.symbols import canonical_symbol
from engine.record.journal import Journal
from engine.record.open_orders import left_open
from engine.record.run_folder import INPUTS, RunFolder
from engine.record.sealed_limits import config_of
from engine.risk.levels import Level, Scope, judging
from engine.routing.cancels import Cancelling, Target
from engine.routing.controls import TradingControls
from engine.routing.outcomes import ACCOUNT_DOWN, OrderOutcome
from engine.routing.release_check import Allowance, ApprovedOrder, Key, allowed_intents
from engine.routing.state_watch import REASON_UNKNOWN, StateWatch
from engine.routing.submission import Placing, Withheld, answered_before
from engine.routing.symbol_queue import each

ATTEMPTS_AT_ONCE = 32
CLOCK_MARGIN = timedelta(seconds=1)
"""How much earlier than its inputs' time a run's orders may have been accepted, by the broker's clock."""


def carry_out(
    folder: RunFolder, controls: TradingControls, connection: Connection, journal: Journal
) -> dict[int, OrderOutcome]:
    """Send the account's allowed orders and return their outcomes, by row of the batch.

    Raises ``RunStopped`` on SIGTERM, ``BrokerError`` where the broker is down, ``LeaseLost`` and
    ``OrderMismatch``: nothing more is sent then, and the next run resumes this one.
    """
    return _LiveRouting(folder, controls, connection, journal).carry_out()


@dataclass(frozen=True, kw_only=True)
class Failed:
    """An account that failed during the run; ``earlier`` are rows that an earlier job may have sent."""

    account: str
    why: str
    earlier: Collection[int]


def left_behind(
    failed: Failed, intents: Iterable[ApprovedOrder], journal: Journal, reader: TradingBroker
) -> dict[int, OrderOutcome]:
    """Return the outcomes of an account's orders from the record alone; sends no request.

    Answered orders are known. Orders with a request, or that a killed job may have requested, may be at the
    broker. Nothing else was sent, and no further cancel is requested. ``reader`` parses recorded replies.
    """
    replies = _recorded_replies(journal, reader, failed.account)
    answers = _decisive(replies)
    outcomes = {}
    for order in intents:
        client_id = str(order.intent.client_intent_id)
        answer = answers.get(client_id)
        if order.intent.action != "cancel" and answer is not None and not _is_another(order, answer):
            outcomes[order.row] = replace(answered_before(answer), reason=ACCOUNT_DOWN)
        elif order.intent.action != "cancel" and (client_id in replies or order.row in failed.earlier):
            message = f"it may have been sent; the next sync looks for it. {failed.why}"
            outcomes[order.row] = OrderOutcome(
                status="unresolved", reason=ACCOUNT_DOWN, message=message, attempted=True
            )
        else:
            outcomes[order.row] = OrderOutcome(
                status="halted", reason=ACCOUNT_DOWN, message=f"nothing was sent: {failed.why}"
            )
    return outcomes


class _LiveRouting:
    """One run's routing for one account, and whether it was halted."""

    def __init__(
        self, folder: RunFolder, controls: TradingControls, connection: Connection, journal: Journal
    ) -> None:
        self.folder, self.controls, self.connection, self.journal = folder, controls, connection, journal
        self.allowance = Allowance.of(folder, connection.account)
        self.age_limits = config_of(folder).levels("intent_max_age_s")
        self.intents = [
            order for order in allowed_intents(folder) if order.intent.broker_account_id == connection.account
        ]
        self.attempted = journal.attempted()
        self.answers = _decisive(_recorded_replies(journal, connection.broker, connection.account))
        self.found: dict[str, BrokerOrder] = {}
        self.targets = self._targets()
        self._chunks = self._in_chunks()
        self._writing = threading.Lock()
        inputs = folder.json(INPUTS)
        self.halted = _halted_by_the_gate(folder, controls) or _halted_without_a_book(
            inputs, connection.account
        )
        self.states = StateWatch.of(folder, controls)
        read = inputs["broker"][connection.account]
        self.is_same_epoch = read["tenure"] == connection.lease.lease_epoch
        self.decided_at = datetime.fromisoformat(inputs["read_at"])
        self.placing = Placing(
            broker=connection.broker,
            check=self._check,
            not_before=datetime.fromisoformat(read["time"]) - CLOCK_MARGIN,
            stopping=controls.stopping,
            log=controls.log,
            retry_policy=connection.retry_policy,
        )
        self.cancelling = Cancelling(
            broker=connection.broker,
            targets=self.targets,
            log=controls.log,
            retry_policy=connection.retry_policy,
            stopping=controls.stopping,
        )

    def carry_out(self) -> dict[int, OrderOutcome]:
        """Send the orders and return their outcomes, by row."""
        self.allowance.check_all(self.intents)
        total = len(self.intents)
        self.found = self.placing.seek(self._unanswered())
        self.found |= self.placing.listed(self._refused_before())
        self.controls.progress("sending orders", 0, total)
        symbols = {order.key: order.intent.symbol for order in self.intents}
        outcomes = each(
            self.intents,
            self._one,
            queue_of=lambda order: _lane(order, symbols),
            at_once=self.connection.orders_at_once,
            done=lambda count: self.controls.progress("sending orders", count, total),
        )
        self._note_withheld(outcomes)
        return {order.row: outcome for order, outcome in zip(self.intents, outcomes, strict=True)}

    def _one(self, order: ApprovedOrder) -> OrderOutcome:
        if self.controls.stopping():
            raise RunStopped(
                f"Stopped between two orders of run {self.folder.run_id}; the next run goes on there."
            )
        if order.intent.action == "cancel":
            return self.cancelling.cancel(order)
        outcome = self._placed(order)
        if outcome.order is not None:
            self.targets[order.key] = Target(order.intent.strategy_id, outcome.order.broker_order_id)
        return outcome

    def _placed(self, order: ApprovedOrder) -> OrderOutcome:
        """Return the final outcome of sending an order."""
        answer = self.answers.get(str(order.intent.client_intent_id))
        found = self.found.get(str(order.intent.client_intent_id))
        if isinstance(answer, BrokerRejected) and found is None:
            return replace(answered_before(answer), in_doubt=True)
        if isinstance(answer, BrokerOrder) and not _is_another(order, answer):
            return answered_before(answer)
        sought = order.row in self.attempted
        if not sought:
            withheld = self.halted or self._expired(order)
            if withheld is not None:
                return withheld
            why = self.connection.broker.why_refused(order.intent)
            if why:
                return OrderOutcome(status="broker_rejected", reason="not_accepted_by_venue", message=why)
            self._note_attempt(order)
        return self.placing.place(order, sought=sought, found=found)

    def _check(self, order: ApprovedOrder) -> None:
        """Check, right before an order is sent, that it still may be; raises ``Withheld`` where not."""
        if self.controls.stopping():
            raise RunStopped(
                f"Stopped between two orders of run {self.folder.run_id}; the next run goes on there."
            )
        withheld = self.halted or self._halted_now(order) or self._expired(order)
        if withheld is not None:
            raise Withheld(withheld)
        self.allowance.check(order)
        self.connection.lease.hold_for(SEND_S)

    def _halted_now(self, order: ApprovedOrder) -> OrderOutcome | None:
        """Return the outcome of an order that is halted now; what halts all orders is kept."""
        switch = self.controls.kill_switch()
        if switch.on:
            reason, why = "kill_switch_enabled", switch.why
        elif why := self.connection.halted():
            reason = "agent_state_not_ready:HALTED"
        else:
            try:
                return self.states.withheld(order.intent)
            except DataUnavailable as error:
                reason, why = REASON_UNKNOWN, f"the trading states can't be read: {error}"
        self.halted = OrderOutcome(status="halted", reason=reason, message=f"not sent: {why}")
        self.controls.log.event("trading_halted", why, severity="WARNING", reason=reason)
        return self.halted

    def _expired(self, order: ApprovedOrder) -> OrderOutcome | None:
        if not self.is_same_epoch:
            return _not_sent("decision_expired", "another data folder, or machine, traded the account since")
        now, settings = self.controls.clock(), self.folder.start["settings"]
        if trading_date(now, settings["calendar"]) != self.folder.trading_date:
            return _not_sent("decision_expired", f"the session {self.folder.trading_date} is over")
        age_s = (now - self.decided_at).total_seconds()
        if age_s < -CLOCK_SKEW_LIMIT_S:
            return _not_sent("decision_expired", f"the clock was set back to before {self.decided_at}")
        if age_s > settings["decision_max_age_s"]:
            limit = f"{settings['decision_max_age_s']:g} s (EXEC_DECISION_MAX_AGE_S)"
            return _not_sent("decision_expired", f"at its turn, its decision was older than {limit}")
        intent = order.intent
        if intent.valid_until is not None and intent.valid_until < now:
            return _not_sent("intent_expired", f"its turn came after its valid_until, {intent.valid_until}")
        created_at = intent.created_at
        oldest = self._oldest(intent)
        if oldest is not None and not (created_at and (now - created_at).total_seconds() <= oldest.value):
            limit = f"{oldest.value:g} s ({oldest.source})"
            return _not_sent("intent_expired", f"at its turn, it was older than {limit}")
        return None

    def _oldest(self, intent: OrderIntent) -> Level | None:
        """Return the tightest limit on the age of an intent, None where there is none."""
        scope = Scope(intent.broker_account_id, canonical_symbol(intent.symbol), intent.strategy_id)
        return min(judging(self.age_limits, scope), key=lambda level: float(level.value), default=None)

    def _unanswered(self) -> list[str]:
        """Return the client ids of the orders that an earlier job may have sent, without a recorded reply."""
        ids = [str(order.intent.client_intent_id) for order in self.intents if order.row in self.attempted]
        return [client_id for client_id in ids if client_id not in self.answers]

    def _refused_before(self) -> list[str]:
        """Return the client ids of the orders of an earlier job that the broker refused."""
        return [client_id for client_id, answer in self.answers.items() if isinstance(answer, BrokerRejected)]

    def _in_chunks(self) -> Mapping[int, list[ApprovedOrder]]:
        """Return the orders that were never attempted, in chunks, by row."""
        new = [
            order
            for order in self.intents
            if order.intent.action != "cancel" and order.row not in self.attempted
        ]
        chunks = [new[start : start + ATTEMPTS_AT_ONCE] for start in range(0, len(new), ATTEMPTS_AT_ONCE)]
        return {order.row: chunk for chunk in chunks for order in chunk}

    def _note_attempt(self, order: ApprovedOrder) -> None:
        """Write to disk that an order, and those after it in its chunk, may be sent from now on."""
        chunk = self._chunks[order.row]
        with self._writing:
            if not chunk:
                return
            sendable = [one for one in chunk if not self.connection.broker.why_refused(one.intent)]
            self.journal.attempt(
                [{"row": one.row, **self.connection.broker.order_payload(one.intent)} for one in sendable],
                at=self.controls.clock().isoformat(),
            )
            self.controls.sending({one.row: one.intent.symbol for one in sendable})
            chunk.clear()

    def _targets(self) -> dict[Key, Target]:
        """Return the orders that may be cancelled: this batch's, and those that earlier runs left open."""
        earlier = {
            (one.intent.broker_account_id, str(one.intent.client_intent_id)): Target(
                one.intent.strategy_id, one.broker_order_id
            )
            for left in left_open(self.folder.objects, of_account=self.connection.key)
            if left.account_key == self.connection.key
            for one in left.orders
        }
        orders = [order for order in self.intents if order.intent.action != "cancel"]
        return earlier | {order.key: Target(order.intent.strategy_id) for order in orders}

    def _note_withheld(self, outcomes: list[OrderOutcome]) -> None:
        log = self.controls.log
        withheld = [
            (order, outcome)
            for order, outcome in zip(self.intents, outcomes, strict=True)
            if outcome.status not in {"placed", "canceled", "cancel_requested"}
        ]
        log.for_each(
            "trade_refused",
            len(withheld),
            lambda: (
                (
                    f"{order.key[1]} {outcome.status}: {outcome.message}",
                    {"intent_id": order.key[1], "reason": outcome.reason},
                )
                for order, outcome in withheld
            ),
            severity="WARNING",
        )


def _halted_by_the_gate(folder: RunFolder, controls: TradingControls) -> OrderOutcome | None:
    """Return the outcome of every order where the gate is closed, or was when the run began."""
    closed = controls.closed_by or folder.start.get("closed_by")
    if closed is None:
        return None
    reason, why = closed
    remedy = f"Once the gate is open, drop its file again from archive/{folder.trading_date}/."
    return OrderOutcome(status="halted", reason=reason, message=f"not sent: {why} {remedy}")


def _halted_without_a_book(inputs: Mapping[str, Any], account: str) -> OrderOutcome | None:
    """Return the outcome of every order of an account that was unreachable when its orders were decided.

    Its orders were allowed only because ``EXEC_RISK_FAIL_OPEN`` skips rules without data: that setting
    replaces a rule's answer, not the account's positions and orders.
    """
    why = inputs.get("down", {}).get(account)
    if why is None:
        return None
    return OrderOutcome(
        status="halted",
        reason=ACCOUNT_DOWN,
        message=f"not sent: positions and working orders of {account} are unknown. {why}",
    )


def _lane(order: ApprovedOrder, symbols: Mapping[Key, str]) -> Key:
    """Return account and symbol; of a cancel, the symbol of its target order."""
    account = order.intent.broker_account_id
    target = (account, str(order.intent.target_intent_id))
    return account, symbols.get(target) or order.intent.symbol or target[1]


def _recorded_replies(
    journal: Journal, reader: TradingBroker, account: str
) -> dict[str, list[BrokerOrder | BrokerRejected | None]]:
    """Return the recorded replies to the requests for each order of an account, by client id."""
    replies: dict[str, list[BrokerOrder | BrokerRejected | None]] = {}
    for interaction in journal.interactions():
        answered = reader.answer_of(interaction)
        if answered is not None and interaction.account in {"", account}:
            replies.setdefault(answered[0], []).append(answered[1])
    return replies


def _decisive(
    replies: Mapping[str, list[BrokerOrder | BrokerRejected | None]],
) -> dict[str, BrokerOrder | BrokerRejected]:
    """Return the decisive reply for each order, by client id.

    An order overrides everything; a refusal counts only where no request with that id has an unknown outcome.
    """
    found = {}
    for client_id, answers in replies.items():
        orders = [answer for answer in answers if isinstance(answer, BrokerOrder)]
        known = [answer for answer in answers if answer is not None]
        if orders or len(known) == len(answers):
            found[client_id] = (orders or known)[-1]
    return found


def _is_another(order: ApprovedOrder, answer: BrokerOrder | BrokerRejected) -> bool:
    return isinstance(answer, BrokerOrder) and bool(differences(order.intent, answer))


def _not_sent(reason: str, why: str) -> OrderOutcome:
    return OrderOutcome(status="expired", reason=reason, message=f"not sent: {why}")
