"""Fills as ledger documents, one per order, and their sums."""
