"""Every wording of an error that was seen: recorded ones, quoted ones, and those of the documents."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.replay.simulator.conformance.test_errors import RECORDED

_QUOTED = Path(__file__).with_name("quoted_errors.csv")


@dataclass(frozen=True)
class Observed:
    """An error and the evidence for it, graded as in ``replay.simulator.intake.messages``."""

    grade: Literal["R", "S", "O"]
    status: int
    code: int | None
    message: str


def observed_errors() -> list[Observed]:
    recorded = [Observed("R", error.status, error.code, error.message) for error in RECORDED]
    return recorded + _quoted()


def _quoted() -> list[Observed]:
    """Read the wordings of the documents (``S``) and those that several public repositories quote (``O``)."""
    grades: dict[str, Literal["S", "O"]] = {"S": "S", "O": "O"}
    with _QUOTED.open(encoding="utf-8", newline="") as file:
        return [
            Observed(
                grades[row["evidence"]],
                int(row["status"]),
                int(row["code"]) if row["code"] else None,
                row["message"],
            )
            for row in csv.DictReader(file)
        ]
