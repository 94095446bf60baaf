"""The heads of the chain of manifests, kept in the store of the ledger: the newest manifest of each account.

In the document ``chain-<identity of the data folder>``, by account: the run, its manifest's hash, and the
link before it. It is written right before the manifest, so that a job that is killed in between leaves the
head of a run without a manifest: the run is resumed, or the next one follows the link before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import DataUnavailable, EngineError
from engine.record.folder_identity import folder_identity
from engine.record.links import Link, links_of, run_name
from engine.record.objects import Objects
from engine.record.run_folder import MANIFEST, RunFolder, RunFolders
from engine.stores.protocols import AgentDocuments

_ATTEMPTS = 50
_ACCOUNTS = "accounts"


@dataclass(frozen=True)
class Head:
    """The newest manifest of an account, and the link before it."""

    link: Link
    before: Link | None

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**self.link.record(), "before": None if self.before is None else self.before.record()}


@dataclass(frozen=True)
class Chain:
    """The chain of a data folder: its runs, and the store that keeps its heads."""

    store: AgentDocuments
    objects: Objects

    def heads(self) -> dict[str, Head]:
        """Return the head of each account. Raises ``DataUnavailable``."""
        return _heads_in(self.store.agent_document(self._name))

    def before(self, folder: RunFolder, accounts: Iterable[str]) -> dict[str, Link | None]:
        """Return by account the manifest that a run's own one follows, None for none.

        Of an account without a head, since its store was lost, the newest run in the record is followed.
        Raises ``DataUnavailable``.
        """
        heads = self.heads()
        return {
            account: self._followed(folder, heads[account])
            if account in heads
            else self._newest(account, folder)
            for account in accounts
        }

    def advance(self, link: Link, before: Mapping[str, Link | None]) -> None:
        """Make a manifest the head of its accounts. Raises ``EngineError``."""
        new = {account: Head(link, earlier).record() for account, earlier in before.items()}
        for _ in range(_ATTEMPTS):
            kept = self.store.agent_document(self._name)
            document = {_ACCOUNTS: {**(kept or {}).get(_ACCOUNTS, {}), **new}}
            if self.store.replace_agent_document(self._name, document, replacing=kept):
                return
        raise EngineError(f"the head of the chain is changed by others all the time in {self.store.place}")

    @property
    def _name(self) -> str:
        return f"chain-{folder_identity(self.objects)}"

    def _followed(self, folder: RunFolder, head: Head) -> Link | None:
        """Return the head, or what is before it where its run has no manifest yet.

        A run that is gone, folder and all, is followed all the same: that it is missing then shows for ever.
        """
        if head.link.run == run_name(folder):
            return head.before
        run = f"runs/{head.link.run}/"
        is_unfinished = not self.objects.has(run + MANIFEST) and bool(self.objects.list(run))
        return head.before if is_unfinished else head.link

    def _newest(self, account: str, folder: RunFolder) -> Link | None:
        """Return the run of an account that was finished last, in the newest session that has one."""
        for day in RunFolders(self.objects).by_session(folder.trading_date):
            found = [link for run in day if (link := self._finished(run, account)) is not None]
            if found:
                return max(found, key=lambda one: one[0])[1]
        return None

    def _finished(self, run: RunFolder, account: str) -> tuple[str, Link] | None:
        if not self.objects.has(run.key + MANIFEST):
            return None
        manifest = run.json(MANIFEST)
        links = links_of(manifest)
        if links is None or account not in links:
            return None
        content = self.objects.read(run.key + MANIFEST)
        return str(manifest["finished_at"]), Link.of(run_name(run), content)


def _heads_in(document: Mapping[str, Any] | None) -> dict[str, Head]:
    """Return the heads in a store's document. Raises ``DataUnavailable`` where it is damaged."""
    if document is None:
        return {}
    try:
        return {
            account: Head(link, Link.read(value.get("before")))
            for account, value in document[_ACCOUNTS].items()
            if (link := Link.read(value)) is not None
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataUnavailable(
            f"the head of the chain of manifests is damaged in its store ({error})"
        ) from None
