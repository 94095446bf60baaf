"""Stores of positions, ledger and the agent's documents (embedded, PostgreSQL, Firestore), and the inbox."""
