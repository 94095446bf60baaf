"""What an operator's commands act on: the agent and the trading states, by the settings of the stores alone.

Errors in other settings must not prevent a halt.
"""

from __future__ import annotations

import os

from engine.errors import ConfigurationError, EngineError, UsageError
from engine.log import EventLog
from engine.model.contract import is_well_formed
from engine.model.symbols import canonical_symbol
from engine.record.modes import Modes
from engine.record.objects import LocalObjects
from engine.safety.agent_state import Agent, process_name
from engine.safety.halt_mark import HaltMark
from engine.safety.trading_states import EVERYTHING, Scope, Scoped
from engine.settings.variables import StoreSettings
from engine.stores.chosen import choose_stores
from engine.stores.embedded.store import EmbeddedStore
from engine.text.masking import shown_text
from engine.text.plain_text import trimmed
from jobs.tables import say

_FIELDS = {Scope.STRATEGY: "strategy_id", Scope.SYMBOL: "symbol", Scope.ACCOUNT: "broker_account_id"}


def agent_of(by: str | None) -> Agent:
    """Return the agent, for an operator who acts as ``by``."""
    settings = StoreSettings.from_env(os.environ)
    objects = LocalObjects(settings.data_dir, Modes.of(group_access=settings.group_access))
    agent = choose_stores(settings).agent
    return Agent(agent, EventLog(), by or process_name(), mark=HaltMark(objects))


def reason_of(why: str) -> str:
    """Return a reason on one line. Raises ``UsageError`` where it is blank."""
    if not why.strip():
        raise UsageError("--why is blank. Write in a few words what happened: operators will read it later.")
    return " ".join(why.split())


def scoped_by(*, strategy: str | None, symbol: str | None, account: str | None) -> Scoped:
    """Return what the options name; all trading where there is none.

    Raises ``UsageError`` for more than one of them, and for a name that no intent can have.
    """
    options = {Scope.STRATEGY: strategy, Scope.SYMBOL: symbol, Scope.ACCOUNT: account}
    named = {scope: trimmed(text) for scope, text in options.items() if text is not None}
    if len(named) > 1:
        found = " and ".join(f"--{scope}" for scope in named)
        raise UsageError(f"{found} are both given; expected one. Run the command once for each.")
    for scope, text in named.items():
        name = canonical_symbol(text) if scope is Scope.SYMBOL else text
        if not is_well_formed(_FIELDS[scope], name):
            raise UsageError(
                f"--{scope} is {shown_text(text)}; expected a name as intents write it in {_FIELDS[scope]}."
            )
        return Scoped(scope, name)
    return EVERYTHING


def not_everywhere(error: EngineError, *, state: str, is_marked: bool) -> EngineError:
    """Return the error of a state that the store did not keep; the data folder's mark may still count."""
    kind = ConfigurationError if error.exit_code == ConfigurationError.exit_code else EngineError
    otherwise = (
        "To stop live trading without this store, set EXECUTION_HALTED=1, or write 1 into the file of "
        "EXECUTION_HALTED_FILE."
    )
    if not is_marked:
        return kind(f"NOT {state}. {error} {otherwise}")
    folder = StoreSettings.from_env(os.environ).data_dir
    stop = "its live runs stop" if state == "HALTED" else "its live runs keep to it"
    return kind(
        f"{state} FOR {folder} ALONE: {stop}, those of other data folders do not. {error} "
        f"Run the command again once the store can be written. {otherwise}"
    )


def say_where_it_counts(agent: Agent) -> None:
    """Print that a live run with another store would not see what was kept, where that may happen."""
    if isinstance(agent.store, EmbeddedStore) and not os.environ.get("EXEC_STORE"):
        say("No Firestore project is set here: a live run with one looks there, and does not see this.")
