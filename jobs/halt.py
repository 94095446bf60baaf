"""``halt`` and ``recover``: what a person says about live trading, kept in the store of the ledger."""

from __future__ import annotations

import json

import click

from engine.agent import AgentState, State
from engine.errors import EngineError, UsageError
from jobs.world import read_setup


def halt(*, why: str, by: str | None, as_json: bool) -> int:
    """Halt the agent; gives the exit code."""
    reason = _said(why)
    agent = read_setup().agent(by=by)
    try:
        was_halted = agent.state().state is State.HALTED
        kept = agent.halt(why=reason)
    except EngineError as error:
        raise EngineError(
            f"NOT HALTED. {error} To stop live trading without this store, set EXECUTION_HALTED=1, or write "
            f"1 into the file of EXECUTION_HALTED_FILE."
        ) from error
    text = f"The agent is HALTED, no live run starts: {kept.why}. `execution-engine recover` ends that."
    if was_halted:
        text = f"The agent was HALTED before, and its first reason stays: {kept.why}."
    return _tell(kept, text, as_json=as_json)


def recover(*, why: str, by: str | None, as_json: bool) -> int:
    """Lead the agent out of HALTED; gives the exit code."""
    reason = _said(why)
    setup = read_setup()
    agent = setup.agent(by=by)
    was_halted = agent.state().state is State.HALTED
    kept = agent.recover(why=reason)
    if not was_halted:
        return _tell(kept, f"The agent is {kept.state}, not HALTED: nothing to recover.", as_json=as_json)
    text = f"The agent is {kept.state}; the next live run earns READY by its preflight, or says why not."
    if setup.kill_switch.read().on:
        text += " The kill switch is still on."
    return _tell(kept, text, as_json=as_json)


def _said(why: str) -> str:
    if not why.strip():
        raise UsageError("--why is blank; say in a few words what happened: somebody will read it later.")
    return " ".join(why.split())


def _tell(kept: AgentState, text: str, *, as_json: bool) -> int:
    click.echo(json.dumps({"exit_code": 0, "agent": kept.to_document()}) if as_json else text)
    return 0
