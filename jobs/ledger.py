"""``ledger rebuild``: make the ledger again from the record of this data folder's live runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from engine.adjustments import check_said
from engine.kept_adjustments import kept_adjustments
from engine.ledger import ADJUSTMENT
from engine.log import EventLog
from engine.recorded_ledger import lacking, recorded_documents
from engine.stores.lock import exclusive
from jobs.tables import print_json, print_table, say
from jobs.wording import counted, number
from jobs.world import Setup, read_setup

_SHOWN = 20


def rebuild(*, by: str | None, why: str | None, as_json: bool) -> int:
    """Show which fills and adjustments of the record the ledger lacks, and book them; return the exit code.

    Without ``by`` and ``why`` nothing is changed. Afterwards the stores that the settings name are those of
    this data folder. Booking twice changes nothing. Raises ``EngineError``.
    """
    if by is not None or why is not None:
        check_said(by=by or "", why=why or "")
    setup = read_setup()
    now = datetime.now(UTC)
    with exclusive(setup.data_dir, since=f"{now:%Y-%m-%d %H:%M:%S} UTC", modes=setup.modes):
        wanted = [*recorded_documents(setup.objects, now=now), *kept_adjustments(setup.objects)]
        missing = lacking(wanted, setup.stores.ledger)
        if not as_json:
            _show(missing, len(wanted), setup)
        if by is not None and why is not None:
            setup.stores.ledger.write_ledger(missing)
            setup.generations.adopt(by=by, why=why, at=now)
            _log(missing, by, why)
    is_done = by is not None
    if as_json:
        print_json({"exit_code": 0, "recorded": len(wanted), "lacking": missing, "booked": is_done})
    elif is_done:
        say(
            f"{counted(len(missing), 'document is', 'documents are')} booked in {setup.stores.ledger.place}, "
            f"which live runs of this data folder go on with. `execution-engine sync` compares it with the "
            f"broker, and books what filled since."
        )
    else:
        say("Nothing was changed. With --by NAME --why TEXT it is booked.")
    return 0


def _show(missing: Sequence[Mapping[str, Any]], recorded: int, setup: Setup) -> None:
    place = setup.stores.ledger.place
    if not missing:
        say(f"{place} has all {counted(recorded, 'document')} that the record of this data folder calls for.")
        return
    rows = [
        (
            one["trading_date"],
            one["broker_account_id"],
            one["symbol"],
            one["side"],
            number(one["filled_qty"]),
            "adjustment" if ADJUSTMENT in one else one["broker_order_id"],
        )
        for one in missing[:_SHOWN]
    ]
    columns = ("session", "account", "symbol", "side", "filled", "order")
    print_table("In the record, and not in the ledger", columns, rows, right=("filled",))
    more = len(missing) - len(rows)
    say(f"{more} more." if more else "")
    say(f"{place} lacks {len(missing)} of {counted(recorded, 'document')}, or has less filled of them.")


def _log(missing: Sequence[Mapping[str, Any]], by: str, why: str) -> None:
    EventLog().event(
        "ledger_rebuilt",
        f"{by} booked {counted(len(missing), 'document')} of the record: {why}",
        severity="NOTICE",
        by=by,
        why=why,
        documents=[one["broker_order_id"] for one in missing],
    )
