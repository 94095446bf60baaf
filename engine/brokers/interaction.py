"""One request to a broker and what came of it, as it is kept: in VCR's form, with nothing secret in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

NEVER_LEFT = "NotSent: "
"""An ``error`` begins so where the engine itself kept the request from leaving."""


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """A request and its reply, or the reason why there was none.

    ``number``: the order in which requests started. ``started_at``: ISO 8601, UTC. ``took_s``: seconds until
    the whole reply was in. ``request`` has ``method, uri, body, headers`` and ``response`` has ``status,
    headers, body``, as vcrpy's JSON serializer writes them. Without a reply, ``response`` is None and
    ``error`` says why; with one it is "". ``account`` is what intents call the account of the keys, "" where
    nobody has named it: two accounts may use the same client ids at the same host. ``job``: 1 for that which
    began the run, 2 for the one that resumed it.
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
        """Write it as one line of JSON, without the line's end."""
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, line: bytes) -> Interaction:
        """Read what ``as_json`` wrote; raises ``ValueError`` for anything else."""
        fields = orjson.loads(line)
        if isinstance(fields, dict):
            fields.setdefault("job", 1)  # jobs weren't counted once
        shape = {name: type(value) for name, value in fields.items()} if isinstance(fields, dict) else None
        if shape not in _SHAPES:
            raise ValueError(f"it is no exchange: {line[:100].decode('utf-8', 'replace')!r}")
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
