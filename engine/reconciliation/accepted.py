"""What an operator has accepted of an account's breaks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from engine.model.breaks import Accepted
from engine.reconciliation.adjustments import accepted_in
from engine.stores.protocols import LedgerStore

ACCEPTED_SINCE = timedelta(days=90)
"""How far back an operator's acceptances are read."""


@dataclass(frozen=True)
class Acceptances:
    """The acceptances of an account's breaks in the last 90 days; none for an account without a name."""

    ledger: LedgerStore
    account: str
    today: date

    @cached_property
    def known(self) -> Accepted:
        """What was accepted; read from the ledger at first use. Raises ``DataUnavailable``."""
        if not self.account:
            return Accepted()
        return accepted_in(self.ledger.adjustments(self.account, since=self.today - ACCEPTED_SINCE))
