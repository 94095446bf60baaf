"""The stages of a run: collect, decide, trade, manifest.

::

    starting        what a run begins with, checked, then fixed in ``run.json``
    stages          the stages in order, each sealed by its last file; how a run is resumed
      collect         inbox -> sealed batch (``intake``, ``known_rows``, ``put_away``)
      risk_inputs     the snapshot that the rules judge by: read once, recorded, read back
        input_sources   which frame is read from where; a module each: ``session_hours``, ``asset_records``,
                        ``strategy_frames``, ``earlier_orders``, ``earlier_batches``, ``reconciled``,
                        ``prices`` (``market_files``: files of prices and volumes), …
      decide          the decisions, by the recorded inputs alone (``engine.risk``)
      (trade)         ``engine.routing``
      latching        stops strategies for what the run did (``in_a_row``)
      manifest        every file counted, compared and hashed
    books_read      the brokers' books, before a live run begins
    earlier_runs    the runs before a batch; ``last_fired``: when each limit last refused an order
    blotter         end of day
"""
