"""An execution engine that runs as a batch job.

Strategies only say what they want: order intents, dropped as files. The engine alone decides whether, when
and how an order is placed, and leaves behind a record that explains every decision. The flow, and where
each step lives::

    intent files -> collect -> sealed batch -> risk inputs -> decide -> route -> settle -> results
                    collecting  run folder     deciding       risk      routing  settling

    run           the stages of a run and how to resume one; ``manifest`` is its end, counted and hashed;
                  ``context`` is everything outside, handed in
    collecting    inbox -> batch: ``intake`` reads it file by file, ``intents`` makes checked rows of a file
                  and one sealed order of them all, ``known_rows`` are what the session's earlier runs have
                  sent, and ``putting_away`` takes consumed files out of the inbox
    deciding      stores -> recorded inputs -> ``risk.evaluate`` -> decisions
    trading       a live run's accounts, each for itself: ``routing`` sends, ``settling`` waits for fills
    execution     the same gate for one intent at a time: ``RiskManager``, ``ExecutionEngine``

    syncing       before a live run, and between runs: the broker's book into the stores
    looking_after what earlier runs left open; ``books``, ``reconciling`` compare broker and ledger
    booking       what filled into the ledger; what that can't keep, beside the runs
    withdrawing   cancels of whatever is open
    day           a session's end

    dropping      from Python into the inbox; ``intent_outcomes`` is the way back, a frame per strategy
    rehearsing    files through the stages of a run whose record stays in memory

    venue         an account's broker and the right to send to it (``lease``); ``accounts`` says which
    gate          what stands before a live run; ``agent`` is its state, ``preflight`` what it examines
    journal       what was about to be sent, what was asked and answered

    risk          the rule book, one file per rule, and the sequential scan
    contract      what makes a row an intent; asked by the reader of files and again by the gate
    keeping       what the stores can keep; asked by files, gate and ledger, so that what is sent is booked
    columns       frames of any dtype -> typed numpy columns; ``quantity``: exact units of 1e-9
    schema        columns, dtypes and units of every frame
    printable     text of others, made safe for terminals, logs and spreadsheets
    config        settings and limits, read once, strictly, frozen

    stores        run folders, inbox, embedded store, kill switch, lock
    brokers       the protocol, the dry run, Alpaca

``risk``, ``intents``, ``contract``, ``columns``, ``quantity``, ``schema``, ``inputs``, ``ledger``,
``breaks``, ``side_by_side``, ``reconciling``, ``adjustments``, ``keeping``, ``printable`` are pure: no I/O,
no clock, no environment; import-linter holds them to it. A run's state is which files exist in its folder;
each is written once, whole (``stores.objects``). ``DECISIONS.md`` says why things are as they are.

The names below are the public ones; each is loaded when it is first used, since a run is short.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.api.dropping import drop_intents
    from engine.api.engine import ExecutionEngine, ExecutionResult, RiskDecision, RiskManager
    from engine.api.outcomes import outcomes
    from engine.brokers.alpaca.broker import AlpacaBroker
    from engine.brokers.dry_run import DryRunBroker
    from engine.brokers.protocol import Broker
    from engine.model.orders import BrokerOrder, OrderIntent
    from engine.risk import evaluate
    from engine.risk.inputs import RiskInputs
    from engine.settings.variables import RiskConfig, RunSettings

__version__ = "0.1.0"

_HOMES = {
    "AlpacaBroker": "engine.brokers.alpaca.broker",
    "Broker": "engine.brokers.protocol",
    "BrokerOrder": "engine.model.orders",
    "DryRunBroker": "engine.brokers.dry_run",
    "ExecutionEngine": "engine.api.engine",
    "ExecutionResult": "engine.api.engine",
    "OrderIntent": "engine.model.orders",
    "RiskConfig": "engine.settings.variables",
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
