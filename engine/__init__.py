"""An execution engine that runs as a batch job.

Strategies only say what they want: order intents, dropped as files. The engine alone decides whether, when
and how an order is placed, and leaves behind a record that explains every decision. The flow, and where
each step lives::

    intent files -> collect -> sealed batch -> risk inputs -> decide -> route -> fills -> results
                    run/       record/         run/           risk/     routing/          record/

    api             one intent at a time: ``ExecutionEngine``, ``RiskManager``; ``drop_intents`` into the
                    inbox, ``outcomes`` as the way back; ``rehearsal`` for ``check``
    run             the stages of a run and how to resume one (``stages``): ``collect``, ``decide``, trade,
                    ``manifest``
    reconciliation  broker against ledger: ``sync`` before a live run and between runs, breaks, adjustments,
                    orders that earlier runs left open
    routing         each allowed order sent exactly once, cancels, the wait for fills, and what filled booked
    context         what a run may touch, handed in as one
    accounts        which broker accounts there are, and the connection of a live run to each
    safety          what must hold before an order may leave: trading gate, agent state, preflight, lease,
                    kill switch, lock, and whether the stores are those of the runs before
    stores          positions, ledger and the agent's documents: ``embedded``, ``postgres``, ``firestore``;
                    the ``inbox``
    record          the run folders: files written once, whole, and hashed; journal, open orders, late fills
    brokers         the protocol, the dry run, ``alpaca``
    risk            the rule book (``book``, one file per rule in ``rules``), the limits file, the sequential
                    scan, and the inputs it decides by
    intents         the text of a file -> checked rows -> one sealed batch
    market_data     quotes and average volumes, and the files that they may come from
    log             log events
    settings        environment and accounts file -> frozen settings
    ledger          fills -> ledger documents, and what they sum to
    model           orders, quantities, symbols, sessions, the contract of an intent, the columns of frames
    waiting         the deadline, the pause, the backoff, the retry policy, the bounded call
    errors, text    the tree of errors; text of others made safe to show

A room imports only from those below it. ``risk``, ``intents``, ``ledger``, ``model`` (the calendar's table
excepted), ``text`` and the comparing half of ``reconciliation`` are pure: no I/O, no clock, no environment;
import-linter holds them to both. A run's state is which files exist in its folder; each is written once,
whole (``record.objects``). ``DECISIONS.md`` says why things are as they are.

The names below are the public ones; each is loaded when it is first used, since a run is short.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from engine.model.version import __version__

if TYPE_CHECKING:
    from engine.api.dropping import drop_intents
    from engine.api.engine import ExecutionEngine, ExecutionResult, RiskDecision, RiskManager
    from engine.api.outcomes import outcomes
    from engine.brokers.chosen import AlpacaBroker
    from engine.brokers.dry_run import DryRunBroker
    from engine.brokers.protocol import Broker
    from engine.model.orders import BrokerOrder, OrderIntent
    from engine.risk import evaluate
    from engine.risk.config import RiskConfig
    from engine.risk.inputs import RiskInputs
    from engine.settings.variables import RunSettings


_HOMES = {
    "AlpacaBroker": "engine.brokers.chosen",
    "Broker": "engine.brokers.protocol",
    "BrokerOrder": "engine.model.orders",
    "DryRunBroker": "engine.brokers.dry_run",
    "ExecutionEngine": "engine.api.engine",
    "ExecutionResult": "engine.api.engine",
    "OrderIntent": "engine.model.orders",
    "RiskConfig": "engine.risk.config",
    "RiskDecision": "engine.api.engine",
    "RiskInputs": "engine.risk.inputs",
    "RiskManager": "engine.api.engine",
    "RunSettings": "engine.settings.variables",
    "drop_intents": "engine.api.dropping",
    "evaluate": "engine.risk",
    "outcomes": "engine.api.outcomes",
}

__all__ = [
    "AlpacaBroker",
    "Broker",
    "BrokerOrder",
    "DryRunBroker",
    "ExecutionEngine",
    "ExecutionResult",
    "OrderIntent",
    "RiskConfig",
    "RiskDecision",
    "RiskInputs",
    "RiskManager",
    "RunSettings",
    "__version__",
    "drop_intents",
    "evaluate",
    "outcomes",
]


def __getattr__(name: str) -> object:
    """Load a public name from its home at first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value
