"""What an operator must hear of a run that ended with another exit code than 0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.record.run_folder import INPUTS, MANIFEST, RunFolder
from engine.routing.booking import what_is_unkept
from engine.run.manifest import has_open_breaks
from jobs.stops_and_overrides import states_of
from jobs.wording import counted


def faults_of(folder: RunFolder) -> list[str]:
    """Return what is wrong with a finished run, as sentences; empty where its exit code is 0."""
    manifest = folder.json(MANIFEST)
    if not manifest["exit_code"]:
        return []
    return list(dict.fromkeys(_faults(folder, manifest, folder.json(INPUTS))))


def _faults(folder: RunFolder, manifest: dict[str, Any], inputs: dict[str, Any]) -> Iterator[str]:
    if closed_by := folder.start.get("closed_by"):
        yield f"Live trading was refused: {closed_by[0]}. {closed_by[1]}"
    if inputs["kill_switch"]:
        yield inputs["kill_switch_why"]
    yield from (f"{entry}. {entry.remedy} ends that." for entry in states_of(folder))
    for account, why in inputs.get("down", {}).items():
        yield f"Account {account} was left out: {why}"
    for account, why in inputs.get("not_compared", {}).items():
        yield f"Broker and ledger of {account} were not compared: {why}."
    by_status = manifest["results"]["by_status"]
    if unresolved := by_status.get("unresolved", 0):
        yield f"{counted(unresolved, 'order is', 'orders are')} unresolved; the next live run looks them up."
    if halted := by_status.get("halted", 0):
        orders = counted(halted, "order was", "orders were")
        yield f"{orders} halted; the output of the run says how to drop them again."
    if has_open_breaks(folder):
        yield "Broker and ledger differ; `execution-engine sync` shows where, and what to do."
    for left in manifest.get("left", []):
        if left.get("kind") == "blocked":
            yield f"A file is blocked in the inbox: {left['name']}: {left['why']}"
    yield from what_is_unkept(folder.objects, manifest.get("unkept", []))
    for identity in manifest["identities"]:
        if not identity["holds"]:
            yield f"Does not add up: {identity['name']}: {identity['left']} and {identity['right']}."
