"""Decisions to results: what becomes of each intent that was allowed, and of each that was not.

::

    dry_run         says what would be sent; nothing leaves
    live            the stage of a live run: what was attempted before, what is still to be sent
      planned         the orders that are to leave, and what they are compared with
      many_orders     who is next: in batch order within a symbol, many at a time
      one_order       an order exactly once: attempt, lookup, adoption
      cancels         withdrawing an order of an earlier intent
    fates           what became of an intent: status, reason, words; ``results.parquet``

A decision is never made here, only carried out, or not carried out with a reason.
"""
