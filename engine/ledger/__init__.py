"""Fills as ledger documents, one per order, and what they sum to."""
