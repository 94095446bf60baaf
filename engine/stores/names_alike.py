"""Positions under a name that looks like a requested one: they make the requested account unavailable.

A query for ``paper`` does not find a row of ``Paper``, or of ``paper`` with a no-break space, and the account
would pass for flat. Only a name that was itself requested is an account of its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

from engine.text.plain_text import folded, is_plain

Row = tuple[Any, Any, Any]


def alike_in_ascii(wanted: Iterable[str]) -> list[str]:
    """Return the names, folded and without blanks, by which a query finds similar names.

    The query compares them with its own names in small letters and without blanks; it returns all names that
    aren't ASCII, since no server folds them as we do. ``judged_rows`` judges its rows.
    """
    return sorted({folded(name).replace(" ", "") for name in wanted})


def judged_rows(rows: Iterable[Row], wanted: Collection[str]) -> list[Row]:
    """Return position rows as the risk rules can judge them: ``(account, symbol, qty)``.

    Rows of accounts in ``wanted`` stay as they are. Where a symbol isn't plain text, and could be any, the
    account gets a row without a symbol, which makes all of it unavailable. So does an account that another
    name looks like. A row without an account stays, and so does one whose name could mean any account; others
    are left out.
    """
    alike: dict[str, list[str]] = {}
    for name in wanted:
        alike.setdefault(folded(name), []).append(name)
    exact = set(wanted)
    kept: list[Row] = []
    in_doubt: dict[Any, None] = {}
    for account, symbol, qty in rows:
        if account in exact:
            if symbol is None or (isinstance(symbol, str) and is_plain(symbol)):
                kept.append((account, symbol, qty))
            else:
                in_doubt[account] = None
        elif account is None:
            kept.append((account, symbol, qty))
        else:
            name = account if isinstance(account, str) else bytes(account).decode(errors="replace")
            others = alike.get(folded(name), [])
            in_doubt.update(dict.fromkeys(others if others or is_plain(name) else [name]))
    return [*kept, *((account, None, math.nan) for account in in_doubt)]
