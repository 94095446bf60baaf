"""Broker against ledger: the sync before a run, breaks, adjustments, open orders of earlier runs."""
