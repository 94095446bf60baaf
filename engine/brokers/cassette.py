"""A run's exchanges as a VCR cassette, which ``vcr.use_cassette(…, serializer="json")`` opens as it is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import orjson

from engine.brokers.interaction import Interaction

_VERSION = 1  # of the format: vcrpy's ``CASSETTE_FORMAT_VERSION``


def cassette_bytes(interactions: Iterable[Interaction]) -> bytes:
    """Write exchanges as a cassette in JSON, in the order of their numbers, one a line and all in ASCII.

    Requests that got no answer stand under ``unanswered``, since an interaction needs a response. Besides
    what vcrpy reads, each has its ``number``, ``started_at`` (ISO 8601, UTC) and ``took_s`` (seconds), the
    ``account`` where that has a name, and the ``job`` from the second on.
    """
    answered, unanswered = [], []
    for interaction in sorted(interactions, key=attrgetter("number")):
        if interaction.response is None:
            unanswered.append(_line(interaction, {"error": interaction.error}))
        else:
            answered.append(_line(interaction, {"response": interaction.response}))
    return b'{"version": %d,\n"interactions": [%b],\n"unanswered": [%b]}\n' % (
        _VERSION,
        _listed(answered),
        _listed(unanswered),
    )


def _line(interaction: Interaction, outcome: dict[str, Any]) -> bytes:
    fields = {
        "number": interaction.number,
        "started_at": interaction.started_at,
        "took_s": interaction.took_s,
        **({"account": interaction.account} if interaction.account else {}),
        **({"job": interaction.job} if interaction.job > 1 else {}),
        "request": interaction.request,
        **outcome,
    }
    line = orjson.dumps(fields)
    # vcrpy reads the file in whatever encoding the machine prefers.
    return line if line.isascii() else json.dumps(fields, separators=(",", ":")).encode()


def _listed(lines: list[bytes]) -> bytes:
    return b"\n%b\n" % b",\n".join(lines) if lines else b""
