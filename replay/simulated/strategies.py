"""Strategies that drop intents at the end of each bar: three valid ones, and one that misbehaves.

Each trades its own symbols, sees their prices and positions, and draws from its own random generator. Their
purpose is to fill days with orders of every kind, not to earn anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, Protocol

Row = dict[str, Any]

_MOVE = 0.002
"""The smallest return since the previous bar on which ``Momentum`` trades."""
_LARGEST_QTY = 30


@dataclass(frozen=True, kw_only=True)
class Bar:
    """The end of a bar: its timestamp (UTC), its number in the session, and whether it is the last one.

    ``prices`` and ``earlier`` are the mid prices now and at the end of the previous bar (of the previous
    session, for the first bar), in USD; ``held`` are the account's shares by symbol.
    """

    timestamp: datetime
    number: int
    is_last: bool
    prices: Mapping[str, float]
    earlier: Mapping[str, float]
    held: Mapping[str, float]

    def move(self, symbol: str) -> float:
        """Return the return since the previous bar."""
        return self.prices[symbol] / self.earlier[symbol] - 1


class Strategy(Protocol):
    """Returns intents at the end of a bar; ``kind`` is the format of its files."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def kind(self) -> str:
        """The format of its files: jsonl, csv or parquet."""
        ...

    @property
    def symbols(self) -> Sequence[str]:
        """The symbols that it alone trades."""
        ...

    def intents(self, bar: Bar, random: Random) -> list[Row]:
        """Return the intents at the end of this bar."""
        ...


class Momentum:
    """Follows price moves with market orders of up to 30 shares."""

    name, kind, symbols = "momentum", "jsonl", ("SPY", "QQQ", "AAPL")

    def intents(self, bar: Bar, random: Random) -> list[Row]:
        """Buy symbols that rose and sell symbols that fell since the previous bar."""
        rows = []
        for symbol in self.symbols:
            move = bar.move(symbol)
            if abs(move) > _MOVE:
                side = "buy" if move > 0 else "sell"
                qty = _not_across_zero(side, random.randint(1, _LARGEST_QTY), bar.held.get(symbol, 0))
                rows.append(_order(self.name, symbol, side, qty, bar))
        return rows


class MeanReversion:
    """Places resting limit orders around the price; cancels the last ones before the close."""

    name, kind, symbols = "mean_reversion", "csv", ("MSFT", "NVDA", "AMZN")

    def __init__(self) -> None:
        self._resting: list[str] = []

    def intents(self, bar: Bar, random: Random) -> list[Row]:
        """Place one limit order per symbol; at the last bar cancel those of the previous bar instead."""
        if bar.is_last:
            withdrawn, self._resting = self._resting, []
            return [_cancel(self.name, target, bar) for target in withdrawn]
        rows = []
        for symbol in self.symbols:
            side = "buy" if bar.held.get(symbol, 0) <= 0 else "sell"
            away = random.uniform(-0.001, 0.004)
            price = bar.prices[symbol] * (1 - away if side == "buy" else 1 + away)
            qty = _not_across_zero(side, random.randint(1, _LARGEST_QTY), bar.held.get(symbol, 0))
            row = _order(self.name, symbol, side, qty, bar)
            row |= {"order_type": "limit", "limit_price": round(price, 2)}
            row["client_intent_id"] = f"mr-{bar.timestamp:%Y%m%dT%H%M}-{symbol}"
            rows.append(row)
        self._resting = [str(row["client_intent_id"]) for row in rows]
        return rows


class Rebalancing:
    """Rebalances each symbol to a target once a day; some buys have bracket exits."""

    name, kind, symbols = "rebalancing", "parquet", ("IWM", "TLT", "GLD")

    def intents(self, bar: Bar, random: Random) -> list[Row]:
        """Trade the difference to the day's targets, at the last bar only."""
        if not bar.is_last:
            return []
        rows = []
        for symbol in self.symbols:
            wanted = random.randint(0, 60)
            missing = wanted - bar.held.get(symbol, 0.0)
            if abs(missing) < 1:
                continue
            side = "buy" if missing > 0 else "sell"
            row = _order(self.name, symbol, side, abs(missing), bar)
            if missing > 0 and random.random() < 0.3:
                price = bar.prices[symbol]
                row |= {
                    "order_class": "bracket",
                    "take_profit_limit_price": round(price * 1.05, 2),
                    "stop_loss_stop_price": round(price * 0.95, 2),
                }
            rows.append(row)
        return rows


class Misbehaving:
    """Sends what faulty strategies send: oversized, duplicate, malformed and too many orders."""

    name, kind, symbols = "misbehaving", "jsonl", ("TSLA", "AMD")

    def intents(self, bar: Bar, random: Random) -> list[Row]:
        """Return, in three of five bars, one valid order and some that must be refused; else none."""
        symbol = random.choice(self.symbols)
        held = bar.held.get(symbol, 0)
        side = "sell" if held > 0 and random.random() < 0.5 else "buy"
        good = _order(self.name, symbol, side, _not_across_zero(side, random.randint(1, 5), held), bar)
        bad: list[list[Row]] = [
            [{**good, "qty": 5_000}],
            [{**good, "qty": -3}],
            [{**good, "side": "long"}],
            [{**good, "client_intent_id": f"twice-{bar.timestamp:%H%M}"}] * 2,
            [{**good, "created_at": "yesterday"}],
            [{**good, "qty": 1, "side": "buy", "metadata": {"n": n}} for n in range(12) if side == "buy"],
        ]
        return [good, *random.choice(bad)] if random.random() < 0.6 else []


def _not_across_zero(side: str, qty: float, held: float) -> float:
    """Return a quantity that at most closes a position: Alpaca refuses an order from long to short."""
    against = held if side == "sell" else -held
    return min(qty, against) if against > 0 else qty


def strategies() -> tuple[Strategy, ...]:
    """Return a new instance of every strategy."""
    return Momentum(), MeanReversion(), Rebalancing(), Misbehaving()


def _order(strategy: str, symbol: str, side: str, qty: float, bar: Bar) -> Row:
    return {
        "strategy_id": strategy,
        "symbol": symbol,
        "side": side,
        "qty": qty,
        "reference_price": round(bar.prices[symbol], 4),
        "created_at": bar.timestamp.isoformat(),
    }


def _cancel(strategy: str, target: str, bar: Bar) -> Row:
    return {
        "strategy_id": strategy,
        "action": "cancel",
        "target_intent_id": target,
        "created_at": bar.timestamp.isoformat(),
    }
