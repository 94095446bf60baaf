"""The embedded store: positions, ledger and the agent's documents in one SQLite file."""
