"""Orders.

::

    order     one: what was asked for, what has become of it, its JSON body; and a group of them
    index     all of them, found by id, client id or symbol, and the open ones
    levels    open ones by price
    ids       the ids of orders and executions
"""
