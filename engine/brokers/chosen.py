"""The broker in use: Alpaca. This is the only module outside its package that imports it.

Code that constructs a broker, or reads recorded replies, imports from here; all other code uses the
``TradingBroker`` protocol.
"""

from __future__ import annotations

from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.alpaca.lists import first_request_since
from engine.brokers.alpaca.market_data import AlpacaMarketData
from engine.brokers.alpaca.read_retries import ReadSettings
from engine.brokers.alpaca.recorded_answers import recorded_answer
from engine.brokers.alpaca.transport import Recording

__all__ = [
    "AlpacaBroker",
    "AlpacaMarketData",
    "ReadSettings",
    "Recording",
    "first_request_since",
    "recorded_answer",
]
