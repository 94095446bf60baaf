"""Broker accounts: which there are, what they are called, and the connection of a live run to each."""
