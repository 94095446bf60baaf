"""A run's interactions as a VCR cassette, which ``vcr.use_cassette(…, serializer="json")`` opens as is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import orjson

from engine.brokers.interaction import Interaction

_VERSION = 1  # of the format: vcrpy's ``CASSETTE_FORMAT_VERSION``


def cassette_bytes(interactions: Iterable[Interaction]) -> bytes:
    """Return interactions as a JSON cassette in ASCII, ordered by number, one per line.

    Requests without a reply are under ``unanswered``, since vcrpy requires a response. Besides the fields of
    vcrpy, each has ``number``, ``started_at`` (ISO 8601, UTC) and ``took_s`` (seconds), ``account`` where it
    has a name, and ``job`` from the second job on.
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
    # vcrpy reads the file in the machine's default encoding.
    return line if line.isascii() else json.dumps(fields, separators=(",", ":")).encode()


def _listed(lines: list[bytes]) -> bytes:
    return b"\n%b\n" % b",\n".join(lines) if lines else b""
