"""Announcements of corporate actions: the splits of this account's market; it has no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from replay.simulator.decimals import plain
from replay.simulator.intake import messages
from replay.simulator.intake.queries import day, word, words
from replay.simulator.market.tape import Split
from replay.simulator.timestamps import NEW_YORK, SECOND

TYPES = frozenset({"spinoff", "merger", "split", "reorg", "dividend"})
MOST_DAYS = timedelta(days=90)

_DATES = frozenset({"declaration_date", "ex_date", "record_date", "payable_date"})
_NAMESPACE = uuid5(NAMESPACE_URL, "execution-engine/simulator/announcements")


def announcements(splits: Iterable[Split], query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Answer GET /v2/corporate_actions/announcements; raises ``Refusal`` for invalid parameters."""
    types = {name.lower() for name in words(query, "ca_types") or ()}
    since, until = day(query, "since"), day(query, "until")
    date_type = word(query, "date_type", _DATES, "ex_date")
    if not types:
        raise messages.PARAMETER_MISSING("ca_types")
    if not types <= TYPES:
        raise messages.BAD_PARAMETER("ca_types")
    if since is None or until is None:
        raise messages.PARAMETER_MISSING("since" if since is None else "until")
    if until - since > MOST_DAYS:
        raise messages.LONG_RANGE()
    if "split" not in types or query.get("cusip"):  # nothing here has a CUSIP
        return []
    symbol = query.get("symbol")
    bodies = [announcement_body(split) for split in splits if not symbol or split.symbol == symbol]
    return [body for body in bodies if since.isoformat() <= body[date_type] <= until.isoformat()]


def announcement(splits: Iterable[Split], announcement_id: str) -> dict[str, Any]:
    """Answer GET /v2/corporate_actions/announcements/{id}; raises ``Refusal`` for an unknown one."""
    for split in splits:
        body = announcement_body(split)
        if body["id"] == announcement_id.lower():
            return body
    raise messages.ANNOUNCEMENT_NOT_FOUND(announcement_id)


def announcement_body(split: Split) -> dict[str, Any]:
    """Return Alpaca's JSON object of a split, which takes place on the day it is announced."""
    name = f"{split.symbol}/{split.t_ns}/{split.ratio}"
    on = datetime.fromtimestamp(split.t_ns // SECOND, UTC).astimezone(NEW_YORK).date().isoformat()
    return {
        "id": str(uuid5(_NAMESPACE, name)),
        "corporate_action_id": f"{split.symbol}_{split.t_ns}",
        "ca_type": "split",
        "ca_sub_type": "stock_split" if split.ratio > 1 else "reverse_split",
        "initiating_symbol": split.symbol,
        "initiating_original_cusip": "",
        "target_symbol": split.symbol,
        "target_original_cusip": "",
        "declaration_date": on,
        "effective_date": on,
        "ex_date": on,
        "record_date": on,
        "payable_date": on,
        "cash": "0",
        "old_rate": "1",
        "new_rate": plain(split.ratio),
    }
