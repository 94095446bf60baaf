"""The quotes in ``results.parquet``: that by which each order was judged, and that at which it was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from engine.brokers.quotes import Quote
from engine.context import RunContext
from engine.errors import EngineError
from engine.model.schema import JUDGED_QUOTE, SENT_QUOTE, inputs_schemas
from engine.record.run_folder import BATCH, RunFolder
from engine.routing.quotes_at_sending import Gathered, QuotesAtSending
from engine.settings.values import ALPACA
from engine.settings.variables import PriceSettings

_PRICES = "prices.parquet"
_LEFT_S = 1.0
"""Seconds for quotes that are still on their way when all orders are settled."""


@dataclass
class Sending:
    """The quotes at sending of a live run, and the traffic in which they came; ``quotes`` None: no source."""

    quotes: QuotesAtSending | None = None
    traffic: Gathered = field(default_factory=Gathered)

    @classmethod
    def of(cls, folder: RunFolder, context: RunContext) -> Sending:
        """Return the quotes of a run that begins to send; only Alpaca's are asked for at that time."""
        prices, access = PriceSettings.of_record(folder.start["settings"]), context.market_data
        traffic = Gathered()
        if prices.source != ALPACA or access is None:
            return cls()
        try:
            data = access.recorded(traffic).at(prices.data_host, prices.feed)
        except EngineError:  # without keys there is no quote, which stops no order
            return cls()
        return cls(QuotesAtSending(data), traffic)

    def end(self, context: RunContext) -> dict[int, Quote]:
        """Return the quotes that came, by row, and record their traffic with the run's."""
        if self.quotes is None:
            return {}
        found = self.quotes.by_row(within_s=_LEFT_S)
        if context.market_data is not None and context.market_data.recorder is not None:
            self.traffic.pass_on(context.market_data.recorder)
        return found


def with_quotes(results: pa.Table, folder: RunFolder, sent: Mapping[int, Quote]) -> pa.Table:
    """Return results, in the order of the batch, with the quotes; null where one is unknown, or of a cancel.

    ``sent``: the quotes at sending, by row.
    """
    if folder.objects.has(folder.key + _PRICES):
        judged = _judged(folder)
        for name, column in zip(JUDGED_QUOTE, judged, strict=True):
            results = _replaced(results, name, column)
    if sent:
        rows = [sent.get(row) for row in range(results.num_rows)]
        for name, attribute in zip(SENT_QUOTE, ("bid", "ask", "quote_at"), strict=True):
            values = [None if quote is None else getattr(quote, attribute) for quote in rows]
            results = _replaced(results, name, pa.array(values, results.schema.field(name).type))
    return results


def _judged(folder: RunFolder) -> list[pa.ChunkedArray]:
    """Return bid, ask and time of the quote by which each row of the batch was judged."""
    prices = folder.table(_PRICES).cast(inputs_schemas()["prices"])
    batch = folder.table(BATCH, ["symbol", "action"])
    at = pc.index_in(batch["symbol"].cast(pa.string()), value_set=prices["symbol"].combine_chunks())
    is_cancel = pc.fill_null(pc.equal(batch["action"].cast(pa.string()), "cancel"), False)
    at = pc.if_else(is_cancel, pa.scalar(None, pa.int32()), at)
    return [prices[name].take(at) for name in ("bid", "ask", "quote_at")]


def _replaced(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), column)
