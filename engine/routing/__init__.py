"""Routing: from decisions to results, one outcome for each intent.

::

    dry_run         reports what would be sent; sends nothing
    accounts        trades a batch at all its accounts at the same time
      live            one account: what was attempted before, what is still to be sent
        state_watch     scopes halted or reducing while it sends; ``reducing_orders``
        release_check   the approved orders, compared with the sealed decisions before they are sent
        symbol_queue    many orders at a time, in batch order within a symbol
        submission      one order, exactly once: attempt, lookup, adoption
        cancels         cancels the order of an earlier intent
      fills           waits for fills and reads the final order states
    booking         writes the fills into the ledger
    outcomes        the outcome of an intent: status, reason, message; ``results.parquet``
    cancel_all      cancels all open orders

This package makes no decisions; it carries them out, or records a reason.
"""
