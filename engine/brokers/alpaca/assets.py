"""Alpaca's asset records: one, or the list of all that are active.

Source: ``GET /v2/assets/{symbol_or_asset_id}`` and ``GET /v2/assets`` in Alpaca's OpenAPI document.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from engine.brokers.alpaca.fields import json_object, json_rows, text_in
from engine.brokers.assets import Asset
from engine.model.symbols import canonical_symbol

ACTIVE_ASSETS = "/v2/assets?status=active"


def asset_path(symbol: str) -> str:
    """Return the path of an asset's record."""
    return f"/v2/assets/{quote(symbol, safe='')}"


def parse_asset(body: bytes) -> Asset:
    """Return an asset's record; raises ``ValueError`` where the body is none."""
    return _asset(json_object(body))


def parse_assets(body: bytes) -> list[Asset]:
    """Return a list of records; raises ``ValueError`` where any row is none."""
    return json_rows(body, _asset)


def only_of(symbols: Collection[str], body: bytes) -> bytes:
    """Return a list of records with those of some symbols alone, and any other body as it is."""
    try:
        rows = [row for row in json.loads(body) if canonical_symbol(row["symbol"]) in symbols]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return body
    return json.dumps(rows).encode()


def _asset(reply: Mapping[str, Any]) -> Asset:
    """Return an asset; one whose status isn't ``active`` is not tradable, whatever its flag says."""
    is_active = text_in(reply, "status") == "active"
    return Asset(
        symbol=canonical_symbol(text_in(reply, "symbol")),
        tradable=_flag(reply, "tradable") if is_active else False,
        fractionable=_flag(reply, "fractionable"),
        shortable=_flag(reply, "shortable"),
    )


def _flag(reply: Mapping[str, Any], field: str) -> bool | None:
    value = reply.get(field)
    return value if isinstance(value, bool) else None
