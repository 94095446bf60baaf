"""``init-db``: the tables that the engine needs in PostgreSQL."""

from __future__ import annotations

from engine.errors import ConfigurationError
from engine.stores.postgres import schema as postgres_schema
from engine.stores.postgres.store import PostgresStore
from jobs.setup import read_setup
from jobs.tables import print_json, say


def init_db(*, as_json: bool) -> int:
    """Create what is missing and print what was done; return the exit code. Raises ``ConfigurationError``."""
    store = read_setup().stores.positions
    if not isinstance(store, PostgresStore):
        raise ConfigurationError(
            "DATABASE_URL is not set; expected the address of a PostgreSQL database, such as "
            "postgresql://user:password@host:5432/database. Set it and run init-db again. The embedded store "
            "needs none: the first write creates its file."
        )
    done = postgres_schema.init_db(store.server)
    if as_json:
        print_json({"exit_code": 0, "done": done, "place": store.place})
        return 0
    for sentence in done:
        say(sentence)
    say(f"{'Done' if done else 'Nothing to do'}: {store.place} has what the engine needs.")
    return 0
