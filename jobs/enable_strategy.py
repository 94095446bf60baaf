"""``enable-strategy`` and ``enable-account``: end the latches of what a rule stopped."""

from __future__ import annotations

from dataclasses import asdict

from engine.safety.latches import MODES, KeptLatches
from engine.safety.trading_states import Scope
from jobs.control import agent_of, reason_of, scoped_by
from jobs.known_names import remark_on
from jobs.tables import print_json, say


def enable(
    *, strategy: str | None = None, account: str | None = None, why: str, by: str, as_json: bool
) -> int:
    """End the latches of a strategy or an account, and reset its counts in a row; return the exit code."""
    scoped, reason = scoped_by(strategy=strategy, symbol=None, account=account), reason_of(why)
    agent = agent_of(by)
    ended = {mode: KeptLatches.of_agent(agent, mode).enable(scoped, why=reason) for mode in MODES}
    objects = None if agent.mark is None else agent.mark.objects
    remark = "" if objects is None else remark_on(scoped, objects)
    latches = [{**asdict(one), "mode": mode} for mode, own in ended.items() for one in own]
    if as_json:
        field = "broker_account_id" if scoped.scope is Scope.ACCOUNT else "strategy_id"
        body = {field: scoped.name, "ended": latches, "kept_in": agent.store.place, "remark": remark}
        print_json({"exit_code": 0, **body})
        return 0
    for mode, own in ended.items():
        for one in own:
            say(f"Ended, in {mode} runs: {one}.")
    if latches:
        say(f"{scoped.scope.capitalize()} {scoped.name} is enabled again.")
    else:
        say(f"No rule had stopped {scoped}.")
    if scoped.scope is Scope.STRATEGY:
        say("From now on its refusals in a row are counted anew.")
    else:
        say("A loss that is still at its limit stops it again.")
    say(f"Kept in {agent.store.place}.")
    if remark:
        say(f"To note: {remark}", color="red")
    return 0
