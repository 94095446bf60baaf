"""A wire-faithful Alpaca on this machine: one account, a market that moves, faults on demand.

::

    server                  a simulator to start: on a loopback port, or inside a process without a socket
      http_server, adapter      uvicorn in a thread; a ``requests`` transport
    app, gate, wire         every endpoint on one screen; keys, rate limit, headers; delivery
      faults, armed, effects    what goes wrong, with which requests, and how
      control, simulation       the endpoints below ``/simulator/``, and all that they read back
    venue                   Alpaca's behaviour without a wire: plain values in, bodies out, or a ``Refusal``
      order_requests, admission, placing      a request: well-formed, allowed, entered
      matching, waiting, levels, execution    what time does to orders; ``lifecycle``: what becomes of them
      orders, order_index, listing            an order, all orders, lists of them
      book, standing, positions, closing      money and shares
      activities, settings, messages          fills, configurations, every error with its evidence
    market, bars, paths, tape                 prices; ``sessions``, ``clock``: time; ``assets``

Nothing in the venue asks the wall clock or draws from another source of chance than the seed: the same
requests at the same simulated times get the same answers. ``messages`` grades the evidence for every error: R
(recorded), S (specified), O (observed by others), U (ours).
"""
