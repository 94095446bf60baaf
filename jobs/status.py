"""``status``: the latest runs, the inbox, the kill switch, and whether the gate would open."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from engine.errors import ConfigurationError, EngineError, RecordError
from engine.record.objects import LocalObjects
from engine.record.open_orders import OpenOrder, left_open
from engine.record.run_folder import MANIFEST, RunFolder, RunFolders
from engine.run.put_away import left_before, shortened
from engine.safety.agent_state import Agent, AgentState, State
from engine.safety.lock import holder
from engine.safety.trading_gate import Refusal
from jobs.run_exceptions import how_it_ended
from jobs.setup import Setup, read_setup
from jobs.stops import print_stops, read_stops
from jobs.tables import print_json, print_table, say
from jobs.wording import amount

_FIGURES = ("dropped", "allowed", "refused", "quarantined", "duplicate")
_LIVE_FIGURES = ("sent", "cancels", "fills")


def status(*, count: int, as_json: bool) -> int:
    """Print the state of the data folder; return the exit code.

    Raises ``RecordError`` where a run is damaged, after printing everything else.
    """
    setup = read_setup()
    switch = setup.kill_switch.read()
    waiting, left = _inbox(setup)
    at_work = holder(setup.data_dir)
    gate = setup.gate(checks={})
    kept = gate.kept()
    faults = _faults(setup)
    agent, standing = _agent(*kept, setup, faults), gate.standing(switch, kept)
    folders = RunFolders(LocalObjects(setup.data_dir)).all()
    runs = [_describe(folder, at_work) for folder in folders[-count:]]
    damaged = [run["damaged"] for run in runs if "damaged" in run]
    turned_away = _turned_away(gate.agent, folders)
    stops = read_stops(gate.agent, setup.overrides)
    still_open = [order for left in left_open(setup.objects) for order in left.orders]
    if as_json:
        body: dict[str, Any] = {"data_dir": str(setup.data_dir), "inbox": waiting, "left": left, "runs": runs}
        body |= {"kill_switch": {"on": switch.on, "why": switch.why}, "dry_run": setup.settings.dry_run}
        body |= {"agent": agent, "gate": {"closed_by": [asdict(refusal) for refusal in standing]}}
        body |= {"stores_changed": faults, "turned_away": turned_away}
        body |= {"stores": {"positions": setup.stores.positions.place, "ledger": setup.stores.ledger.place}}
        body |= {"open_orders": [_open_order(order) for order in still_open]}
        body |= stops.record()
        exit_code = RecordError.exit_code if damaged else 0
        print_json({"exit_code": exit_code, **body})
        return exit_code
    if runs:
        live = any(run["mode"] == "live" for run in runs)
        numbers = [*_FIGURES, *(_LIVE_FIGURES if live else ())]
        rows = [
            (run["run_id"], run["trading_date"], run["state"], *(run.get(n, "") for n in numbers))
            for run in runs
        ]
        print_table("Runs, latest last", ("run", "session", "state", *numbers), rows, right=numbers)
    else:
        say(f"No runs yet in {setup.data_dir}.")
    say()
    shown = ", ".join(waiting[:5]) + (", …" if len(waiting) > 5 else "")
    nothing = "no file that a run would read" if left else "empty"
    say(f"Inbox: {f'{len(waiting)} waiting ({shown})' if waiting else nothing}")
    if left:
        from jobs.report import print_left

        print_left(left)
        say()
    state = f"ON. {switch.why}" if switch.on else "off"
    say(f"Kill switch: {state}", color="red" if switch.on else None)
    _print_gate(agent, standing, faults, setup)
    print_stops(stops)
    if turned_away is not None:
        text = f"A live run was turned away at {turned_away['at'][:19]} UTC ({turned_away['by']}): "
        say(f"{text}{', '.join(turned_away['reasons'])}. {turned_away['why']}", color="red")
    _print_open(still_open)
    say(f"Positions: {setup.stores.positions.place} · ledger: {setup.stores.ledger.place}")
    _check_none(damaged)
    return 0


def _check_none(damaged: list[str]) -> None:
    if damaged:
        raise RecordError(damaged[0])


def _turned_away(agent: Agent, folders: list[RunFolder]) -> dict[str, Any] | None:
    """Return why the latest live run was refused at the gate; None where one has begun since."""
    found = agent.turned_away()
    begun = max(map(_live_since, folders), default="")
    return found if found is not None and found["at"] > begun else None


def _live_since(folder: RunFolder) -> str:
    """Return when a live run began; "" for a dry run, and for a damaged record."""
    try:
        return str(folder.start["as_of"]) if folder.start["mode"] == "live" else ""
    except RecordError:
        return ""


def _agent(kept: AgentState | None, why: str, setup: Setup, faults: list[str]) -> dict[str, Any]:
    """Return the agent's state, unknown where the store isn't the one of the live runs.

    A halt counts in any store.
    """
    if kept is not None and kept.state is not State.HALTED:
        why = _not_of_live_runs(kept, setup, faults)
    if kept is None or why:
        return {"state": "unknown", "why": why, "transitions": []}
    return {**kept.to_document(), "why": kept.why}


def _not_of_live_runs(kept: AgentState, setup: Setup, faults: list[str]) -> str:
    """Return why a state is not that of this data folder's live runs, "" where it is."""
    if faults:
        return (
            "the store that keeps it is not the one that the latest live run used, or is an older copy of it."
        )
    if not kept.transitions and _has_traded(setup):
        return (
            f"live runs of this data folder have kept a state, and {setup.stores.agent.place} has none. "
            f"Check that the settings name the stores of the live runs; a live run reports what is wrong."
        )
    return ""


def _has_traded(setup: Setup) -> bool:
    try:
        return setup.generations.has_begun()
    except RecordError:
        return True


def _faults(setup: Setup) -> list[str]:
    """Return what is wrong with the stores of live runs, or why that is unknown."""
    if setup.settings.dry_run:
        return []
    try:
        return setup.generations.faults()
    except EngineError as error:
        return [str(error)]


def _print_gate(agent: dict[str, Any], standing: list[Refusal], faults: list[str], setup: Setup) -> None:
    link = ". " if agent["state"] == "unknown" else ": "
    say(f"Agent: {agent['state']}{link}{agent['why']}", color="red" if agent["state"] == "HALTED" else None)
    if setup.settings.dry_run:
        say("Live trading: not asked for (EXEC_DRY_RUN is on)")
        return
    try:
        setup.check_start()
        setup.preflight()
    except ConfigurationError as error:
        say(f"Live trading: can't start. {error}", color="red")
        return
    for fault in faults:
        say(f"Live trading: can't start. {fault}", color="red")
    if standing:
        say(f"Live trading: refused, {', '.join(refusal.reason for refusal in standing)}", color="red")
    elif not faults:
        say("Live trading: the gate opens if the preflight holds (`execution-engine doctor` tries it)")


def _open_order(left: OpenOrder) -> dict[str, Any]:
    intent = left.intent
    return {
        "client_intent_id": intent.client_intent_id,
        "broker_account_id": intent.broker_account_id,
        "symbol": intent.symbol,
        "side": intent.side,
        "qty": intent.qty,
        "notional": intent.notional,
        "status": left.status,
        "broker_order_id": left.broker_order_id,
        "run_id": left.run_id,
    }


def _print_open(still_open: list[OpenOrder]) -> None:
    """Print the orders that the latest live runs left open at the broker."""
    if not still_open:
        return
    intents = [left.intent for left in still_open[:5]]
    orders = [f"{one.side} {amount(one.qty, one.notional)} {one.symbol}" for one in intents]
    more = ", …" if len(still_open) > len(orders) else ""
    say(
        f"Open at the broker when last asked: {len(still_open)} ({', '.join(orders)}{more}); the next live "
        f"run looks them up."
    )


def _describe(folder: RunFolder, at_work: str | None) -> dict[str, Any]:
    """Return a run's figures; for a damaged record, what is wrong with it."""
    head = {"run_id": folder.run_id, "trading_date": folder.trading_date.isoformat(), "mode": "unknown"}
    try:
        return _figures(folder, head | {"mode": folder.start["mode"]}, at_work)
    except RecordError as error:
        return {**head, "state": "damaged", "damaged": str(error)}


def _figures(folder: RunFolder, head: dict[str, str], at_work: str | None) -> dict[str, Any]:
    if MANIFEST not in folder.names():
        return {**head, "state": f"running: {at_work}" if at_work else "unfinished; the next run ends it"}
    manifest = folder.json(MANIFEST)
    state = how_it_ended(folder, manifest)
    figures = {key: manifest["rows"][key] for key in ("dropped", "quarantined", "duplicate")}
    decisions = {key: manifest["decisions"][key] for key in ("allowed", "refused")}
    figures |= {"sent": manifest["orders"]["sent"], "cancels": manifest.get("cancels", 0)}
    figures["fills"] = manifest["fills"]
    return {**head, "state": state, "exit_code": manifest["exit_code"], **figures, **decisions}


def _inbox(setup: Setup) -> tuple[list[str], list[dict[str, str]]]:
    """Return the names of the files that a run would read, and the records of those that it would leave."""
    found = setup.inbox.find(max_depth=setup.settings.intake.max_depth)
    by_name = [(file.printable_name, file.left_for_its_name()) for file in found.files]
    not_taken = [*found.left, *(left for _, left in by_name if left is not None)]
    left = [one.record() for one in shortened([*left_before(setup.objects), *not_taken])]
    return [name for name, left in by_name if left is None], left
