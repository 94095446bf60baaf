"""The HTTP side: endpoints, delivery of replies, and faults.

::

    app                       every endpoint of the trading and the market data API
      gate                    around each endpoint: keys, rate limits, headers, faults, the log of requests
      stream, listening       trade updates by websocket, and what waits for each client
      control                 the endpoints below ``/simulator/``
    simulation                the state of a running simulator, which can be read and reset
    faults, armed, effects    the kinds of faults, the armed ones, and their effects on requests
    delivery                  a reply, and how it reaches the client
    http_server, adapter      uvicorn in a thread; a transport of ``requests`` without a socket
"""
