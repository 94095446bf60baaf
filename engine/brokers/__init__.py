"""Brokers: the protocol, a broker that sends nothing, and Alpaca."""
