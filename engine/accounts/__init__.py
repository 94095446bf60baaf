"""Broker accounts: configuration, names, and the connections of a live run."""
