"""Alpaca's market data without HTTP: query parameters in, bodies out, or a ``Refusal``.

::

    market_data     one method for each kind of endpoint
      asked, plans  parsing of requests; the plans, and the feeds they permit
      history       parsing of requests for bars of the past, and of their pages
        frames      time frames, and the spans that their bars cover
    latest          the quote, trade and bars of one symbol at a timestamp
      spans         bars over any span: prices of the venue's tape, with the account's own trades
      trades        the last trade, and the account's fills as trades of the market
      volumes       invented volumes and sizes

All prices are those that the venue's orders fill at: a market order fills within the quote of its timestamp,
and the bars contain every fill. Nothing here changes the venue.
"""
