"""A trading lease as the store keeps it, and its holder.

It is the document ``lease-<account key>`` in the store of the ledger, written by compare-and-set::

    holder       who holds it, for messages
    identity     the holder's data folder, in this boot of its machine; empty where unknown
    nonce        a new one for each acquisition
    tenure       the lease epoch: unchanged while jobs of one data folder are the only holders
    expires_at   ISO text in UTC; null once it was released
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.safety.agent_state import process_name

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Holder:
    """The holder of a lease: ``name`` for messages, ``identity`` of the data folder, "" where unknown."""

    name: str
    identity: str = ""

    @classmethod
    def of(cls, data_dir: Path, *, boot_id: Path = _BOOT_ID) -> Holder:
        """Return this process as holder, with the data folder whose exclusive lock it holds.

        The identity is the lock file's inode in this boot of the machine: a copy of the folder has another
        one, and so has the folder after a restart. A job that holds the lock knows that any other holder with
        the same identity is dead.
        """
        name = f"{process_name()}, data folder {data_dir.absolute()}"
        try:
            boot = boot_id.read_text(encoding="ascii").strip()
            lock = (data_dir / ".lock").stat()
        except (OSError, UnicodeError):
            return cls(name)
        if not boot or not lock.st_ino:
            return cls(name)
        return cls(name, hashlib.sha256(f"{boot} {lock.st_dev} {lock.st_ino}".encode()).hexdigest())


@dataclass(frozen=True)
class KeptLease:
    """A lease as the store keeps it; ``expires_at`` is None once it was released."""

    holder: str
    identity: str
    nonce: str
    lease_epoch: str
    expires_at: datetime | None

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> KeptLease:
        """Return the lease in a document. Raises ``ValueError``, ``TypeError`` or ``KeyError`` if invalid."""
        texts = [document[name] for name in ("holder", "identity", "nonce", "tenure")]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("holder, identity, nonce and tenure are not all text")
        text = document["expires_at"]
        timestamp = None if text is None else datetime.fromisoformat(text)
        if timestamp is not None and timestamp.utcoffset() != timedelta(0):
            raise ValueError(f"expires_at is {text!r}, which is not in UTC")
        holder, identity, nonce, lease_epoch = texts
        return cls(holder, identity, nonce, lease_epoch, timestamp)

    def document(self) -> dict[str, Any]:
        """Return the lease as the store keeps it."""
        timestamp = None if self.expires_at is None else self.expires_at.isoformat()
        return {
            "holder": self.holder,
            "identity": self.identity,
            "nonce": self.nonce,
            "tenure": self.lease_epoch,
            "expires_at": timestamp,
        }

    def until(self) -> str:
        """Return for messages until when it is held."""
        return "it was released" if self.expires_at is None else f"{self.expires_at:%Y-%m-%d %H:%M:%S} UTC"
