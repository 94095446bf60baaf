"""What time does to orders.

::

    matching     sends orders to the market, carries out what is due, finds what the price came to
      waiting    the orders that wait for a price, and the moments at which it is there
      execution  at what price and for how many shares an order fills
    lifecycle    what becomes of an order and of its group; every change of a status
"""
