"""How an account is reached: what it is called, a broker with its keys, and which account that should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

from engine.brokers.account import BrokerAccount, why_it_cannot_trade
from engine.brokers.trading import TradingBroker
from engine.errors import BrokerRejected, DataUnavailable

_NOT_THESE_KEYS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


@dataclass(frozen=True, kw_only=True)
class Access:
    """One account: its name ("" where nobody gave one), and a broker with its keys.

    ``account_number`` is the one that is expected; None for any. ``keys`` says where the accounts file has
    the keys from, for messages; "" where there is no such file.
    """

    account: str
    broker: TradingBroker
    account_number: str | None = field(default=None, repr=False)
    keys: str = ""

    def asked(self, *, to_trade: bool = True) -> BrokerAccount:
        """Ask the broker for the account; it must be the one expected and, ``to_trade``, one that may trade.

        Raises ``DataUnavailable`` where it is not, ``BrokerError`` where the broker can't be asked.
        """
        try:
            found = self.broker.get_account()
        except BrokerRejected as error:
            if error.status not in _NOT_THESE_KEYS or not self.keys:
                raise
            raise DataUnavailable(
                f"{self.broker.trading_host} does not take the keys in {self.keys}: HTTP {error.status}. See "
                f"that they are valid, and of this host; nobody else's account is concerned."
            ) from error
        if self.account_number is not None and found.account_number != self.account_number:
            raise DataUnavailable(
                f"the keys are of account {found.shown_as}, and another number is expected. Correct "
                f"account_number in the accounts file, or the keys."
            )
        if to_trade and (why := why_it_cannot_trade(found)):
            raise DataUnavailable(why)
        return found
