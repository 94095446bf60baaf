"""HTTP: what a client sends and what it gets, and everything that can go wrong in between.

::

    app                       every endpoint of the trading API on one screen
      gate                    before and after each: keys, rate limit, headers, faults, the log of requests
      control                 the endpoints below ``/simulator/``
    simulation                all that a running simulator holds, to be read back and begun anew
    faults, armed, effects    what can go wrong, with which requests, and what it does to them
    delivery                  a reply, and how it reaches the client
    http_server, adapter      uvicorn in a thread; a transport of ``requests`` without a socket
"""
