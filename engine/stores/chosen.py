"""The choice of stores: each by its own settings, the embedded store where nothing is set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import ConfigurationError
from engine.record.modes import Modes
from engine.settings.variables import StoreSettings
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.protocols import AgentDocuments, DocumentStore, LedgerStore, PositionStore
from engine.text.masking import shown_text

if TYPE_CHECKING:  # no library of a store is loaded before use
    from engine.stores.postgres.store import PostgresStore


@dataclass(frozen=True)
class Stores:
    """The stores of a command.

    The agent's documents, its state and leases, are kept with the ledger; documents of others are in
    Firestore. ``with_positions`` holds the engine's own documents that are kept with the positions: the
    same store as ``agent`` where positions and ledger are in one store.
    """

    positions: PositionStore
    ledger: LedgerStore
    agent: AgentDocuments
    documents: DocumentStore | None
    with_positions: AgentDocuments


def identity_of(store: PositionStore | LedgerStore) -> str:
    """Return the name by which a resumed run recognizes a store; the embedded one's holds no folder."""
    return store.path.name if isinstance(store, EmbeddedStore) else store.place


def choose_stores(settings: StoreSettings) -> Stores:
    """Return the stores that the settings name. No connection is made and no library loaded before use."""
    embedded = EmbeddedStore(settings.data_dir / "engine.db", Modes.of(group_access=settings.group_access))
    positions: EmbeddedStore | PostgresStore = embedded
    if settings.database_url is not None:
        from engine.stores.postgres.store import PostgresStore

        positions = PostgresStore(settings.database_url, timeout_s=settings.timeout_s)
    if settings.firestore_project is None:
        return Stores(positions, embedded, embedded, None, positions)
    from engine.stores.firestore.store import FirestoreStore

    firestore = FirestoreStore(
        settings.firestore_project, tenant_id=settings.tenant_id, timeout_s=settings.timeout_s
    )
    return Stores(positions, firestore, firestore, firestore, positions)


def check_addresses(settings: StoreSettings) -> None:
    """Refuse an address that the database's own library can't read. Raises ``ConfigurationError``."""
    if settings.database_url is not None:
        from engine.stores.postgres.server import Server

        Server(settings.database_url, settings.timeout_s).parameters()


def check_emulator(settings: StoreSettings, trading_host: str) -> None:
    """Refuse to trade at a real broker with the ledger of an emulator, which is empty at every start.

    Raises ``ConfigurationError``.
    """
    from engine.stores.firestore.client import EMULATOR, emulator_host

    if settings.firestore_project and emulator_host() and not trading_host.lower().startswith("http:"):
        raise ConfigurationError(
            f"{EMULATOR} is {shown_text(emulator_host() or '')}, EXEC_DRY_RUN is 0 and orders "
            f"would go to a real broker: "
            f"ledger, halt and kill switch would be the emulator's. Unset {EMULATOR}."
        )


def check_stores_are_named(settings: StoreSettings) -> None:
    """Refuse to trade live with stores that are not set: an empty book would let every order pass.

    Raises ``ConfigurationError`` where PostgreSQL or Firestore is not set and ``EXEC_STORE`` doesn't name the
    embedded store.
    """
    missing = [
        name
        for name, value in (
            ("DATABASE_URL (positions in PostgreSQL)", settings.database_url),
            ("FIREBASE_PROJECT_ID (ledger in Firestore)", settings.firestore_project),
        )
        if value is None
    ]
    if missing and not settings.embedded_is_meant:
        raise ConfigurationError(
            f"EXEC_DRY_RUN is 0, and {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set: "
            f"a live run would begin with an empty book. Set what is missing, or EXEC_STORE=embedded to keep "
            f"it in {settings.data_dir}/engine.db."
        )
