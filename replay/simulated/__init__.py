"""Days that never were: seeded strategies, scheduled runs and a simulated venue, recorded as real days are.

::

    days         sessions, bars and runs; what is left is a data folder like any other
    strategies   what drops intents at the end of each bar

The same seed leaves the same decisions, orders, fills and traffic, file for file.
"""
