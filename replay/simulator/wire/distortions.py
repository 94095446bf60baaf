"""The effects of market data faults on the data of each symbol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from replay.simulator.data.distorting import At, Body
from replay.simulator.decimals import on_tick
from replay.simulator.timestamps import SECOND
from replay.simulator.wire import data_faults as f
from replay.simulator.wire.armed import Armed
from replay.simulator.wire.data_faults import DataFault

STUB_PRICE = 199_999.99

_HUNDRED = Decimal(100)
_HALF = Decimal("0.5")
_NOT_FIRM = ["N"]


class Distortions:
    """The market data faults that strike one request."""

    def __init__(self, drawn: Iterable[Armed]) -> None:
        self._drawn = [(armed, armed.fault) for armed in drawn if isinstance(armed.fault, DataFault)]
        self._touched: set[int] = set()

    def settle(self) -> None:
        """Undo the count of the faults whose symbols were not asked for."""
        for armed, _ in self._drawn:
            if armed.number not in self._touched:
                armed.spare()

    def lacks(self, symbol: str) -> bool:
        """Return whether a symbol is to be absent."""
        return any(isinstance(fault, f.MissingSymbol) for fault in self._of(symbol))

    def is_null(self, symbol: str) -> bool:
        """Return whether all of a symbol's data is to be null."""
        return any(isinstance(fault, f.NullParts) and fault.part == "all" for fault in self._of(symbol))

    def part(self, symbol: str, name: str, at: At) -> Body | None:
        """Return one part of a symbol's data; ``at`` returns the part of so many nanoseconds ago."""
        faults = list(self._of(symbol))
        if any(isinstance(fault, f.NullParts) and fault.part == name for fault in faults):
            return None
        part = at(_age_ns(faults, name))
        if name == "latestQuote":
            for fault in faults:
                part = _quote(fault, part)
        return part

    def _of(self, symbol: str) -> Iterator[DataFault]:
        for armed, fault in self._drawn:
            if fault.symbols == "*" or symbol in fault.symbols.split(","):
                self._touched.add(armed.number)
                yield fault


def _age_ns(faults: Sequence[DataFault], name: str) -> int:
    ages = [0.0]
    for fault in faults:
        match fault:
            case f.HaltedSymbol(seconds=seconds):
                ages.append(seconds)
            case f.StaleQuote(seconds=seconds) if name == "latestQuote":
                ages.append(seconds)
    return round(max(ages) * SECOND)


def _quote(fault: DataFault, quote: Body) -> Body:
    match fault:
        case f.WideQuote(percent=percent):
            return quote | _wide(quote, Decimal(repr(percent)))
        case f.CrossedQuote():
            return quote | {"ap": quote["bp"], "bp": quote["ap"]}
        case f.OneSidedQuote(lacks="bid"):
            return quote | {"bp": 0, "bs": 0}
        case f.OneSidedQuote():
            return quote | {"ap": 0, "as": 0}
        case f.StubQuote():
            return quote | {"ap": STUB_PRICE, "as": 1}
        case f.HaltedSymbol():
            return quote | {"ap": 0, "as": 0, "bp": 0, "bs": 0, "c": _NOT_FIRM}
    return quote


def _wide(quote: Body, percent: Decimal) -> Body:
    bid, ask = (Decimal(repr(quote[side])) for side in ("bp", "ap"))
    mid = (bid + ask) * _HALF
    away = mid * percent / _HUNDRED * _HALF
    return {"bp": float(on_tick(mid - away, up=False)), "ap": float(on_tick(mid + away, up=True))}
