"""Orders.

::

    order     an order: its terms, its state, its JSON body; and a group of orders
    index     all orders by id, client id and symbol, and the open ones
    levels    open orders by price
    ids       the ids of orders and executions
"""
