"""The armed faults with their remaining strikes, and the orders that lookups don't find yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from replay.simulator.wire.faults import Fault, LookupLag, check, needs_acceptance, to_json


@dataclass
class Armed:
    """An armed fault: it may strike ``left`` times more (None: always), and struck ``struck`` times."""

    number: int
    fault: Fault
    chance: Random
    left: int | None
    struck: int = 0

    def strikes(self, method: str, path: str) -> bool:
        """Return whether the fault strikes a request, and count the strike."""
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
        """Undo the count of a strike."""
        self.struck -= 1
        if self.left is not None:
            self.left += 1

    def as_json(self) -> dict[str, Any]:
        """Return the fault as JSON with its number, its remaining and its past strikes."""
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
        """Arm a fault and return it; raises ConfigurationError for an invalid field."""
        check(fault)
        self._added += 1
        chance = Random(f"{self._seed}/{self._added}")
        self._armed[self._added] = Armed(self._added, fault, chance, fault.when.times)
        return self._armed[self._added]

    def remove(self, number: int) -> bool:
        """Disarm a fault; return False if there is none of that number."""
        return self._armed.pop(number, None) is not None

    def clear(self) -> None:
        """Disarm every fault."""
        self._armed.clear()

    def drawn(self, method: str, path: str) -> tuple[Armed, ...]:
        """Return the faults that strike a request, and count the strikes."""
        if not self._armed:
            return ()
        return tuple(armed for armed in self._armed.values() if armed.strikes(method, path))

    def holds(self, kind: type[Fault]) -> bool:
        """Return whether a fault of some kind is armed, used up or not."""
        return any(isinstance(armed.fault, kind) for armed in self._armed.values())

    def as_json(self) -> list[dict[str, Any]]:
        """Return every armed fault as a JSON object, used-up ones included."""
        return [armed.as_json() for armed in self._armed.values()]


def striking(drawn: Iterable[Armed], *, accepted: bool) -> list[Fault]:
    """Return the faults that strike a request, given its acceptance; undo the count of the others."""
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
    """The accepted orders that lookups don't find yet."""

    def __init__(self) -> None:
        self._by_id: dict[str, _Hidden] = {}

    def hide(self, order: dict[str, Any], lag: LookupLag, now_ns: int) -> None:
        """Hide an order by its id and its client id, for as long as the fault says."""
        until_ns = None if lag.seconds is None else now_ns + round(lag.seconds * 1e9)
        hidden = _Hidden(until_ns, lag.lookups)
        self._by_id |= {str(order["id"]): hidden, str(order["client_order_id"]): hidden}

    def hides(self, key: str | None, now_ns: int) -> bool:
        """Return whether a lookup by id or client id still finds nothing, and count the lookup."""
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
        """Let lookups find every order."""
        self._by_id.clear()
