"""``halt`` and ``recover``: an operator's halt of live trading, kept in data folder and store."""

from __future__ import annotations

import os

from engine.errors import DataUnavailable, EngineError
from engine.record.objects import LocalObjects
from engine.safety.agent_state import Agent, AgentState, State
from engine.safety.halt_mark import HaltMark
from engine.settings.variables import StoreSettings
from jobs.cancel_all import cancel_all
from jobs.control import agent_of, not_everywhere, reason_of, say_where_it_counts
from jobs.setup import read_setup
from jobs.tables import print_json, say


def halt(*, why: str, by: str | None, cancel: bool = False, as_json: bool = False) -> int:
    """Halt the agent and, where ``cancel``, cancel the open orders; return the exit code.

    The halt comes first, and stands whatever the outcome of the cancels.
    """
    reason = reason_of(why)
    try:
        agent = agent_of(by)
        was_halted = _was_halted(agent)
        kept = agent.halt(why=reason)
    except EngineError as error:
        raise not_everywhere(error, state="HALTED", is_marked=_is_marked()) from error
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
    reason = reason_of(why)
    agent = agent_of(by)
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


def _is_marked() -> bool:
    try:
        folder = StoreSettings.from_env(os.environ).data_dir
        return HaltMark(LocalObjects(folder)).read() is not None
    except EngineError:
        return False


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
    say_where_it_counts(agent)
    return 0
