"""What of a run an operator has to look at: sentences that commands print and pages show first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.record.run_folder import INPUTS, RESULTS, RunFolder
from engine.routing.booking import what_is_unkept
from engine.routing.outcomes import counted_outcomes
from engine.run.manifest import has_open_breaks
from jobs.stops_and_overrides import expired_of, overrides_of, states_of
from jobs.wording import counted

ACT, LOOK, NOTE = "act", "look", "note"
"""How much an exception matters: something has to be done, has to be looked at, or is worth knowing."""


@dataclass(frozen=True)
class RunException:
    """One exception: what happened, to what and what to do, as whole sentences."""

    weight: str
    kind: str
    text: str


def found_at_the_start(folder: RunFolder, manifest: Mapping[str, Any]) -> Iterator[RunException]:
    """Yield what stopped or limited a run, what it could not read, and what the ledger lacks of it."""
    inputs = folder.json(INPUTS)
    if closed_by := folder.start.get("closed_by"):
        reason, why = closed_by
        yield RunException(ACT, "gate closed", f"LIVE TRADING WAS REFUSED: {reason}. {why}")
    if inputs["kill_switch"]:
        yield RunException(ACT, "kill switch", inputs["kill_switch_why"])
    for entry in states_of(folder):
        text = str(entry)
        said = f"{text[:1].upper()}{text[1:]}. {entry.remedy} ends that."
        yield RunException(ACT, "trading state", said)
    for one in overrides_of(folder):
        yield RunException(LOOK, "override", f"OVERRIDDEN in this session: {one}.")
    for text in expired_of(folder):
        said = f"Expired, and set aside in overrides/expired/: {text}."
        yield RunException(NOTE, "override", said)
    for name, why in inputs["unavailable"].items():
        yield RunException(ACT, "unavailable", f"Unavailable: {name}: {why}")
    for account, why in inputs.get("down", {}).items():
        yield RunException(ACT, "account down", f"ACCOUNT {account} WAS LEFT OUT: {why}")
    for account, why in inputs.get("not_compared", {}).items():
        said = f"NOT COMPARED: broker and ledger of {account}: {why}."
        yield RunException(ACT, "not compared", said)
    for message in what_is_unkept(folder.objects, manifest.get("unkept", [])):
        yield RunException(ACT, "ledger", f"NOT WHOLLY IN THE LEDGER: {message}")


def found_at_the_end(manifest: Mapping[str, Any]) -> Iterator[RunException]:
    """Yield the identities that do not hold, and lines of the log that were lost."""
    for identity in manifest["identities"]:
        if not identity["holds"]:
            said = f"DOES NOT ADD UP: {identity['name']}: {identity['left']} and {identity['right']}"
            yield RunException(ACT, "conservation", said)
    if unlogged := manifest.get("unlogged_lines"):
        said = f"{unlogged} lines of the log could not be written: check where standard error goes."
        yield RunException(LOOK, "log", said)


def how_it_ended(folder: RunFolder, manifest: Mapping[str, Any]) -> str:
    """Return how a finished run ended, with what an operator has to know."""
    inputs, by_status = folder.json(INPUTS), manifest["results"]["by_status"]
    without = ", ".join([*inputs["unavailable"], *(f"account {name}" for name in inputs.get("down", {}))])
    is_halted = inputs["kill_switch"] or bool(by_status.get("halted"))
    done = f"done, without {without}" if without else "done"
    ended = {0: [done], 3: ["halted" if is_halted else done], 4: _unclear(folder, manifest)}
    parts = ended.get(manifest["exit_code"], ["unknown"])
    if by_status.get("broker_rejected"):
        counts = counted_outcomes(folder.table(RESULTS, ["status", "reason"]))
        if rejected := counts.get("broker_rejected"):
            parts.append(f"{rejected} refused by the broker")
        if not_withdrawn := counts.get("not_withdrawn"):
            parts.append(counted(not_withdrawn, "cancel of no known order", "cancels of no known order"))
    return ", ".join(parts)


def _unclear(folder: RunFolder, manifest: Mapping[str, Any]) -> list[str]:
    """Return why a run ended with 4, each reason in a few words."""
    adds_up = all(identity["holds"] for identity in manifest["identities"])
    blocked = sum(one["kind"] == "blocked" for one in manifest.get("left", []))
    counts = {
        "unresolved": manifest["results"]["by_status"].get("unresolved", 0),
        "not wholly in the ledger": len(manifest.get("unkept", [])),
        "blocked in the inbox": blocked,
    }
    found = [f"{count} {what}" for what, count in counts.items() if count]
    if folder.json(INPUTS).get("not_compared"):
        found.append("broker and ledger not compared")
    elif has_open_breaks(folder):
        found.append("broker and ledger differ")
    if adds_up and not found:
        found = ["an account failed"]
    return ["done" if adds_up else "does not add up", *found]
