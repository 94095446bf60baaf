"""The names that a session knows, kept beside the runs, so that sessions without a match need not be read.

``names/<session>/<hash>.txt`` has every id, strategy, symbol and file of a session, one per line, after a
hash of them and of the key. It is derived and may be removed at any time. The hash in its name covers the
session's run folders and their times of change: once a run was moved, pruned or put back, the file is written
again. It only rules sessions out; what is found is read from the runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from xxhash import xxh3_64_hexdigest, xxh3_128_hexdigest

from engine.errors import EngineError, RecordError
from engine.record.objects import Objects
from engine.record.run_folder import MANIFEST, RunFolder, RunFolders

_PLACE = "names/"
_LONGEST = 4 * 1024 * 1024
"""Bytes. Beyond this, reading the runs takes little longer than reading their names."""


@dataclass(frozen=True)
class SessionNames:
    """The names of a session; ``key`` is where they are kept, "" where they can't be."""

    folders: RunFolders
    session: date
    key: str

    @classmethod
    def of(cls, folders: RunFolders, session: date) -> SessionNames:
        """Return the names of a session, keyed by its present runs."""
        stamps = folders.stamps(session)
        if not stamps or not all(stamps.values()):
            return cls(folders, session, "")
        listed = "\n".join(f"{name} {stamp}" for name, stamp in stamps.items())
        name = xxh3_128_hexdigest(listed.encode(errors="surrogatepass"))
        return cls(folders, session, f"{_PLACE}{session.isoformat()}/{name}.txt")

    @property
    def objects(self) -> Objects:
        """Where runs and names are."""
        return self.folders.objects

    def rule_out(self, texts: Iterable[str]) -> bool:
        """Return whether no name of the session is one of these texts, or begins with one.

        False where no names are kept, or the file is damaged.
        """
        content = self._content()
        return content is not None and not any(_line(text) in content for text in texts)

    def keep(self, runs: Iterable[RunFolder], names: Iterable[str]) -> None:
        """Write the names of a session whose runs are all finished; do nothing where that is impossible."""
        if not self.key or self._content() is not None:
            return
        if not all(self.objects.has(run.key + MANIFEST) for run in runs):
            return
        body = b"".join(map(_line, sorted(set(names)))) + b"\n"
        if len(body) > _LONGEST or SessionNames.of(self.folders, self.session) != self:
            return  # too long, or a run was moved while they were read
        with suppress(EngineError, OSError):  # the user may have no right to write
            for stale in self.objects.list(self.key.rpartition("/")[0] + "/"):
                self.objects.delete(stale)
            self.objects.put(self.key, self._check(body) + body)

    def _content(self) -> bytes | None:
        if not self.key:
            return None
        try:
            content = self.objects.read(self.key)
        except RecordError:
            return None
        checked, body = content[:16], content[16:]
        return body if self._check(body) == checked else None

    def _check(self, body: bytes) -> bytes:
        """Return a hash of names and key: a file of another session is not valid here."""
        return xxh3_64_hexdigest(self.key.encode() + body).encode()


def _line(text: str) -> bytes:
    return b"\n" + text.encode(errors="surrogatepass")
