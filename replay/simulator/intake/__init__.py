"""Strict parsing of requests, and the errors for requests that are malformed or not allowed.

::

    order_requests   bodies of orders and replacements
    queries          query parameters
    refusal          an error in Alpaca's form: status, code, message
    messages         every error with the grade of its evidence
    data_messages    the same for market data
"""
