"""Which faults are armed, how often each may still strike, and which orders can't be looked up yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from replay.simulator.wire.faults import Fault, LookupLag, check, needs_acceptance, to_json


@dataclass
class Armed:
    """A fault that waits for its requests: ``left`` times more (None: always), ``struck`` so far."""

    number: int
    fault: Fault
    chance: Random
    left: int | None
    struck: int = 0

    def strikes(self, method: str, path: str) -> bool:
        """Say whether a request is struck, and count it if so."""
        when = self.fault.when
        if self.left == 0 or not fnmatchcase(method, when.method) or not fnmatchcase(path, when.path):
            return False
        if when.probability is not None and not self.chance.random() < when.probability:
            return False
        self.struck += 1
        if self.left is not None:
            self.left -= 1
        return True

    def spare(self) -> None:
        """Take back that a request was struck."""
        self.struck -= 1
        if self.left is not None:
            self.left += 1

    def as_json(self) -> dict[str, Any]:
        """Give the fault with its number, what is left of it and how often it struck."""
        return {"id": self.number, **to_json(self.fault), "left": self.left, "struck": self.struck}


class Faults:
    """The faults that are armed; they strike in the order in which they were added."""

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self._seed = seed
        self._armed: dict[int, Armed] = {}
        self._added = 0
        for fault in faults:
            self.add(fault)

    def __bool__(self) -> bool:
        return bool(self._armed)

    def add(self, fault: Fault) -> Armed:
        """Arm a fault; raises ConfigurationError if one of its fields holds what it can't."""
        check(fault)
        self._added += 1
        chance = Random(f"{self._seed}/{self._added}")
        self._armed[self._added] = Armed(self._added, fault, chance, fault.when.times)
        return self._armed[self._added]

    def remove(self, number: int) -> bool:
        """Disarm one fault; False if there is none of that number."""
        return self._armed.pop(number, None) is not None

    def clear(self) -> None:
        """Disarm every fault."""
        self._armed.clear()

    def drawn(self, method: str, path: str) -> tuple[Armed, ...]:
        """Give the faults that strike a request, and count it against them."""
        if not self._armed:
            return ()
        return tuple(armed for armed in self._armed.values() if armed.strikes(method, path))

    def holds(self, kind: type[Fault]) -> bool:
        """Say whether a fault of some kind is armed, spent or not."""
        return any(isinstance(armed.fault, kind) for armed in self._armed.values())

    def as_json(self) -> list[dict[str, Any]]:
        """Give every armed fault, spent ones included, as JSON objects."""
        return [armed.as_json() for armed in self._armed.values()]


def striking(drawn: Iterable[Armed], *, accepted: bool) -> list[Fault]:
    """Give the faults that strike a request now that it is accepted or not; the others don't count it."""
    faults: list[Fault] = []
    for armed in drawn:
        if accepted or not needs_acceptance(armed.fault):
            faults.append(armed.fault)
        else:
            armed.spare()
    return faults


@dataclass
class _Hidden:
    until_ns: int | None
    lookups: int | None


class HiddenOrders:
    """The accepted orders that a lookup does not find yet."""

    def __init__(self) -> None:
        self._by_id: dict[str, _Hidden] = {}

    def hide(self, order: dict[str, Any], lag: LookupLag, now_ns: int) -> None:
        """Hide an order, under its id and its client id, for as long as a fault says."""
        until_ns = None if lag.seconds is None else now_ns + round(lag.seconds * 1e9)
        hidden = _Hidden(until_ns, lag.lookups)
        self._by_id |= {str(order["id"]): hidden, str(order["client_order_id"]): hidden}

    def hides(self, key: str | None, now_ns: int) -> bool:
        """Say whether a lookup by id or client id finds nothing yet; it counts."""
        hidden = self._by_id.get(key) if key else None
        if hidden is None:
            return False
        if hidden.until_ns is not None:
            return now_ns < hidden.until_ns
        if hidden.lookups:
            hidden.lookups -= 1
            return True
        return False

    def clear(self) -> None:
        """Let every order be found."""
        self._by_id.clear()
