"""One request to a broker and its reply, as recorded: in VCR's form, without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

NEVER_LEFT = "NotSent: "
"""The beginning of ``error`` where the engine itself prevented the request from being sent."""


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """A request and its reply, or the reason why there was none.

    ``number``: the order in which requests started. ``started_at``: ISO 8601, UTC. ``took_s``: seconds until
    the whole reply was received. ``request`` has ``method, uri, body, headers`` and ``response`` has
    ``status, headers, body``, as vcrpy's JSON serializer writes them. Without a reply, ``response`` is None
    and ``error`` has the reason; else ``error`` is "". ``account``: the account's name in intents, "" where
    it has none; two accounts may use the same client ids at the same host. ``job``: 1 for the job that began
    the run, 2 for the one that resumed it.
    """

    number: int
    started_at: str
    took_s: float
    request: Mapping[str, Any]
    response: Mapping[str, Any] | None
    error: str
    account: str = ""
    job: int = 1

    def as_json(self) -> bytes:
        """Return the interaction as one line of JSON, without a line break."""
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, line: bytes) -> Interaction:
        """Return the interaction that ``as_json`` wrote; raises ``ValueError`` for anything else."""
        fields = orjson.loads(line)
        if isinstance(fields, dict):
            fields.setdefault("job", 1)  # earlier versions did not count jobs
        shape = {name: type(value) for name, value in fields.items()} if isinstance(fields, dict) else None
        if shape not in _SHAPES:
            raise ValueError(f"it is no interaction: {line[:100].decode('utf-8', 'replace')!r}")
        return cls(**fields)


_ALWAYS = {
    "number": int,
    "started_at": str,
    "took_s": float,
    "request": dict,
    "error": str,
    "account": str,
    "job": int,
}
_SHAPES = ({**_ALWAYS, "response": dict}, {**_ALWAYS, "response": type(None)})
