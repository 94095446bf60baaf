"""Asset records that a run has read at a broker, kept for the later runs of the same session.

``assets/<session>/<host>-<hash>.json``: records that were read at one host. The files are derived and may be
removed at any time; those of earlier sessions are, and are never read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

from xxhash import xxh3_128_hexdigest

from engine.brokers.assets import Asset
from engine.errors import AlreadyWritten, EngineError, RecordError
from engine.record.formats import json_bytes, read_json
from engine.record.objects import Objects

_PLACE = "assets/"
_HOST_LETTERS = 16


@dataclass(frozen=True)
class KnownAssets:
    """The records by canonical symbol; ``is_listed``: the host's whole list of active assets is in them."""

    by_symbol: dict[str, Asset]
    is_listed: bool = False


@dataclass(frozen=True)
class KeptAssets:
    """The kept records of one session and host."""

    objects: Objects
    session: date
    host: str

    def read(self) -> KnownAssets:
        """Return the records; a file that is damaged, or of another session or host, is left out."""
        known: dict[str, Asset] = {}
        is_listed = False
        for key in _keys(self.objects, self.session):
            if not key.startswith(self._start):
                continue
            kept = _content(self.objects, key)
            if kept and (kept["session"], kept["host"]) == (self.session.isoformat(), self.host):
                known |= {symbol: _asset(symbol, flags) for symbol, flags in kept["assets"].items()}
                is_listed = is_listed or kept["is_listed"] is True
        return KnownAssets(known, is_listed)

    def keep(self, assets: Collection[Asset], *, is_listed: bool) -> None:
        """Keep more records, and remove those of earlier sessions; do nothing where a write fails."""
        content = json_bytes(
            {
                "session": self.session.isoformat(),
                "host": self.host,
                "is_listed": is_listed,
                "assets": {one.symbol: [one.tradable, one.fractionable, one.shortable] for one in assets},
            }
        )
        with suppress(EngineError, OSError):
            with suppress(AlreadyWritten):
                self.objects.put(f"{self._start}{xxh3_128_hexdigest(content)}.json", content)
            for key in self.objects.list(_PLACE):
                if key.split("/")[1] < self.session.isoformat():
                    self.objects.delete(key)

    @property
    def _start(self) -> str:
        host = xxh3_128_hexdigest(self.host.encode())[:_HOST_LETTERS]
        return f"{_PLACE}{self.session.isoformat()}/{host}-"


def hosts_kept(objects: Objects, session: date) -> list[str]:
    """Return the hosts of which records are kept for a session, in alphabetical order."""
    kept = (_content(objects, key) for key in _keys(objects, session))
    return sorted({str(one["host"]) for one in kept if one and one["session"] == session.isoformat()})


def _keys(objects: Objects, session: date) -> Iterator[str]:
    with suppress(RecordError):
        yield from objects.list(f"{_PLACE}{session.isoformat()}/")


def _content(objects: Objects, key: str) -> dict[str, Any] | None:
    """Return the content of a file, None where it isn't the one that was written."""
    try:
        content = objects.read(key)
        is_whole = key.endswith(f"-{xxh3_128_hexdigest(content)}.json")
        return read_json(key, content) if is_whole else None
    except RecordError:
        return None


def _asset(symbol: str, flags: list[bool | None]) -> Asset:
    tradable, fractionable, shortable = flags
    return Asset(symbol=symbol, tradable=tradable, fractionable=fractionable, shortable=shortable)
