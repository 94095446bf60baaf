"""Rule: an account that has lost its limit opens no position until a person has looked at it.

Compared are the equity at the end of the session before, and the highest of this session, with cash, longs at
the bid and shorts at the ask; unrealised losses count. The run sets a latch on the account before it seals
its results (``engine.run.latching``), so that no recovery lifts the stop; ``enable-account`` clears it.
Source: RTS 6 Art. 17 (post-trade controls that stop trading); FIA 2024 (drawdown limits); SEC Rule
15c3-5(c)(1)(i).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.model.money import to_usd, usd_to_units
from engine.model.quantity import Floats, Mask
from engine.risk.latched import are_latched
from engine.risk.levels import ACCOUNT, ALL
from engine.risk.losses import Loss
from engine.risk.rule import Figure, Limit, Part, PricedJudge, Rule
from engine.risk.valuing import Valuation
from engine.risk.verdicts import FAIL, PASS, UNAVAILABLE, Amounts, Verdicts, worse
from engine.settings.values import as_usd
from engine.text.plain_text import trimmed

NAME = "daily_loss_limit_reached"
_SINCE_START, _FROM_PEAK = "since_start", "from_peak"


def _judge(which: str) -> PricedJudge:
    """Return a judge that fails the orders of accounts whose loss is at the limit or beyond, or latched."""

    def judge(valuation: Valuation, most_usd: float) -> Verdicts:
        loss = _losses(valuation, which)
        reached = np.where(loss.units >= usd_to_units(most_usd), np.int8(FAIL), np.int8(PASS))
        reached[~loss.known] = UNAVAILABLE
        return worse(are_latched(valuation.batch, valuation.inputs, NAME, "broker_account_id"), reached)

    return judge


def facts(valuation: Valuation, passing: Mask) -> Mapping[str, Floats]:
    """Return what each order's account has lost, in USD."""
    found = {"loss_usd": _losses(valuation, _SINCE_START), "drawdown_usd": _losses(valuation, _FROM_PEAK)}
    return {name: np.where(loss.known, to_usd(loss.units), np.nan) for name, loss in found.items()}


def _losses(valuation: Valuation, which: str) -> Amounts:
    """Return what each order's account has lost, in units of money."""
    batch = valuation.batch
    unknown = Loss(None, None)
    amounts = [
        getattr(valuation.losses.get(trimmed(name), unknown), which) for name in batch.accounts.code_of
    ]
    units = np.array([*(0 if one is None else one for one in amounts), 0], dtype=np.int64)
    known = np.array([*(one is not None for one in amounts), False], dtype=bool)
    codes = batch.accounts.codes
    return Amounts(units[codes], known[codes])


_READS = ("latches", "account_figures", "prices")
_SCOPES = (ALL, ACCOUNT)

RULE = Rule(
    name=NAME,
    source="RTS 6 Art. 17; FIA 2024; SEC Rule 15c3-5(c)(1)(i)",
    explain=(
        "only orders that reduce a position pass until an operator enables the account; it has lost "
        "{loss_usd:,.2f} USD since the day's start, limit {daily_loss_limit_usd:,.2f} USD; it is "
        "{drawdown_usd:,.2f} USD below the session's peak, limit {drawdown_limit_usd:,.2f} USD"
    ),
    limit=Limit(
        key="max_daily_loss_usd",
        unit="USD",
        parse=as_usd,
        meaning="loss of an account since the day's start at which it is stopped until it is enabled",
        env="EXEC_MAX_DAILY_LOSS_USD",
        scopes=_SCOPES,
    ),
    reads=_READS,
    reads_by_key={"max_drawdown_usd": _READS},
    figures=(
        Figure("loss_usd", "USD", "fact"),
        Figure("daily_loss_limit_usd", "USD", "limit"),
        Figure("drawdown_usd", "USD", "fact"),
        Figure("drawdown_limit_usd", "USD", "limit", key="max_drawdown_usd"),
    ),
    facts=facts,
    reducing="pass",
    priced_judge=_judge(_SINCE_START),
    more=(
        Part(
            limit=Limit(
                key="max_drawdown_usd",
                unit="USD",
                parse=as_usd,
                meaning="loss of an account from the session's peak at which it is stopped likewise",
                env="EXEC_MAX_DRAWDOWN_USD",
                scopes=_SCOPES,
            ),
            reducing="pass",
            priced_judge=_judge(_FROM_PEAK),
        ),
    ),
)
