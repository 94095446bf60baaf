"""What real answers of the Trading API were like: a table of facts of this project's own.

Read off 65 interactions that four public repositories recorded from 2019 to 2021, and in October 2026.
No body is kept: of an answer its status and the kind of value at each place, of an account before it what is
needed to ask the same again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.replay.simulator.conformance.shapes import Shape

_TABLE = Path(__file__).with_name("recorded_shapes.json")

Json = dict[str, Any]


@dataclass(frozen=True)
class Recorded:
    """One request, what the account had before it, and the status and shape of the answer.

    ``orders`` are the orders of the answer, oldest first, and ``positions`` what was held, of which an order
    held back the last one where ``last_is_held_by_an_order`` says so.
    """

    year: int
    method: str
    path: str
    status: int
    shape: Shape
    query: dict[str, str] = field(default_factory=dict)
    request_body: Json | None = None
    orders: tuple[Json, ...] = ()
    positions: tuple[Json, ...] = ()
    last_is_held_by_an_order: bool = False

    @property
    def asked(self) -> str:
        return f"{self.method} {self.path}"


def recorded() -> list[Recorded]:
    return [
        Recorded(shape=_shape(row["answer"]), **asked)
        for row in json.loads(_TABLE.read_text(encoding="utf-8"))
        for asked in row["asked"]
    ]


def _shape(places_by_kind: dict[str, str]) -> Shape:
    return {
        place: set(kinds.split(" or "))
        for kinds, places in places_by_kind.items()
        for place in places.split()
    }
