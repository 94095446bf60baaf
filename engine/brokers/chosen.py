"""Which broker there is: Alpaca. The one place outside its package that imports it.

Whoever builds a broker, or reads what one recorded, takes it from here; everything else speaks of a
``TradingBroker``.
"""

from __future__ import annotations

from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.alpaca.lists import first_request_since
from engine.brokers.alpaca.patience import PatienceSettings
from engine.brokers.alpaca.recorded_answers import recorded_answer
from engine.brokers.alpaca.transport import Recording

__all__ = ["AlpacaBroker", "PatienceSettings", "Recording", "first_request_since", "recorded_answer"]
