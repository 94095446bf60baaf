"""What a run did, as tables for operators: what came in, what was allowed, what was refused and why."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from engine.record.run_folder import COLLECTED, INPUTS, MANIFEST, RECONCILIATION, RESULTS, RunFolder
from engine.routing.outcomes import counted_outcomes
from engine.run.put_away import left_by
from jobs import recorded
from jobs.limits_used import print_limits_used
from jobs.queued import queued_orders
from jobs.run_exceptions import NOTE, found_at_the_end, found_at_the_start
from jobs.run_files import folder_path, lacks_data, to_drop_again
from jobs.tables import print_list, print_table, say
from jobs.wording import counted, order, outcome, shell_word, why_refused

_INTENTS_SHOWN = 20
_print_list = partial(print_list, at_most=10)
_ID_SHOWN = 12
_LEFT = {
    "blocked": "LEFT IN THE INBOX until it is corrected",
    "waiting": "Waiting in the inbox; a later run looks again",
}


def print_run(folder: RunFolder, *, resumed: bool = False) -> None:
    """Print a finished run."""
    manifest = folder.json(MANIFEST)
    say()
    _print_heading(folder, "finished what an earlier run left" if resumed else "")
    _print_intake(folder)
    if manifest["rows"]["batched"]:
        _print_decisions(folder, manifest)
    _print_notes(folder)
    print_left(manifest.get("left", []))
    _print_end(folder, manifest)


def print_collected(folder: RunFolder) -> None:
    """Print a batch that is sealed and not decided on yet."""
    say()
    _print_heading(folder, "collected, not yet decided")
    _print_intake(folder)
    _print_notes(folder)
    print_left(left_by(folder))
    say(f"Sealed in {folder_path(folder)}. `execution-engine run` decides on it.")


def print_in_doubt(run_ids: list[str]) -> None:
    """Print which earlier live runs are unfinished and may have sent orders."""
    for run_id in run_ids:
        say(
            f"UNFINISHED: live run {run_id} may have sent orders whose outcome is unknown. The next live run "
            f"finishes it once its account answers; `execution-engine doctor` shows what prevents that.",
            color="red",
        )


def print_remarks(remarks: list[str]) -> None:
    """Print what an operator may not have intended."""
    for remark in remarks:
        say(f"To note: {remark}")


def _print_heading(folder: RunFolder, note: str) -> None:
    mode = "dry run, nothing is sent" if folder.start["mode"] == "dry" else "live"
    parts = [f"Run {folder.run_id}", mode, f"session {folder.trading_date}", *([note] if note else [])]
    say(" · ".join(parts), bold=True)


def _print_intake(folder: RunFolder) -> None:
    collected = folder.json(COLLECTED)
    counts = ("rows", "batched", "quarantined", "duplicate")
    if not collected["files"]:
        say("Nothing came in: the inbox holds no file that is ready.")
        return
    rows = [(file["name"], *(file[count] for count in counts)) for file in collected["files"]]
    if len(rows) > 1:
        rows.append(("all files", *(sum(row[i] for row in rows) for i in range(1, 5))))
    print_table("What came in", ("file", *counts), rows, right=counts)
    notes = [f"{note['file']}: {note['message']}" for note in collected.get("notes", [])]
    _print_list("To note", notes, more=_all_are_in(folder))


def _print_decisions(folder: RunFolder, manifest: dict[str, Any]) -> None:
    statuses = counted_outcomes(folder.table(RESULTS, ["status", "reason"]))
    results = ", ".join(f"{count} {_in_words(status)}" for status, count in statuses.items())
    reasons = manifest["decisions"]["by_reason"]
    table = [("allowed", "", manifest["decisions"]["allowed"])]
    table += [("refused", reason, count) for reason, count in reasons.items()]
    print_table("What was decided", ("decision", "reason", "intents"), table, right=("intents",))
    _print_intents(folder, "What was allowed", allowed=True)
    _print_intents(folder, "What was refused", allowed=False)
    print_limits_used(folder)
    say()
    say(f"Results: {results}{_sent(manifest)}.")
    print_remarks(queued_orders(folder))
    if statuses.get("unresolved"):
        say(
            "UNRESOLVED: the outcome of these orders is unknown. The next live run looks them up; until then "
            "they count as working. Look for them on the broker's dashboard.",
            color="red",
        )


def _print_intents(folder: RunFolder, title: str, *, allowed: bool) -> None:
    rows, count = recorded.judged(folder, allowed=allowed, at_most=_INTENTS_SHOWN)
    if not rows:
        return
    if count > len(rows):
        title += f" (the first {len(rows)} of {count})"
    context = recorded.context(folder)
    # Why a source was down is printed once, below.
    see_below = {name: dict.fromkeys(context[name], "see below") for name in ("unavailable", "down")}
    context = {**context, **see_below}
    cells = [
        [
            row["client_intent_id"][:_ID_SHOWN],
            row["strategy_id"],
            row["broker_account_id"],
            order(row),
            outcome(row) if allowed else f"{row['reason']}: {why_refused(row, context)}",
        ]
        for row in rows
    ]
    last = "outcome" if allowed else "why"
    print_table(title, ("intent", "strategy", "account", "order", last), cells)


def _all_are_in(folder: RunFolder) -> str:
    return f"; {folder_path(folder)}/{COLLECTED} has all"


def _print_notes(folder: RunFolder) -> None:
    collected = folder.json(COLLECTED)
    refused = sorted(collected["refused"], key=lambda record: bool(record["row"]))  # whole files first
    _print_list(
        "Quarantined (below quarantine/, each row with all that is wrong with it)",
        [record["message"] for record in refused],
        more=_all_are_in(folder),
    )
    _print_list(
        "Recognised as dropped before, not taken twice",
        [duplicate["message"] for duplicate in collected["duplicates"]],
        more=_all_are_in(folder),
    )


def print_left(left: list[dict[str, str]]) -> None:
    """Print the files left in the inbox: those that need an operator, and those that wait."""
    for kind, title in _LEFT.items():
        _print_list(title, [f"{one['name']}: {one['why']}" for one in left if one["kind"] == kind])


def _print_end(folder: RunFolder, manifest: dict[str, Any]) -> None:
    say()
    inputs = folder.json(INPUTS)
    for one in found_at_the_start(folder, manifest):
        say(one.text, color=None if one.weight == NOTE else "red")
    _print_breaks(folder)
    _print_remedy(folder, manifest, inputs)
    is_empty = "positions" not in inputs["unavailable"] and not folder.table("positions.parquet").num_rows
    if manifest["mode"] == "dry" and manifest["rows"]["batched"] and is_empty:
        say("No positions are on record for these accounts: every one counts as flat.")
    if all(identity["holds"] for identity in manifest["identities"]):
        say("Every row is accounted for.")
    for one in found_at_the_end(manifest):
        say(one.text, color="red")
    say(f"Record: {folder_path(folder)}")
    root = Path(getattr(folder.objects, "root", "")).absolute()
    say(f"Files:  {root}/archive/{folder.trading_date}/ and {root}/quarantine/{folder.trading_date}/")
    say("One intent's whole story: execution-engine explain INTENT")


def _print_breaks(folder: RunFolder) -> None:
    """Print the differences between broker and ledger when the run began."""
    if RECONCILIATION not in folder.names():
        return
    from engine.model.breaks import breaks_in
    from jobs.breaks import print_breaks, proposed

    breaks = breaks_in(folder.table(RECONCILIATION))
    print_breaks(breaks, proposed(folder.objects, [one for one in breaks if not one.is_repaired]))


def _print_remedy(folder: RunFolder, manifest: dict[str, Any], inputs: dict[str, Any]) -> None:
    """Print the command that drops again what was halted or refused for lack of data."""
    halted = manifest["mode"] == "live" and manifest["results"]["by_status"].get("halted")
    is_lacking = manifest["decisions"]["by_reason"].get("risk_data_unavailable")
    lacking = is_lacking and pc.any(lacks_data(folder)).as_py()
    if halted:
        say("Once that has ended, drop the halted intents again; those that were sent are recognised:")
    if lacking:
        say("Once that data is available, drop the files again; intents that were allowed are recognised:")
    if halted or lacking:
        say(f"  execution-engine drop {' '.join(map(shell_word, to_drop_again(folder)))}")
    if (inputs["unavailable"] or inputs.get("down")) and folder.start["config"]["fail_open"]:
        say("EXEC_RISK_FAIL_OPEN is on: the rules that needed it were SKIPPED, not passed.", color="red")


def _sent(manifest: dict[str, Any]) -> str:
    orders = manifest["orders"]
    if manifest["mode"] == "dry":
        return ""
    adopted = f" ({orders['adopted']} found again after their reply was lost)" if orders["adopted"] else ""
    cancels = f", {counted(manifest['cancels'], 'cancel')}" if manifest.get("cancels") else ""
    executions = counted(manifest["fills"], "execution")
    return f"; {counted(orders['sent'], 'order')} sent{adopted}{cancels}, {executions}"


def _in_words(status: str) -> str:
    words = {
        "dry_run": "would be sent",
        "rejected": "refused",
        "broker_rejected": "refused by the broker",
        "not_withdrawn": "cancel of no known order",
    }
    return words.get(status, status.replace("_", " "))
