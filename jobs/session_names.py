"""What a session can be asked for, kept beside the runs, so that sessions without it need not be read.

``names/<session>/<hash>.txt`` has every id, strategy, symbol and file of a session, one a line, below a hash
of themselves and of where they are. It is derived and may be removed at any time. The hash in its name is one
of the session's run folders and of when each last changed: once a run was moved, pruned or put back, it is
made anew. It only says where there is nothing to find; what is found is read from the runs.
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
"""Bytes. Beyond it reading the runs takes little longer than reading their names."""


@dataclass(frozen=True)
class SessionNames:
    """What is kept of a session; ``key`` is where, "" where nothing can be."""

    folders: RunFolders
    session: date
    key: str

    @classmethod
    def of(cls, folders: RunFolders, session: date) -> SessionNames:
        """Return where the names of a session are, as its runs are now."""
        stamps = folders.stamps(session)
        if not stamps or not all(stamps.values()):
            return cls(folders, session, "")
        said = "\n".join(f"{name} {stamp}" for name, stamp in stamps.items())
        name = xxh3_128_hexdigest(said.encode(errors="surrogatepass"))
        return cls(folders, session, f"{_PLACE}{session.isoformat()}/{name}.txt")

    @property
    def objects(self) -> Objects:
        """Where runs and names are."""
        return self.folders.objects

    def rule_out(self, texts: Iterable[str]) -> bool:
        """Return whether nothing of the session is called like one of these texts, or begins so.

        False where nothing is kept, or what is kept is damaged.
        """
        content = self._content()
        return content is not None and not any(_line(text) in content for text in texts)

    def keep(self, runs: Iterable[RunFolder], names: Iterable[str]) -> None:
        """Keep the names of a session whose runs are all finished; where that can't be, leave it."""
        if not self.key or self._content() is not None:
            return
        if not all(self.objects.has(run.key + MANIFEST) for run in runs):
            return
        body = b"".join(map(_line, sorted(set(names)))) + b"\n"
        if len(body) > _LONGEST or SessionNames.of(self.folders, self.session) != self:
            return  # too long, or a run was moved while they were read
        with suppress(EngineError, OSError):  # the user may have the right to read alone
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
        """Return a hash of names and of where they belong: those of another session are none."""
        return xxh3_64_hexdigest(self.key.encode() + body).encode()


def _line(text: str) -> bytes:
    return b"\n" + text.encode(errors="surrogatepass")
