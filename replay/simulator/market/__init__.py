"""Prices, hours, time and assets: all that the venue asks of the world around it.

::

    surroundings   what it asks, as protocols
    prices         a random walk from the seed, or bars of a file; each symbol has one path
      bars, paths  how a price moves within a bar; what is asked of a path
    tape           the prices that the venue deals with: adjusted for splits
    sessions       the exchange's days, half days included
    clock          the simulated time
    assets         the list of assets
"""
