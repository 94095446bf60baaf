"""The chain of manifests: each names, for every account of its run, the manifest before it and its hash.

A manifest that is changed, removed or replaced so no longer fits the one that follows it, and the newest one
no longer fits the head that the ledger's store keeps (``engine.safety.chain``). A run without an order is
in a chain of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import pyarrow as pa

from engine.record.run_folder import RunFolder

NO_ACCOUNT = "(no account)"
"""The account in whose chain runs without an order are; no account has such a name."""


@dataclass(frozen=True)
class Link:
    """A run, as ``<session>/<run id>``, and the SHA-256 of its manifest's bytes."""

    run: str
    manifest: str

    @classmethod
    def of(cls, run: str, content: bytes) -> Self:
        """Return the link to a run with this manifest."""
        return cls(run, hashlib.sha256(content).hexdigest())

    @classmethod
    def read(cls, value: Any) -> Self | None:
        """Return the link in a JSON value, None for none. Raises ``ValueError`` for anything else."""
        if value is None:
            return None
        named = value if isinstance(value, dict) else {}
        texts = [named[name] for name in ("run", "manifest") if isinstance(named.get(name), str)]
        if len(texts) < 2:
            raise ValueError("no link to a manifest")
        return cls(*texts)

    def record(self) -> dict[str, str]:
        """Return it as JSON values."""
        return asdict(self)


def run_name(folder: RunFolder) -> str:
    """Return how links name a run: its session and its id."""
    return f"{folder.trading_date.isoformat()}/{folder.run_id}"


def accounts_in(batch: pa.Table) -> list[str]:
    """Return the accounts in whose chains a run with this batch is, sorted."""
    names = batch["broker_account_id"].cast(pa.string()).unique().to_pylist()
    return sorted(name for name in names if name is not None) or [NO_ACCOUNT]


def links_of(manifest: Mapping[str, Any]) -> dict[str, Link | None] | None:
    """Return the link before a manifest by account, None where it was written before there was a chain.

    Raises ``ValueError`` where it is damaged.
    """
    chain = manifest.get("chain")
    if chain is None:
        return None
    try:
        return {account: Link.read(link) for account, link in chain.items()}
    except AttributeError:
        raise ValueError("its chain is no object") from None
