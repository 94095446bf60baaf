"""The venues' edge: a protocol, a broker that sends nothing, and Alpaca."""
