"""Matching, fills, and the life cycle of orders over time.

::

    matching     sends orders to the market, handles due events, finds orders whose price was reached
      waiting    the orders that wait for a price, and the times at which it is reached
      execution  prices and quantities of fills
    lifecycle    every change of status of an order and of its group
      updates    each change and each fill as an event of the stream of trade updates
"""
