"""Breaks between broker and ledger for an operator: what happened, what to do, which file accepts it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.breaks import Break
from engine.reconciliation.break_files import latest_proposal
from engine.record.objects import Objects
from jobs.tables import say


def print_breaks(breaks: Sequence[Break], proposal: str | None) -> None:
    """Print the differences between broker and ledger; ``proposal`` is the path of the proposal file."""
    for found in breaks:
        if found.is_repaired:
            say(f"Late: {found.said}")
    still_open = [found for found in breaks if not found.is_repaired]
    if not still_open:
        return
    say()
    count = f"{len(still_open)} difference{'s' if len(still_open) > 1 else ''}"
    say(f"Broker and ledger: {count}", bold=True, color="red")
    for number, found in enumerate(still_open, 1):
        what = found.kind.replace("_", " ")
        say(f"  {number}. {found.broker_account_id}, {what}. {found.said}", color="red")
        say(f"     {found.remedy.replace('FILE', proposal or 'FILE')}")
    say("Until then only cancels, and orders that shrink the position, pass the gate in these symbols.")


def proposed(objects: Objects, still_open: Sequence[Break]) -> str | None:
    """Return the path of the file that accepts the open breaks; None without open breaks."""
    key = latest_proposal(objects) if still_open else None
    if key is None:
        return None
    root = getattr(objects, "root", None)
    return str(root / key) if root is not None else key
