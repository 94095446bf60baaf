"""Alpaca's behaviour without HTTP: values in, bodies out, or a ``Refusal``.

::

    venue                   one method for each endpoint
      placing, admission    a well-formed request becomes an order, if the rules allow it
      closing               the order that closes a position
      listing, activities   lists of orders, lists of fills
      portfolio             the account's equity over time
      watchlists            named lists of assets
      announcements         corporate actions: the splits
      hours                 the clock and the calendar of several markets

Nothing here reads the wall clock, and all randomness comes from the seed: the same requests at the same
simulated times get the same replies.
"""
