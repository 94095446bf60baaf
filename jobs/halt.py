"""``halt`` and ``recover``: an operator's halt of live trading, kept in data folder and store."""

from __future__ import annotations

import os

from engine.errors import ConfigurationError, DataUnavailable, EngineError, UsageError
from engine.log import EventLog
from engine.record.modes import Modes
from engine.record.objects import LocalObjects
from engine.safety.agent_state import Agent, AgentState, State, process_name
from engine.safety.halt_mark import HaltMark
from engine.settings.variables import StoreSettings
from engine.stores.chosen import choose_stores
from engine.stores.embedded.store import EmbeddedStore
from jobs.cancel_all import cancel_all
from jobs.tables import print_json, say
from jobs.world import read_setup


def halt(*, why: str, by: str | None, cancel: bool = False, as_json: bool = False) -> int:
    """Halt the agent and, where ``cancel``, cancel the open orders; return the exit code.

    The halt comes first, and stands whatever the outcome of the cancels.
    """
    reason = _reason(why)
    try:
        agent = _agent(by)
        was_halted = _was_halted(agent)
        kept = agent.halt(why=reason)
    except EngineError as error:
        raise _not_everywhere(error) from error
    text = f"The agent is HALTED: {kept.why}. `execution-engine recover` ends that."
    if was_halted:
        text = f"The agent was HALTED before, and its first reason stays: {kept.why}."
    if not cancel:
        return _print_kept(kept, text, agent, as_json=as_json)
    if not as_json:
        _print_kept(kept, text, agent, as_json=False)
    return cancel_all(symbol=None, strategy=None, account=None, as_json=as_json)


def recover(*, why: str, by: str | None, as_json: bool) -> int:
    """End the agent's halt; return the exit code."""
    reason = _reason(why)
    agent = _agent(by)
    was_halted = agent.state().state is State.HALTED
    kept = agent.recover(why=reason)
    if not was_halted:
        text = f"The agent is {kept.state}, not HALTED: nothing to recover."
        return _print_kept(kept, text, agent, as_json=as_json)
    text = f"The agent is {kept.state}; the next live run earns READY by its preflight, or says why not."
    if read_setup().kill_switch.read().on:
        text += " The kill switch is still on."
    return _print_kept(kept, text, agent, as_json=as_json, was_halted=True)


def _was_halted(agent: Agent) -> bool:
    """Return whether the agent is halted already; False where the store is down: it fails the halt."""
    try:
        return agent.state().state is State.HALTED
    except DataUnavailable:
        return False


def _reason(why: str) -> str:
    if not why.strip():
        raise UsageError("--why is blank. Write in a few words what happened: operators will read it later.")
    return " ".join(why.split())


def _not_everywhere(error: EngineError) -> EngineError:
    """Return the error of a halt that the store did not keep; the data folder's mark may still count."""
    kind = ConfigurationError if error.exit_code == ConfigurationError.exit_code else EngineError
    otherwise = (
        "To stop live trading without this store, set EXECUTION_HALTED=1, or write 1 into the file of "
        "EXECUTION_HALTED_FILE."
    )
    try:
        folder = StoreSettings.from_env(os.environ).data_dir
        is_marked = HaltMark(LocalObjects(folder)).read() is not None
    except EngineError:
        is_marked = False
    if is_marked:
        return kind(
            f"HALTED FOR {folder} ALONE: its live runs stop, those of other data folders do not. {error} "
            f"Run halt again once the store can be written. {otherwise}"
        )
    return kind(f"NOT HALTED. {error} {otherwise}")


def _agent(by: str | None) -> Agent:
    """Return the agent, from the settings of the stores alone: errors in others must not prevent a halt."""
    settings = StoreSettings.from_env(os.environ)
    objects = LocalObjects(settings.data_dir, Modes.of(group_access=settings.group_access))
    agent = choose_stores(settings).agent
    return Agent(agent, EventLog(), by or process_name(), mark=HaltMark(objects))


def _print_kept(kept: AgentState, text: str, agent: Agent, *, as_json: bool, was_halted: bool = False) -> int:
    """Print what is kept, and where: a halt counts for the live runs that use the same store."""
    place = agent.store.place
    if as_json:
        print_json({"exit_code": 0, "agent": kept.to_document(), "kept_in": place})
        return 0
    say(text)
    for_whom = ": no live run that keeps its ledger there starts while the agent is HALTED"
    is_halted = kept.state is State.HALTED
    say(f"Kept in {place}{for_whom if is_halted else ''}.")
    is_marked = agent.mark is not None and agent.mark.read() is not None
    if is_halted and is_marked:
        say("The data folder is marked as well, and stays halted if that store is lost.")
    elif is_halted:
        say("The data folder could NOT be marked: run halt again once it can be written.", color="red")
    elif was_halted:
        say("The mark of the halt in the data folder is cleared as well.")
    if isinstance(agent.store, EmbeddedStore) and not os.environ.get("EXEC_STORE"):
        say("No Firestore project is set here: a live run with one looks there, and does not see this halt.")
    return 0
