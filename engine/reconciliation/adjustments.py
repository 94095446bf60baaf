"""Proposals to balance the ledger: an operator reads them and accepts them.

Pure. A proposal is CSV text, one line for each open break. Accepted lines become ledger documents
(``engine.ledger.documents.adjustment_document``), from which later comparisons know what was accepted.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from engine.errors import UnreadableFile, UsageError
from engine.ledger.documents import ADJUSTMENT, COUNTS_AS_TRADE, adjustment_document
from engine.model.breaks import Accepted, Break, filled_by, shares
from engine.model.quantity import UNITS
from engine.model.schema import BREAK_KINDS, SYMBOL_PATTERN, TEXT_LENGTH
from engine.model.symbols import canonical_symbol
from engine.text.plain_text import is_plain
from engine.text.printable import csv_cell, csv_value

PROPOSAL_COLUMNS = (
    "broker_account_id",
    "symbol",
    "kind",
    "ledger_qty",
    "broker_qty",
    "adjustment_qty",
    "broker_order_id",
    "client_intent_id",
    "activity_id",
    "found_at",
    "said",
)
PROBLEMS_SHOWN = 10

_OPEN_KINDS = tuple(kind for kind in BREAK_KINDS if kind != "late_fill")
_OF_ORDERS_ALONE = ("unknown_order", "missing_order", "overfilled", "price_differs")
_OF_POSITIONS = ("manual_trade", "corporate_action", "position_unexplained")
_OF_AN_ORDER = (*_OF_ORDERS_ALONE, "manual_trade", "unbooked_order", "quantity_differs")
_CORRECTED_AGAIN = ("price_differs", "quantity_differs")
"""An acceptance names the corrected value; acceptances of earlier versions name the order alone."""
_MAY_BE_OURS = "unbooked_order"
_QTY = re.compile(r"[+-]?\d{1,9}(\.\d{1,9})?", re.ASCII)
_EVIDENCE = ("broker_order_id", "client_intent_id", "activity_id", "found_at", "said")
_REMEDY = "Nothing was accepted; sync again, and accept the file that it proposes."


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """One line of a proposal: ``line`` of the file, quantities in units of 1e-9 shares."""

    line: int
    broker_account_id: str
    symbol: str
    kind: str
    ledger_qty: int
    broker_qty: int
    adjustment_qty: int
    broker_order_id: str
    client_intent_id: str
    activity_id: str
    found_at: datetime
    said: str

    @property
    def key(self) -> tuple[str, str]:
        """The account and symbol whose position it adjusts."""
        return self.broker_account_id, self.symbol


def proposal(breaks: Iterable[Break]) -> str:
    """Return the file that accepts every open break: CSV with ``PROPOSAL_COLUMNS``, quantities in shares.

    A line may be dropped before the file is accepted, but not changed. The lines of one symbol come together.
    No cell is a formula to a spreadsheet (``printable.csv_cell``); all cells are read back unchanged.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PROPOSAL_COLUMNS)
    for found in breaks:
        if not found.is_repaired:
            quantities = map(shares, (found.ledger_qty, found.broker_qty, found.difference_qty))
            writer.writerow(
                [
                    csv_cell(found.broker_account_id),
                    csv_cell(found.symbol),
                    found.kind,
                    *quantities,  # digits: a negative quantity stays a number
                    csv_cell(found.broker_order_id),
                    csv_cell(found.client_intent_id),
                    csv_cell(found.activity_id),
                    found.found_at.isoformat(),
                    csv_cell(found.said),
                ]
            )
    return text.getvalue()


def read_proposal(text: str, name: str) -> list[Proposed]:
    """Read a proposal; ``name`` is the file's. Raises ``UnreadableFile`` with the first problems, if any."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = next(reader, [])
        numbered = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise UnreadableFile(f"{name}: can't be read as csv ({error})", remedy=_REMEDY) from error
    if tuple(header) != PROPOSAL_COLUMNS:
        raise UnreadableFile(
            f"{name}:1: the columns are {', '.join(header)[:200]!r}; expected {', '.join(PROPOSAL_COLUMNS)}",
            remedy=_REMEDY,
        )
    if not numbered:
        raise UnreadableFile(f"{name}: it proposes nothing", remedy=_REMEDY)
    rows, problems = [], []
    for line, cells in numbered:
        row = _read_row(line, cells)
        if isinstance(row, Proposed):
            rows.append(row)
        else:
            problems.append(f"{name}:{line}: {row}")
    problems += [f"{name}:{line}: {why}" for line, why in _repetitions(rows)]
    if problems:
        raise _refused(name, problems)
    return rows


def check_against_ledger(
    rows: Iterable[Proposed], ledger: Mapping[tuple[str, str], int], accepted: Iterable[Proposed], name: str
) -> None:
    """Refuse a proposal whose lines don't match the ledger as it is now.

    ``ledger``: current units by account and symbol; absent is 0. ``accepted``: the lines that an earlier
    attempt has accepted already. Raises ``UnreadableFile``.
    """
    done: dict[tuple[str, str], int] = {}
    for row in accepted:
        done[row.key] = done.get(row.key, 0) + row.adjustment_qty
    problems = [
        f"{name}:{row.line}: ledger_qty is {shares(row.ledger_qty)}; expected {shares(now)}, what account "
        f"{row.broker_account_id} has in {row.symbol}: the ledger has changed since"
        for row in rows
        if (now := ledger.get(row.key, 0) - done.get(row.key, 0)) != row.ledger_qty
    ]
    if problems:
        raise _refused(name, problems)


def check_said(*, by: str, why: str) -> None:
    """Refuse an acceptance without a name or a reason. Raises ``UsageError``."""
    for option, text in (("--by", by), ("--why", why)):
        if not text.strip():
            raise UsageError(f"{option} is {text!r}; expected text, which is kept for ever. Write it.")


def adjustments(
    rows: Iterable[Proposed], *, by: str, why: str, at: datetime, trading_date: date
) -> list[dict[str, Any]]:
    """Return the ledger documents of accepted lines, in their order; the same line always has the same id.

    A fill of an order that may be ours counts as a trade of the session in which it is accepted, so that the
    limit is not loosened.

    ``by`` and ``why``: who accepts them, and the reason. ``at``: now, with a zone, in the session
    ``trading_date``. Raises ``UsageError`` where one of the texts is empty.
    """
    check_said(by=by, why=why)
    return [
        _adjustment(row, by=by.strip(), why=why.strip(), at=at, trading_date=trading_date) for row in rows
    ]


def accepted_in(documents: Iterable[Mapping[str, Any]]) -> Accepted:
    """Return what the adjustments among an account's ledger documents accept; orders are ignored."""
    orders, activities = set(), set()
    filled: dict[str, int] = {}
    for document in sorted(documents, key=lambda one: str(one.get("accepted_at", ""))):
        evidence = document.get("evidence")
        if ADJUSTMENT not in document or not isinstance(evidence, Mapping):
            continue
        kind = str(document[ADJUSTMENT])
        names = str(evidence.get("activity_id") or "").split()
        activities.update(names)
        if kind == "quantity_differs":
            filled.update(found for name in names if (found := filled_by(name)) is not None)
        order_id = evidence.get("broker_order_id") or evidence.get("client_intent_id")
        if order_id and not (kind in _CORRECTED_AGAIN and names):
            orders.add((kind, str(order_id)))
    return Accepted(orders=frozenset(orders), activities=frozenset(activities), filled=filled)


def _adjustment(row: Proposed, *, by: str, why: str, at: datetime, trading_date: date) -> dict[str, Any]:
    document = adjustment_document(
        account=row.broker_account_id,
        symbol=row.symbol,
        qty=row.adjustment_qty / UNITS,
        kind=row.kind,
        by=by,
        why=why,
        at=at,
        trading_date=trading_date,
        evidence={
            "ledger_qty": row.ledger_qty / UNITS,
            "broker_qty": row.broker_qty / UNITS,
            **{name: value for name in _EVIDENCE if (value := _evidence(row, name))},
        },
    )
    if row.kind == _MAY_BE_OURS and row.adjustment_qty:
        del document[COUNTS_AS_TRADE]
    return document


def _evidence(row: Proposed, name: str) -> str:
    value = getattr(row, name)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _read_row(line: int, cells: list[str]) -> Proposed | str:
    """Return a line as it was read, or what is wrong with it."""
    if len(cells) != len(PROPOSAL_COLUMNS):
        return f"it has {len(cells)} cells; expected {len(PROPOSAL_COLUMNS)}"
    values = {
        name: cell if name.endswith("_qty") else csv_value(cell)
        for name, cell in zip(PROPOSAL_COLUMNS, cells, strict=True)
    }
    account, symbol, kind = values["broker_account_id"], values["symbol"], values["kind"]
    if not (0 < len(account) <= TEXT_LENGTH and account == account.strip() and is_plain(account)):
        return f"broker_account_id is {account!r:.80}; expected the account's name"
    if not re.fullmatch(SYMBOL_PATTERN, symbol, re.ASCII):
        return f"symbol is {symbol!r:.80}; expected 1 to 32 characters of A-Z 0-9 . / -"
    if kind not in _OPEN_KINDS:
        return f"kind is {kind!r:.80}; expected one of {', '.join(_OPEN_KINDS)}"
    units = {}
    for field in ("ledger_qty", "broker_qty", "adjustment_qty"):
        if not _QTY.fullmatch(values[field]):
            return f"{field} is {values[field]!r:.80}; expected shares below 1e9 with at most 9 decimals"
        units[field] = int(Decimal(values[field]).scaleb(9))
    try:
        found_at = datetime.fromisoformat(values["found_at"])
    except ValueError:
        found_at = None
    if found_at is None or found_at.tzinfo is None:
        return f"found_at is {values['found_at']!r:.80}; expected a timestamp with a zone"
    if wrong := _contradiction(kind, units["adjustment_qty"], values):
        return wrong
    return Proposed(
        line=line,
        broker_account_id=account,
        symbol=canonical_symbol(symbol),
        kind=kind,
        ledger_qty=units["ledger_qty"],
        broker_qty=units["broker_qty"],
        adjustment_qty=units["adjustment_qty"],
        broker_order_id=values["broker_order_id"],
        client_intent_id=values["client_intent_id"],
        activity_id=values["activity_id"],
        found_at=found_at,
        said=values["said"],
    )


def _contradiction(kind: str, adjustment_qty: int, values: Mapping[str, str]) -> str:
    """Return what in a line contradicts its kind, "" where nothing does."""
    if kind in _OF_ORDERS_ALONE and adjustment_qty:
        return f"adjustment_qty is {values['adjustment_qty']!r}; expected 0 where an order alone is accepted"
    if kind in _OF_POSITIONS and not adjustment_qty:
        return f"adjustment_qty is {values['adjustment_qty']!r}; expected what balances a {kind}"
    if kind in _OF_AN_ORDER and not (values["broker_order_id"] or values["client_intent_id"]):
        return f"broker_order_id is ''; expected the order of a {kind}"
    return ""


def _repetitions(rows: list[Proposed]) -> list[tuple[int, str]]:
    """Return the repeated lines, and the lines of one symbol whose books differ."""
    found: list[tuple[int, str]] = []
    first: dict[tuple[str, str], Proposed] = {}
    seen: dict[tuple[object, ...], int] = {}
    for row in rows:
        same = (*row.key, row.kind, row.adjustment_qty, *(_evidence(row, name) for name in _EVIDENCE))
        earlier = seen.setdefault(same, row.line)
        if earlier != row.line:
            found.append((row.line, f"it repeats line {earlier}; drop one of the two"))
        begun = first.setdefault(row.key, row)
        if (begun.ledger_qty, begun.broker_qty) != (row.ledger_qty, row.broker_qty):
            why = f"ledger_qty and broker_qty of {row.symbol} aren't those of line {begun.line}"
            found.append((row.line, f"{why}; expected the lines of one sync"))
    return found


def _refused(name: str, problems: list[str]) -> UnreadableFile:
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    return UnreadableFile(f"{name}: {count}", problems=problems[:PROBLEMS_SHOWN], remedy=_REMEDY)
