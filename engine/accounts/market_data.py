"""Access to market data: which provider's quotes, with whose keys, and where its traffic is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Protocol, Unpack

from engine.accounts.configured import AccountSettings
from engine.brokers.quotes import MarketData
from engine.brokers.trading import Recorder

if TYPE_CHECKING:
    from engine.brokers.chosen import ReadSettings


class Provider(MarketData, Protocol):
    """A provider of quotes whose traffic can be recorded."""

    def recorded(self, recorder: Recorder) -> MarketData:
        """Return the same provider, at the same pace; ``recorder`` records every request and reply."""
        ...


@dataclass(frozen=True, kw_only=True)
class MarketDataAccess:
    """Access to quotes.

    ``provider`` returns the provider at a host, for a feed, and raises ``ConfigurationError`` without keys.
    ``recorder`` records the traffic, None in a dry run.
    """

    provider: Callable[[str, str], Provider] = field(repr=False)
    recorder: Recorder | None = field(default=None, repr=False)

    def at(self, host: str, feed: str) -> MarketData:
        """Return the provider at a host, for a feed. Raises ``ConfigurationError``."""
        provider = self.provider(host, feed)
        return provider if self.recorder is None else provider.recorded(self.recorder)

    def recorded(self, recorder: Recorder) -> MarketDataAccess:
        """Return the same access; ``recorder`` records every request and reply."""
        return replace(self, recorder=recorder)


def market_data_access(
    accounts: Callable[[], Sequence[AccountSettings]], **reading: Unpack[ReadSettings]
) -> MarketDataAccess:
    """Return the access with the keys of the first account by name; they are read at the first request.

    Quotes are the same for all accounts, and for paper and live keys.
    """

    @cache
    def provider(host: str, feed: str) -> Provider:
        from engine.brokers.chosen import AlpacaMarketData

        first = accounts()[0]
        return AlpacaMarketData(
            feed=feed, api_key=first.api_key, secret_key=first.secret_key, data_host=host, **reading
        )

    return MarketDataAccess(provider=provider)
