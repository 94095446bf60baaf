"""Rows that no batch holds, in sentences: quarantined rows, duplicates, and files left in the inbox."""

from __future__ import annotations

from typing import Any

from engine.text.printable import shown
from jobs.finding import Aside
from jobs.tables import say

_NAMES = ("file", "row", "field", "value", "raw", "client_intent_id", "broker_account_id", "said_in")


def print_aside(aside: Aside) -> None:
    """Print what a row held, what is wrong with it, what to do, and where its file is."""
    record = aside_record(aside)
    say()
    say(f"{_place(aside)}: {aside.what}", bold=True)
    say(f"  In run {aside.folder.run_id}, session {aside.folder.trading_date}; it is not in the batch.")
    if aside.what == "left":
        say(f"  The file was left in the inbox: {aside.record['why']}.")
        return
    if held := aside.record.get("raw"):
        say(f"  It held: {_values(held)}.")
    if aside.what == "quarantined":
        say("  What is wrong with it:")
        for problem in record["problems"]:
            say(f"    {problem}")
    else:
        say(f"  {aside.record['message']}")
        say(f"  Its order: execution-engine explain {aside.record['client_intent_id']}")
    say(f"  The file is kept as {record['kept_at']}.")
    for name in record["reasons_at"]:
        say(f"  All that is wrong with the file's rows: {name}")


def aside_record(aside: Aside) -> dict[str, Any]:
    """Return a row that was set aside as ``--json`` prints it."""
    record = aside.record
    if aside.what == "left":
        return {
            "run_id": aside.folder.run_id,
            "what": "left",
            "file": record["name"],
            "message": f"{record['name']} was left in the inbox: {record['why']}",
        }
    return {
        "run_id": aside.folder.run_id,
        "what": aside.what,
        "message": record["message"],
        **{name: record[name] for name in _NAMES if name in record},
        "problems": [record["message"], *record.get("also", [])] if aside.what == "quarantined" else [],
        "kept_at": _kept_at(aside),
        "reasons_at": _reasons_at(aside) if aside.what == "quarantined" else [],
    }


def line_of(aside: Aside) -> str:
    """Return a row that was set aside in one line."""
    return f"{aside.what}: {aside.record['message']}"


def _place(aside: Aside) -> str:
    if aside.what == "left":
        return str(aside.record["name"])
    row = aside.record["row"]
    return f"{aside.record['file']}:{row}" if row else f"{aside.record['file']}, the whole file"


def _kept_at(aside: Aside) -> str:
    place = "quarantine" if aside.file["unreadable"] else "archive"
    return f"{_root(aside)}{place}/{aside.folder.trading_date}/{aside.file['kept_as']}"


def _reasons_at(aside: Aside) -> list[str]:
    """Return the files with the reasons of refused rows; [] before the run has archived the file."""
    begins = f"quarantine/{aside.folder.trading_date}/{aside.file['kept_as']}.reasons."
    keys = aside.folder.objects.list(f"quarantine/{aside.folder.trading_date}/")
    return [f"{_root(aside)}{key}" for key in keys if key.startswith(begins)]


def _root(aside: Aside) -> str:
    root = getattr(aside.folder.objects, "root", None)
    return "" if root is None else f"{root}/"


def _values(held: dict[str, Any]) -> str:
    """Return what a row held, field by field."""
    return ", ".join(f"{name} {shown(value)}" for name, value in held.items() if value is not None)
