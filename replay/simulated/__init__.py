"""Simulated days: seeded strategies, scheduled runs and a simulated venue, recorded like real days.

::

    days         sessions, bars and runs; the result is an ordinary data folder
    strategies   drop intents at the end of each bar

The same seed gives the same decisions, orders, fills and traffic, file for file.
"""
