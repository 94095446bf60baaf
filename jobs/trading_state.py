"""``state``, and ``halt`` and ``recover`` of one account, symbol or strategy."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from engine.errors import EngineError, UsageError
from engine.safety.agent_state import Agent, State
from engine.safety.trading_states import (
    ACTIVE,
    EVERYTHING,
    HALTED,
    REDUCING,
    KeptStates,
    Scope,
    Scoped,
    TradingState,
)
from jobs.cancel_all import cancel_all
from jobs.control import agent_of, not_everywhere, reason_of, say_where_it_counts
from jobs.known_names import remark_on
from jobs.stops import as_records, print_states
from jobs.tables import print_json, say


def halt_scope(scoped: Scoped, *, why: str, by: str | None, cancel: bool, as_json: bool) -> int:
    """Halt an account, a symbol or a strategy and, where ``cancel``, cancel its orders; return the exit code.

    The halt comes first, and stands whatever the outcome of the cancels.
    """
    agent, reason = agent_of(by), reason_of(why)
    kept = KeptStates.of_agent(agent)
    entry, was_set = _set(kept, scoped, HALTED, reason)
    first = f"{entry}. {entry.remedy} ends that."
    if not was_set:
        first = f"It was so before, and the first reason stays: {first}"
    body = _record(entry, kept, agent)
    if not as_json:
        _say_kept(entry, first, kept, agent)
    if not cancel:
        if as_json:
            print_json({"exit_code": 0, **body})
        return 0
    return cancel_all(
        symbol=scoped.name if scoped.scope is Scope.SYMBOL else None,
        strategy=scoped.name if scoped.scope is Scope.STRATEGY else None,
        account=scoped.name if scoped.scope is Scope.ACCOUNT else None,
        as_json=as_json,
        beside=body,
    )


def recover_scope(scoped: Scoped, *, why: str, by: str | None, as_json: bool) -> int:
    """End the halt of an account, a symbol or a strategy; return the exit code."""
    reason = reason_of(why)
    return _end(scoped, HALTED, KeptStates.of_agent(agent_of(by)), why=reason, as_json=as_json)


def set_state(scoped: Scoped, word: str, *, why: str | None, by: str | None, as_json: bool) -> int:
    """Set a scope to REDUCING, or end that; return the exit code.

    Raises ``UsageError`` where it is HALTED and ``word`` is active: only ``recover`` ends a halt.
    """
    if why is None:
        raise UsageError(f"state {word} needs --why: operators will read it later.")
    if word == "halted":
        raise UsageError(
            f"`execution-engine halt{scoped.option} --why …` halts; state sets reducing or active."
        )
    agent, reason = agent_of(by), reason_of(why)
    kept = KeptStates.of_agent(agent)
    if word == "active":
        _check_not_halted(scoped, kept, agent)
        return _end(scoped, REDUCING, kept, why=reason, as_json=as_json)
    entry, was_set = _set(kept, scoped, REDUCING, reason)
    text = f"{entry}. {entry.remedy} ends that."
    if not was_set:
        text = f"It was so before, and the first reason stays: {text}"
    if as_json:
        print_json({"exit_code": 0, **_record(entry, kept, agent)})
        return 0
    _say_kept(entry, text, kept, agent)
    return 0


def show_state(*, as_json: bool) -> int:
    """Print the trading states; return the exit code."""
    agent = agent_of(None)
    whole, states = agent.state(), KeptStates.of_agent(agent).read()
    trading = HALTED if whole.state is State.HALTED else states.of(EVERYTHING)
    if as_json:
        body = {"trading_state": trading, "agent": whole.to_document(), "states": as_records(states)}
        print_json({"exit_code": 0, **body, "kept_in": agent.store.place})
        return 0
    say(f"Trading is {trading}.", color=None if trading == ACTIVE else "red")
    if whole.state is State.HALTED:
        say(f"The agent is HALTED: {whole.why}. `execution-engine recover` ends that.")
    print_states(states)
    say(f"Kept in {agent.store.place}.")
    return 0


def _set(kept: KeptStates, scoped: Scoped, state: str, why: str) -> tuple[TradingState, bool]:
    """Set a state; return its entry, and whether it did not hold before."""
    try:
        was_marked = kept.is_marked(scoped, state)
        was_set = kept.set(scoped, state, why=why) and not was_marked
    except EngineError as error:
        raise not_everywhere(error, state=state, is_marked=_has_mark(kept, scoped, state)) from error
    entries = kept.read().entries
    return next(entry for entry in entries if entry.key == (scoped, state)), was_set


def _has_mark(kept: KeptStates, scoped: Scoped, state: str) -> bool:
    try:
        return kept.is_marked(scoped, state)
    except EngineError:
        return False


def _check_not_halted(scoped: Scoped, kept: KeptStates, agent: Agent) -> None:
    if scoped == EVERYTHING and (whole := agent.state()).state is State.HALTED:
        raise UsageError(
            f"The agent is HALTED: {whole.why}. `execution-engine recover` ends that, not `state active`."
        )
    halted = next((one for one in kept.read().entries if one.key == (scoped, HALTED)), None)
    if halted is not None:
        raise UsageError(f"{halted}. {halted.remedy} ends that, not `state active`.")


def _record(entry: TradingState, kept: KeptStates, agent: Agent) -> dict[str, Any]:
    return {
        "trading_state": asdict(entry),
        "kept_in": agent.store.place,
        "is_marked": _has_mark(kept, entry.of, entry.state),
        "remark": _remark(entry.of, kept),
    }


def _remark(scoped: Scoped, kept: KeptStates) -> str:
    return "" if kept.marks is None else remark_on(scoped, kept.marks.objects)


def _say_kept(entry: TradingState, text: str, kept: KeptStates, agent: Agent) -> None:
    say(text[:1].upper() + text[1:])
    say(f"Kept in {agent.store.place}: it counts for every run that keeps its ledger there.")
    if _has_mark(kept, entry.of, entry.state):
        say("The data folder is marked as well, and keeps to it if that store is lost.")
    else:
        say("The data folder could NOT be marked: run it again once it can be written.", color="red")
    if remark := _remark(entry.of, kept):
        say(f"To note: {remark}", color="red")
    say_where_it_counts(agent)


def _end(scoped: Scoped, state: str, kept: KeptStates, *, why: str, as_json: bool) -> int:
    has_ended = kept.end(scoped, state, why=why)
    states = kept.read()
    now, place = states.of(scoped), kept.store.place
    if as_json:
        body = {"scope": str(scoped.scope), "name": scoped.name, "state": now, "has_ended": has_ended}
        print_json({"exit_code": 0, **body, "states": as_records(states), "kept_in": place})
        return 0
    name = str(scoped)
    if not has_ended:
        verb = "recover" if state == HALTED else "end"
        say(f"{name[:1].upper()}{name[1:]} is {now}, not {state}: nothing to {verb}.")
        if remark := _remark(scoped, kept):
            say(f"To note: {remark}")
    else:
        say(f"{name[:1].upper()}{name[1:]} is {now}: {state} is cleared in {place} and in the data folder.")
    for entry in states.in_force:
        say(f"Still in force: {entry}. {entry.remedy} ends that.")
    return 0
