"""The checks of ``doctor`` that prices and volumes can be had from where the settings say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from engine.accounts.market_data import MarketDataAccess
from engine.errors import DataUnavailable
from engine.run.market_files.price_file import read_price_file
from engine.run.market_files.volume_file import read_volume_file
from engine.settings.values import ALPACA, INTENTS
from engine.settings.variables import PriceSettings
from engine.waiting.deadline import Deadline

PRICES, VOLUMES = "prices", "average volumes"
_SYMBOL = "SPY"
"""A symbol that every feed of listed shares has."""


def price_checks(
    prices: PriceSettings, access: MarketDataAccess, *, today: Callable[[], date], timeout_s: float
) -> dict[str, Callable[[], str]]:
    """Return the checks of the sources that are set, by name; each returns what it found.

    ``today`` returns the session. They raise ``EngineError``.
    """

    def alpaca() -> str:
        data = access.at(prices.data_host, prices.feed)
        found = data.snapshots([_SYMBOL], deadline=Deadline.after(timeout_s)).quotes.get(_SYMBOL)
        if found is None or found.quote_at is None:
            raise DataUnavailable(f"{prices.data_host} has no quote of {_SYMBOL} in its feed {prices.feed}.")
        return f"{_SYMBOL} {found.bid:g} bid, {found.ask:g} ask, of {found.quote_at:%Y-%m-%d %H:%M:%S} UTC"

    def file(path: str) -> str:
        read_price_file(path, ())
        return f"{path} can be read"

    def volumes(path: str) -> str:
        read_volume_file(path, (), today=today())
        return f"{path} can be read"

    source, adv = prices.source, prices.volumes
    checks: dict[str, Callable[[], str]] = {}
    if source == ALPACA:
        checks[PRICES] = alpaca
    elif source is not None and source != INTENTS:
        checks[PRICES] = lambda: file(source)
    if adv is not None:
        checks[VOLUMES] = lambda: volumes(adv)
    return checks
