"""The trading states of a run's remaining orders, read again before each order is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import cache, partial

from engine.log import EventLog
from engine.model.orders import OrderIntent
from engine.model.symbols import canonical_symbol
from engine.record.run_folder import INPUTS, RunFolder
from engine.routing.controls import TradingControls
from engine.routing.outcomes import OrderOutcome
from engine.routing.reducing_orders import reducing_orders
from engine.safety.trading_states import HALTED, REDUCING, Scope, Scoped, TradingState, TradingStates

REASON_UNKNOWN = "trading_state_unknown"
"""The reason where the trading states can't be read."""
_REASON, _FRAME = "trading_state_", "trading_states"


def reason_of(entry: TradingState) -> str:
    """Return the reason of orders that a state withholds: ``trading_state_halted:strategy``."""
    return f"{_REASON}{entry.state.lower()}:{entry.scope}"


def scope_of(reason: str, *, account: str, symbol: str, strategy: str) -> Scoped | None:
    """Return the scope that withheld an order, from the reason; None for any other reason."""
    if not reason.startswith(_REASON) or ":" not in reason:
        return None
    scope = Scope(reason.partition(":")[2])
    names = {Scope.ACCOUNT: account, Scope.SYMBOL: canonical_symbol(symbol), Scope.STRATEGY: strategy}
    return Scoped(scope, names.get(scope, ""))


@dataclass
class StateWatch:
    """What withholds single orders of a run: scopes that were HALTED or REDUCING after its decisions.

    ``read`` raises ``DataUnavailable``. ``judged_under``: the scopes that were REDUCING when the run was
    decided, whose rule its orders have passed. ``reducing``: the accounts and ids of orders that reduce a
    position, which REDUCING lets pass at any time. A scope that once withheld an order withholds the rest of
    its orders for as long as the run lasts.
    """

    read: Callable[[], TradingStates]
    trading_date: date
    log: EventLog
    judged_under: frozenset[Scoped] = frozenset()
    reducing: Callable[[], frozenset[tuple[str, str]]] = frozenset
    _withholding: dict[Scoped, TradingState] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: RunFolder, controls: TradingControls) -> StateWatch:
        """Return the watch over a run's orders; its recorded inputs have what its decisions knew."""
        return cls(
            controls.trading_states,
            folder.trading_date,
            controls.log,
            _judged_under(folder),
            cache(partial(reducing_orders, folder)),
        )

    def withheld(self, intent: OrderIntent) -> OrderOutcome | None:
        """Return the outcome of an order that may not be sent now, None where it may.

        Raises ``DataUnavailable``.
        """
        order = {
            "account": intent.broker_account_id,
            "symbol": intent.symbol,
            "strategy": intent.strategy_id,
        }
        entries = self.read().of_order(**order)
        was_judged = any(entry.of in self.judged_under for entry in entries)
        now = [one for one in entries if one.state == HALTED or not was_judged]
        before = [one for one in list(self._withholding.values()) if one.of.has(**order)]
        is_reducing = any(one.state == REDUCING for one in (*now, *before))
        if is_reducing and (intent.broker_account_id, intent.client_intent_id) in self.reducing():
            now, before = ([one for one in kept if one.state == HALTED] for kept in (now, before))
        if not now and not before:
            return None
        entry = (before or now)[0]
        if entry.of not in self._withholding:
            self._withholding[entry.of] = entry
            self.log.event(
                "trading_halted",
                str(entry),
                severity="WARNING",
                reason=reason_of(entry),
                scope=entry.scope,
                name=entry.name,
            )
        return OrderOutcome(status="halted", reason=reason_of(entry), message=self._message(entry))

    def _message(self, entry: TradingState) -> str:
        again = f"drop its file again from archive/{self.trading_date}/"
        if entry.state == REDUCING:
            return f"not sent: {entry}, since after it was decided. To have it judged under that, {again}."
        return f"not sent: {entry}. {entry.remedy} ends that; then {again}."


def _judged_under(folder: RunFolder) -> frozenset[Scoped]:
    name = f"{_FRAME}.parquet"
    if name not in folder.names() or _FRAME in folder.json(INPUTS)["unavailable"]:
        return frozenset()
    rows = folder.table(name, ["scope", "name", "state"]).to_pylist()
    return frozenset(Scoped.of(row["scope"], row["name"]) for row in rows if row["state"] == REDUCING)
