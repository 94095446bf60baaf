"""The page's content, in the order in which a desk reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.errors import ConfigurationError
from engine.model.calendar import trading_date
from jobs.report_page import exceptions, flow, trading
from jobs.report_page.cells import Table
from jobs.report_page.explanations import intents_of, packed
from jobs.report_page.record import Record
from jobs.report_page.timeline import Timeline, timelines


@dataclass
class Section:
    """A section of the page: its tables, below sentences and pictures."""

    key: str
    title: str
    tables: list[Table]
    sentences: list[str] = field(default_factory=list)
    link: str = ""
    methods: list[tuple[str, str]] = field(default_factory=list)
    timelines: list[Timeline] = field(default_factory=list)


def content_of(record: Record) -> dict[str, Any]:
    """Return what the templates show."""
    intents = intents_of(record.chosen.runs, record.ledger)
    found = exceptions.exceptions_of(record, intents)
    faults, compared = exceptions.integrity(record)
    verdict, tone = exceptions.headline(found, faults, record)
    loss, loss_href = trading.largest_loss(record, intents)
    return {
        "title": record.chosen.title,
        "made_at": record.made_at,
        "verdict": verdict,
        "tone": tone,
        "faults": faults,
        "compared": compared,
        "runs": exceptions.runs_table(record),
        "exceptions": found,
        "loss": loss,
        "loss_href": loss_href,
        "sections": [
            Section(
                "conservation",
                "Conservation",
                [flow.outcomes_table(record), flow.identities_table(record), flow.files_table(record)],
            ),
            Section("limits-used", "Limits", [flow.limits_table(record)]),
            Section("refusals-by-rule", "Refusals", [flow.refusals_table(record), intents.refused]),
            Section(
                "timeline",
                "Orders and fills",
                [trading.summary_table(record), trading.fills_table(record, intents)],
                timelines=timelines(record),
            ),
            Section(
                "quality",
                "Execution quality",
                [
                    trading.quality_table(record, "strategy_id", "strategy"),
                    trading.quality_table(record, "symbol", "symbol"),
                    trading.orders_table(record, intents),
                ],
                sentences=[loss],
                link=loss_href,
                methods=trading.methods(),
            ),
            Section(
                "positions-held",
                "Positions",
                [trading.positions_table(record), trading.strategies_table(record, _today(record))],
            ),
            Section(
                "quarantined",
                "Quarantine",
                [flow.quarantine_table(record), flow.duplicates_table(record, intents)],
            ),
            Section("all-intents", "Intents and their explanations", [intents.table]),
        ],
        "explanations": packed(intents.told),
    }


def _today(record: Record) -> Any:
    try:
        return trading_date(record.made_at, record.calendar)
    except ConfigurationError:
        return record.made_at.date()
