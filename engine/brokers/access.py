"""Access to one account: its name, a broker with its keys, and the expected account number."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

from engine.brokers.account import BrokerAccount, why_it_cannot_trade
from engine.brokers.trading import TradingBroker
from engine.errors import BrokerRejected, DataUnavailable

_NOT_THESE_KEYS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


@dataclass(frozen=True, kw_only=True)
class Access:
    """One account: its name ("" where it has none), and a broker with its keys.

    ``account_number``: the expected number, None for any. ``keys``: where the accounts file reads the keys
    from, for messages; "" without such a file.
    """

    account: str
    broker: TradingBroker
    account_number: str | None = field(default=None, repr=False)
    keys: str = ""

    def asked(self, *, to_trade: bool = True) -> BrokerAccount:
        """Return the account as the broker reports it, once it is the expected one and may trade.

        ``to_trade`` False skips the second check. Raises ``DataUnavailable`` where a check fails, and
        ``BrokerError`` where the broker can't be reached.
        """
        try:
            found = self.broker.get_account()
        except BrokerRejected as error:
            if error.status not in _NOT_THESE_KEYS or not self.keys:
                raise
            raise DataUnavailable(
                f"{self.broker.trading_host} refuses the keys in {self.keys}: HTTP {error.status}. Check "
                f"that they are valid and belong to this host. No other account is affected."
            ) from error
        if self.account_number is not None and found.account_number != self.account_number:
            raise DataUnavailable(
                f"the keys belong to account {found.shown_as}, but another number is expected. Correct "
                f"account_number in the accounts file, or the keys."
            )
        if to_trade and (why := why_it_cannot_trade(found)):
            raise DataUnavailable(why)
        return found
