"""Money and shares.

::

    book        cash, positions and fills, exact to the last digit
    standing    equity, margins, buying power
    past        cash, shares and equity at any timestamp
    positions   the JSON body of a position
    settings    what the user may configure
"""
