"""Alpaca's behaviour without a wire: plain values in, bodies out, or a ``Refusal``.

::

    venue                   one method for each endpoint
      placing, admission    a well-formed request: entered as an order, if the rules allow it
      closing               the order that closes a position
      listing, activities   lists of orders, lists of fills

Nothing here asks the wall clock or draws from another source of chance than the seed: the same requests at
the same simulated times get the same answers.
"""
