"""``halt`` and ``recover``: what a person says about live trading, kept in the store of the ledger."""

from __future__ import annotations

import os

from engine.agent import Agent, AgentState, State, whoever_acts
from engine.config import StoreSettings
from engine.errors import ConfigurationError, EngineError, UsageError
from engine.log import EventLog
from engine.stores.chosen import choose_stores
from engine.stores.embedded import EmbeddedStore
from jobs.cancel_all import cancel_all
from jobs.tables import print_json, say
from jobs.world import read_setup


def halt(*, why: str, by: str | None, cancel: bool = False, as_json: bool = False) -> int:
    """Halt the agent and, where ``cancel``, withdraw what is open; gives the exit code.

    The halt comes first, and stands whatever becomes of the cancels.
    """
    reason = _said(why)
    try:
        agent = _agent(by)
        was_halted = agent.state().state is State.HALTED
        kept = agent.halt(why=reason)
    except EngineError as error:
        kind = ConfigurationError if isinstance(error, ConfigurationError) else EngineError
        raise kind(
            f"NOT HALTED. {error} To stop live trading without this store, set EXECUTION_HALTED=1, or write "
            f"1 into the file of EXECUTION_HALTED_FILE."
        ) from error
    text = f"The agent is HALTED: {kept.why}. `execution-engine recover` ends that."
    if was_halted:
        text = f"The agent was HALTED before, and its first reason stays: {kept.why}."
    if not cancel:
        return _tell(kept, text, agent, as_json=as_json)
    if not as_json:
        _tell(kept, text, agent, as_json=False)
    return cancel_all(symbol=None, strategy=None, account=None, as_json=as_json)


def recover(*, why: str, by: str | None, as_json: bool) -> int:
    """Lead the agent out of HALTED; gives the exit code."""
    reason = _said(why)
    agent = _agent(by)
    was_halted = agent.state().state is State.HALTED
    kept = agent.recover(why=reason)
    if not was_halted:
        text = f"The agent is {kept.state}, not HALTED: nothing to recover."
        return _tell(kept, text, agent, as_json=as_json)
    text = f"The agent is {kept.state}; the next live run earns READY by its preflight, or says why not."
    if read_setup().kill_switch.read().on:
        text += " The kill switch is still on."
    return _tell(kept, text, agent, as_json=as_json)


def _said(why: str) -> str:
    if not why.strip():
        raise UsageError("--why is blank; say in a few words what happened: somebody will read it later.")
    return " ".join(why.split())


def _agent(by: str | None) -> Agent:
    """Give the agent by the settings of the stores alone: a mistake in others must not prevent a halt."""
    stores = choose_stores(StoreSettings.from_env(os.environ))
    return Agent(stores.agent, EventLog(), by or whoever_acts())


def _tell(kept: AgentState, text: str, agent: Agent, *, as_json: bool) -> int:
    """Say what is kept, and where: a halt counts for the live runs that look at the same place."""
    place = agent.store.place
    if as_json:
        print_json({"exit_code": 0, "agent": kept.to_document(), "kept_in": place})
        return 0
    say(text)
    for_whom = ": no live run that keeps its ledger there starts while the agent is HALTED"
    say(f"Kept in {place}{for_whom if kept.state is State.HALTED else ''}.")
    if isinstance(agent.store, EmbeddedStore) and not os.environ.get("EXEC_STORE"):
        say("No Firestore project is set here: a live run with one looks there, and does not see this.")
    return 0
