"""Watchlists: named lists of assets, which the user keeps with the account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from replay.simulator.intake import messages
from replay.simulator.market.surroundings import Asset, Assets, Clock
from replay.simulator.orders.ids import Ids
from replay.simulator.timestamps import written

LONGEST_NAME = 64


@dataclass(slots=True)
class _Watchlist:
    id: str
    name: str
    created_ns: int
    updated_ns: int
    symbols: list[str] = field(default_factory=list)


class Watchlists:
    """All watchlists of the account; each is addressed by its id or by its name.

    ``assets`` returns the current list of assets. Methods raise ``Refusal`` with nothing changed.
    """

    def __init__(self, account_id: str, clock: Clock, assets: Callable[[], Assets], ids: Ids) -> None:
        self._account_id = account_id
        self._clock = clock
        self._assets = assets
        self._ids = ids
        self._lists: dict[str, _Watchlist] = {}

    def all(self) -> list[dict[str, Any]]:
        """Answer GET /v2/watchlists: every list without its assets, oldest first."""
        return [self._head(each) for each in self._lists.values()]

    def create(self, body: Mapping[str, object]) -> dict[str, Any]:
        """Answer POST /v2/watchlists."""
        name = self._name(body)
        symbols = self._symbols(body) or []
        if name is None:
            raise messages.NAME_MISSING()
        now_ns = self._clock.now_ns()
        made = _Watchlist(self._ids.new(), name, now_ns, now_ns, symbols)
        self._lists[made.id] = made
        return self._body(made)

    def get(self, key: str) -> dict[str, Any]:
        """Answer GET of one list."""
        return self._body(self._found(key))

    def update(self, key: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Answer PUT of one list: a new name, new content, or both."""
        found = self._found(key)
        name, symbols = self._name(body, found), self._symbols(body)
        if name is None and symbols is None:
            raise messages.NAME_MISSING()
        found.name = found.name if name is None else name
        found.symbols = found.symbols if symbols is None else symbols
        return self._updated(found)

    def add(self, key: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Answer POST to one list: an asset added at its end."""
        found = self._found(key)
        symbol = body.get("symbol")
        if not isinstance(symbol, str) or not symbol:
            raise messages.SYMBOL_MISSING()
        own = self._asset(symbol).symbol
        if own in found.symbols:
            raise messages.SYMBOL_TWICE(own)
        found.symbols.append(own)
        return self._updated(found)

    def remove(self, key: str, symbol: str) -> dict[str, Any]:
        """Answer DELETE of a list's asset."""
        found = self._found(key)
        if symbol not in found.symbols:
            raise messages.SYMBOL_NOT_FOUND(symbol)
        found.symbols.remove(symbol)
        return self._updated(found)

    def delete(self, key: str) -> None:
        """Answer DELETE of one list."""
        del self._lists[self._found(key).id]

    def id_of(self, query: Mapping[str, str]) -> str:
        """Return the id of the list with the name in the query of ``/v2/watchlists:by_name``."""
        name = query.get("name")
        if not name:
            raise messages.NAME_MISSING()
        for each in self._lists.values():
            if each.name == name:
                return each.id
        raise messages.WATCHLIST_NOT_FOUND(name)

    def _found(self, key: str) -> _Watchlist:
        found = self._lists.get(key.lower())
        if found is None:
            raise messages.WATCHLIST_NOT_FOUND(key)
        return found

    def _name(self, body: Mapping[str, object], of: _Watchlist | None = None) -> str | None:
        """Return the name in a body, None where it has none; ``of`` is the list that may have it already."""
        name = body.get("name")
        if name is None:
            return None
        if not isinstance(name, str):
            raise messages.BAD_BODY()
        if not name:
            raise messages.NAME_MISSING()
        if len(name) > LONGEST_NAME:
            raise messages.NAME_TOO_LONG()
        if any(each.name == name and each is not of for each in self._lists.values()):
            raise messages.NAME_NOT_UNIQUE()
        return name

    def _symbols(self, body: Mapping[str, object]) -> list[str] | None:
        symbols = body.get("symbols")
        if symbols is None:
            return None
        if not isinstance(symbols, list) or not all(isinstance(each, str) for each in symbols):
            raise messages.BAD_BODY()
        own = [self._asset(symbol).symbol for symbol in cast(list[str], symbols)]
        for place, symbol in enumerate(own):
            if symbol in own[:place]:
                raise messages.SYMBOL_TWICE(symbol)
        return own

    def _asset(self, symbol: str) -> Asset:
        asset = self._assets().get(symbol)
        if asset is None:
            raise messages.ASSET_NOT_FOUND_FOR_ORDER(symbol)
        return asset

    def _updated(self, changed: _Watchlist) -> dict[str, Any]:
        changed.updated_ns = self._clock.now_ns()
        return self._body(changed)

    def _head(self, one: _Watchlist) -> dict[str, Any]:
        return {
            "id": one.id,
            "account_id": self._account_id,
            "created_at": written(one.created_ns),
            "updated_at": written(one.updated_ns),
            "name": one.name,
        }

    def _body(self, one: _Watchlist) -> dict[str, Any]:
        return {**self._head(one), "assets": [self._asset(symbol).body() for symbol in one.symbols]}
