"""Brokers: the protocols, a broker that sends nothing, and Alpaca.

::

    trading         the protocol that routing sends orders through: ``TradingBroker``
    protocol        the smaller public one, of ``ExecutionEngine``: ``Broker``
    chosen          which broker is in use; the only importer of ``alpaca``
    alpaca          Alpaca: ``broker`` has its orders, ``venue_rules`` what it never accepts
    dry_run         sends nothing
    access          one account: its name, its broker and its expected number
    last_look       kill switch, agent state and lease, once more before an order is sent
    order_differences   an order as the broker has it, compared with its intent
    interaction, cassette, in_time, whole_reply, clock_skew   requests: recorded, and bounded in time
    account, assets, quotes   what any broker, or source of prices, reports

Another broker is a package beside ``alpaca`` that implements ``TradingBroker``. ``chosen`` is to export it
and the reader of its recorded replies; ``jobs.setup`` constructs it (``accesses``) from an account's settings
(``engine.settings``, ``engine.accounts.configured``). Its layer and its importer stand in ``pyproject.toml``.
"""
