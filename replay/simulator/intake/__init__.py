"""What a request says, read strictly, and what is said to one that can't be read or isn't allowed.

::

    order_requests   bodies of orders and replacements
    queries          query parameters
    refusal          an error as Alpaca gives it: status, code, message
    messages         every one of them with the grade of its evidence
"""
