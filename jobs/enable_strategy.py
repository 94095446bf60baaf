"""``enable-strategy``: end the latches of a strategy that a rule stopped."""

from __future__ import annotations

from dataclasses import asdict

from engine.safety.latches import MODES, KeptLatches
from jobs.control import agent_of, reason_of, scoped_by
from jobs.known_names import remark_on
from jobs.tables import print_json, say


def enable_strategy(name: str, *, why: str, by: str, as_json: bool) -> int:
    """End the latches of a strategy and reset its counts in a row; return the exit code."""
    scoped, reason = scoped_by(strategy=name, symbol=None, account=None), reason_of(why)
    agent = agent_of(by)
    ended = {mode: KeptLatches.of_agent(agent, mode).enable(scoped.name, why=reason) for mode in MODES}
    objects = None if agent.mark is None else agent.mark.objects
    remark = "" if objects is None else remark_on(scoped, objects)
    latches = [{**asdict(one), "mode": mode} for mode, own in ended.items() for one in own]
    if as_json:
        body = {"strategy_id": scoped.name, "ended": latches, "kept_in": agent.store.place, "remark": remark}
        print_json({"exit_code": 0, **body})
        return 0
    for mode, own in ended.items():
        for one in own:
            say(f"Ended, in {mode} runs: {one}.")
    if latches:
        say(f"Strategy {scoped.name} is enabled again.")
    else:
        say(f"No rule had stopped strategy {scoped.name}.")
    say("From now on its refusals in a row are counted anew.")
    say(f"Kept in {agent.store.place}.")
    if remark:
        say(f"To note: {remark}", color="red")
    return 0
