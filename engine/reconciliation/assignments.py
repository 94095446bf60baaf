"""Assignments: an operator gives a part of what an account's rest, or a strategy, holds to a strategy.

Pure. An assignment is two adjustments that are written together: one takes the shares from the one book, the
other adds them to the other. The account's sum stays as it is, to the unit, and so do trades and positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from engine.errors import UsageError
from engine.ledger.documents import adjustment_document
from engine.ledger.strategies import NO_STRATEGY, StrategyBook, in_doubt
from engine.model.breaks import shares
from engine.model.quantity import UNITS

ASSIGNMENT = "assignment"
"""The kind of its adjustments."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """``units`` (of 1e-9 shares, negative of a short position) of a symbol go from one book to another.

    ``source`` and ``target``: strategies, ``NO_STRATEGY`` for the account's rest.
    """

    account: str
    symbol: str
    units: int
    source: str
    target: str

    def sentence(self) -> str:
        """Return what goes where, in words."""
        books = (named(self.source), named(self.target))
        return f"{shares(self.units)} {self.symbol} of {self.account} from {books[0]} to {books[1]}"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Who decided an assignment, why and when (timezone-aware), and in which session."""

    by: str
    why: str
    at: datetime
    trading_date: date


def named(strategy: str) -> str:
    """Return how a book is called: the strategy, or the account's rest."""
    return strategy if strategy != NO_STRATEGY else "the account's rest"


def check_assignable(wanted: Assignment, book: StrategyBook) -> None:
    """Refuse an assignment that isn't part of what its source holds. Raises ``UsageError``.

    A name that only looks like one that the ledger has is refused as well.
    """
    if wanted.source == wanted.target:
        raise _refused(f"--from and --to are both {named(wanted.source)}; expected two books")
    for option, name in (("--from", wanted.source), ("--to", wanted.target)):
        if name != NO_STRATEGY and in_doubt(book.strategies, [name]):
            raise _refused(
                f"{option} is {name!r}, and account {wanted.account} has a strategy whose name only looks "
                f"like it, among {', '.join(map(repr, book.strategies))}; expected that name exactly"
            )
    held = book.held_by(wanted.source).get(wanted.symbol, 0)
    is_part = 0 < wanted.units <= held if held > 0 else held <= wanted.units < 0
    if not is_part:
        raise _refused(
            f"--qty is {shares(wanted.units)}; expected a part of the {shares(held)} {wanted.symbol} that "
            f"{named(wanted.source)} holds in account {wanted.account}"
        )


def assignment_documents(
    wanted: Assignment, book: StrategyBook, decided: Decision, *, number: int = 0
) -> list[dict[str, Any]]:
    """Return the two ledger documents of an assignment, to be written together.

    The books before, and ``number``, make their ids: the same assignment of the same books has the same ids,
    so that one that was cut off can be repeated. ``number`` tells apart those that are meant to be several.
    Raises ``EngineError`` for an empty text.
    """
    evidence = {
        "from": wanted.source,
        "to": wanted.target,
        "from_qty": book.held_by(wanted.source).get(wanted.symbol, 0) / UNITS,
        "to_qty": book.held_by(wanted.target).get(wanted.symbol, 0) / UNITS,
        "number": number,
    }
    return [
        adjustment_document(
            account=wanted.account,
            symbol=wanted.symbol,
            qty=units / UNITS,
            kind=ASSIGNMENT,
            by=decided.by,
            why=decided.why,
            at=decided.at,
            trading_date=decided.trading_date,
            evidence=evidence,
            strategy_id=strategy,
        )
        for strategy, units in ((wanted.source, -wanted.units), (wanted.target, wanted.units))
    ]


def _refused(why: str) -> UsageError:
    return UsageError(
        f"{why}. Nothing was assigned; `execution-engine positions show --by-strategy` shows the books."
    )
