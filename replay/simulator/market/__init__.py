"""Prices, hours, time and assets: everything that the venue needs from outside.

::

    surroundings   the protocols that the venue requires
    prices         a random walk from the seed, or bars of a file; each symbol has one path
      bars, paths  the path of a price within bars; queries on a path
    tape           the venue's prices, adjusted for splits
    sessions       the exchange's sessions, half days included
    clock          the simulated time
    assets         the list of assets
"""
