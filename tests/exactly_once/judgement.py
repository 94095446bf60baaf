"""What must hold once everything is over, whatever happened before."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

import replay
from engine.record.formats import file_hash
from engine.record.late_fills import late_fills
from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolder, RunFolders
from jobs.setup import read_setup
from tests.desk import NOON, SESSION, Row
from tests.exactly_once.case import Case

_SENT = {"placed"}
_EXPLAINED = {"rejected", "broker_rejected", "halted", "expired"}
_OF_CANCELS = {"canceled", "cancel_requested", "too_late", "broker_rejected", "rejected"}
_FINAL = {"filled", "canceled", "expired", "rejected", "replaced"}
_ANSWERED = ("number", "started_at", "took_s", "request", "response")


@dataclass
class Judgement:
    """What became of a case, from the record, the stores and the simulator itself.

    ``is_over``: everything has been closed and synced. ``may_expire``: time was let go by, or the lease lost.
    """

    case: Case
    is_over: bool = True
    may_expire: bool = False
    runs: list[RunFolder] = field(default_factory=list)
    _rows: dict[RunFolder, list[Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        folders = sorted(path for path in self.case.folder.glob("data*") if path.is_dir())
        self.objects = [LocalObjects(path) for path in folders]
        self.runs = [run for objects in self.objects for run in RunFolders(objects).all()]
        self.market = self.case.market.state()

    def wrong(self) -> list[str]:
        """Return everything that is not as it must be."""
        return [
            *self._of_runs(),
            *self._of_orders(),
            *self._of_fills(),
            *self._of_positions(),
            *self._of_cassettes(),
            *self._left_behind(),
            *self._of_replays(),
        ]

    def became(self) -> Counter[str]:
        """Say of every row of every run what became of it, in words that are the same in every life."""
        told = (
            f"{row['source_file']}:{row['source_row']} {row['status']} {row['reason']}"
            for run in self.runs
            for row in self.rows(run)
        )
        return Counter(told)

    # what there is

    def rows(self, run: RunFolder) -> list[Row]:
        """Return the batch of a run with its decisions and results; they are read once."""
        if run not in self._rows:
            self._rows[run] = self._read(run)
        return self._rows[run]

    @staticmethod
    def _read(run: RunFolder) -> list[Row]:
        batch = run.table("intents.parquet").to_pandas()
        decisions = run.table("decisions.parquet", ["allowed"]).to_pandas()
        results = run.table("results.parquet").to_pandas().drop(columns="client_intent_id")
        whole = pd.concat([batch, decisions, results], axis=1)
        rows: list[Row] = whole.astype(object).where(whole.notna(), None).to_dict("records")
        return rows

    @cached_property
    def orders(self) -> dict[str, Row]:
        """The simulator's orders and legs by id."""
        return {order["id"]: order for order in self.market["orders"]}

    @cached_property
    def entries(self) -> list[Row]:
        """Those that somebody sent: all but the exits of groups."""
        return [order for order in self.orders.values() if order.get("group_role") in (None, "entry")]

    @cached_property
    def fills(self) -> dict[str, list[Row]]:
        """The simulator's fills by order."""
        found: dict[str, list[Row]] = defaultdict(list)
        for fill in self.market["fills"]:
            found[fill["order_id"]].append(fill)
        return found

    # what must hold

    def _of_runs(self) -> Iterator[str]:
        for run in self.runs:
            names = run.names()
            if "manifest.json" not in names:
                yield f"{run.run_id} has no manifest"
                continue
            manifest = run.json("manifest.json")
            broken = [identity for identity in manifest["identities"] if not identity["holds"]]
            unclear = self._is_undecided(run, manifest) or run.json("inputs.json").get("not_compared")
            if broken or manifest["exit_code"] != (4 if unclear else 0):
                yield f"{run.run_id} ended with {manifest['exit_code']}: {broken} {manifest['results']}"
            now = {
                name: file_hash(name, run.objects.read(run.key + name)) for name in names - {"manifest.json"}
            }
            if now != manifest["content"]:
                yield f"{run.run_id} was changed after it was sealed"

    def _of_orders(self) -> Iterator[str]:
        """One order per allowed intent that is not explained, none else, each as it was meant."""
        there: dict[str, list[Row]] = defaultdict(list)
        for order in self.entries:
            there[order["client_order_id"]].append(order)
        meant: Counter[str] = Counter()
        for run in self.runs:
            for row in self.rows(run):
                id_, status = row["client_intent_id"], row["status"]
                if row["action"] == "cancel":
                    if status not in _OF_CANCELS:
                        yield f"cancel {id_} is {status} ({row['reason']}): {row['message']}"
                    continue
                if (status == "rejected") == bool(row["allowed"]):
                    yield f"{id_} is {status} where it was allowed: {row['allowed']}"
                if status == "expired" and not self.may_expire:
                    yield f"{id_} expired: {row['message']}"
                if status in _SENT:
                    meant[id_] += 1
                    yield from self._as_meant(row, there.get(id_, []))
                elif status not in _EXPLAINED and id_ not in self._undecidable_of(run):
                    yield f"{id_} is {status} ({row['reason']}): {row['message']}"
                elif there.get(id_) and status != "rejected" and not self._sent_otherwise(id_):
                    yield f"{id_} is {status} ({row['reason']}) and at the broker"
        for id_, count in meant.items():
            if count != 1:
                yield f"{id_} was placed {count} times by the record"
        for id_, orders in there.items():
            if len(orders) != 1:
                yield f"{id_} is at the broker {len(orders)} times"
            if id_ not in meant:
                yield f"{id_} is at the broker, and no result says so"

    def _is_undecided(self, run: RunFolder, manifest: dict[str, Any]) -> bool:
        return "unresolved" in manifest["results"]["by_status"] and bool(self._undecidable_of(run))

    def _undecidable_of(self, run: RunFolder) -> set[str]:
        """Return the ids whose orders are unknown: one request's outcome unknown, the next one refused.

        The refusal may be because of the order that the first request had placed; without an order of that
        id at the broker, the run says unresolved and counts it as working, and so it is to be.
        """
        if "cassette.json" not in run.names():
            return set()
        asked = run.json("cassette.json")
        posts: dict[str, list[int]] = defaultdict(list)
        for one in sorted([*asked["interactions"], *asked["unanswered"]], key=lambda one: int(one["number"])):
            if one["request"]["method"] == "POST":
                status = one["response"]["status"]["code"] if "response" in one else 0
                posts[json.loads(one["request"]["body"])["client_order_id"]].append(status)
        there = {order["client_order_id"] for order in self.entries}
        unknown = {
            id_ for id_, answers in posts.items() if any(one == 0 or one >= 500 for one in answers[:-1])
        }
        return {id_ for id_ in unknown - there if posts[id_][-1] in {403, 422}}

    def _sent_otherwise(self, id_: str) -> bool:
        """Return whether another row of the same id was sent: an id may be dropped again."""
        return any(
            row["client_intent_id"] == id_ and row["status"] in _SENT
            for run in self.runs
            for row in self.rows(run)
        )

    @staticmethod
    def _as_meant(row: Row, orders: list[Row]) -> Iterator[str]:
        id_ = row["client_intent_id"]
        if not orders:
            yield f"{id_} is placed, and not at the broker"
            return
        order = orders[0]
        names = {"symbol": "symbol", "side": "side", "type": "order_type", "time_in_force": "time_in_force"}
        found = {name: order[name] for name in names}
        asked = {name: row[column] for name, column in names.items()}
        amount = "qty" if row["qty"] is not None else "notional"
        found["amount"], asked["amount"] = float(order[amount] or 0), float(row[amount])
        if found != asked:
            yield f"{id_} is at the broker as {found}, asked for was {asked}"
        if row["broker_order_id"] != order["id"]:
            yield f"{id_} is order {order['id']}, the record says {row['broker_order_id']}"

    def _of_fills(self) -> Iterator[str]:
        """The fills on record are the simulator's, each once; the ledger has all of them."""
        recorded: Counter[str] = Counter()
        for run in self.runs:
            table = run.table("fills.parquet").to_pylist()
            recorded.update(fill["fill_id"] for fill in table)
            yield from self._of_fills_of_run(run, table)
        yield from (f"fill {id_} is on record {count} times" for id_, count in recorded.items() if count > 1)
        if not self.is_over:
            return
        late = {
            id_
            for objects in self.objects
            for table in late_fills(objects, NOON.date())
            for id_ in table["fill_id"].to_pylist()
        }
        there = {fill["id"] for fills in self.fills.values() for fill in fills}
        if recorded.keys() | late != there:
            yield f"fills on record {recorded.keys() | late}, at the broker {there}"
        setup = read_setup(self.case.env)
        filled = {id_: order for id_, order in self.orders.items() if Decimal(order["filled_qty"]) > 0}
        for id_, order in filled.items():
            told = sum(Decimal(fill["qty"]) for fill in self.fills[id_])
            document = setup.stores.ledger.ledger_document(id_) or {}
            kept = document.get("filled_qty")
            if not float(told) == float(order["filled_qty"]) == kept:
                yield f"order {id_}: {told} filled, {order['filled_qty']} by the order, {kept} in the ledger"
            if document and document.get("trading_date") != SESSION:
                yield f"order {id_} counts on {document.get('trading_date')}"
        counts = setup.stores.ledger.trade_counts([self.case.account], NOON.date())
        trades = {order.get("group_id") or id_ for id_, order in filled.items()}
        if int(counts["trades"].sum()) != len(trades):
            yield f"the ledger counts {counts.to_dict('records')}, the broker {len(trades)} trades"

    def _of_fills_of_run(self, run: RunFolder, table: list[Row]) -> Iterator[str]:
        there = {fill["id"]: fill for fills in self.fills.values() for fill in fills}
        by_order: dict[str, Decimal] = defaultdict(Decimal)
        for fill in table:
            known = there.get(fill["fill_id"])
            names = ("order_id", "symbol", "side")
            if known is None:
                yield f"{run.run_id} has a fill {fill['fill_id']} that never was"
                continue
            found = (fill["broker_order_id"], fill["symbol"], fill["side"], fill["qty"], fill["price"])
            meant = (*(known[name] for name in names), float(known["qty"]), float(known["price"]))
            if found != meant:
                yield f"{run.run_id} has {found} for {meant}"
            by_order[fill["broker_order_id"]] += Decimal(known["qty"])
        for row in self.rows(run):
            is_done = row["order_status"] in _FINAL and row["action"] == "new"
            if is_done and by_order[row["broker_order_id"]] != Decimal(str(row["filled_qty"])):
                told = f"filled {row['filled_qty']} where {by_order[row['broker_order_id']]} is on record"
                yield f"{run.run_id}: {row['client_intent_id']} {told}"

    def _of_positions(self) -> Iterator[str]:
        summed: dict[str, Decimal] = defaultdict(Decimal)
        for fills in self.fills.values():
            for fill in fills:
                sign = 1 if fill["side"] == "buy" else -1
                summed[fill["symbol"]] += sign * Decimal(fill["qty"])
        at_broker = {
            row["symbol"]: float(row["qty"]) for row in self.market["positions"] if Decimal(row["qty"])
        }
        if at_broker != {symbol: float(qty) for symbol, qty in summed.items() if qty}:
            yield f"positions {at_broker} where fills give {dict(summed)}"
        if not self.is_over:
            return
        book = read_setup(self.case.env).stores.positions.positions(
            [self.case.account], as_of=pd.Timestamp(self.case.clock())
        )
        kept = {row["symbol"]: row["qty"] for row in book.to_dict("records") if row["qty"]}
        if kept != at_broker:
            yield f"the book has {kept}, the broker {at_broker}"

    # the record of the traffic

    def _of_cassettes(self) -> Iterator[str]:
        """Every request that was answered, and survived to be kept, is in one cassette, once, in order."""
        seen = {request["request_id"]: request for request in self.market["requests"]}
        where: Counter[str] = Counter()
        for run in self.runs:
            if "cassette.json" not in run.names():
                yield f"{run.run_id} has no cassette"
                continue
            cassette = run.json("cassette.json")
            numbers = [one["number"] for one in cassette["interactions"]]
            unanswered = [one["number"] for one in cassette["unanswered"]]
            if numbers != sorted(numbers) or unanswered != sorted(unanswered):
                yield f"{run.run_id}: the cassette is not in order"
            if len(set(numbers + unanswered)) != len(numbers + unanswered):
                yield f"{run.run_id}: the cassette has numbers twice"
            for one in cassette["interactions"]:
                id_ = _request_id(one)
                where[id_] += 1
                yield from _same_request(one, seen.get(id_))
            yield from self._of_attempts(run, cassette)
            yield from _opened_by_vcr(run, len(numbers))
        yield from (f"request {id_} is on record {count} times" for id_, count in where.items() if count > 1)
        kept = self._kept()
        missing = [line for line in kept if line[2] and line[2] not in where]
        if missing:
            yield f"kept, and in no cassette: {missing}"

    def _kept(self) -> list[list[str]]:
        lines = [path.read_text().splitlines() for path in self.case.folder.glob("kept*")]
        return [[*line.split(" "), ""][:3] for file in lines for line in file]

    def _of_attempts(self, run: RunFolder, cassette: dict[str, Any]) -> Iterator[str]:
        """Every attempt has its request, or what was found of it, or the reason why it never left."""
        rows = self.rows(run)
        asked = [*cassette["interactions"], *cassette["unanswered"]]
        sent = {
            json.loads(one["request"]["body"])["client_order_id"]
            for one in asked
            if one["request"]["method"] == "POST"
        }
        found = "".join(
            one["response"]["body"]["string"]
            for one in cassette["interactions"]
            if one["request"]["method"] == "GET"
        )
        attempted: Counter[str] = Counter()
        for name in sorted(name for name in run.names() if name.startswith("attempts/")):
            for attempt in run.json(name)["orders"]:
                row, id_ = rows[attempt["row"]], attempt["client_order_id"]
                attempted[id_] += 1
                if row["client_intent_id"] != id_ or not row["allowed"]:
                    yield f"{run.run_id}: {id_} was attempted as row {attempt['row']}, which is {row}"
                never_left = row["status"] in {"expired", "halted"}
                if id_ not in sent and f'"{id_}"' not in found and not never_left:
                    yield f"{run.run_id}: {id_} was attempted, and the cassette doesn't know it"
        if any(count > 1 for count in attempted.values()):
            yield f"{run.run_id}: attempted more than once: {attempted}"
        if not sent <= attempted.keys():
            yield f"{run.run_id}: sent without an attempt: {sent - attempted.keys()}"

    def _left_behind(self) -> Iterator[str]:
        for objects in self.objects:
            for run in RunFolders(objects).all():
                pieces = [name for name in run.names() if name.startswith("traffic/")]
                if pieces:
                    yield f"{run.run_id} has pieces of traffic left: {pieces}"
            undecided = {run.run_id for run in RunFolders(objects).all() if self._undecidable_of(run)}
            left = [key for key in objects.list("open/") if Path(key).stem.partition("~")[0] not in undecided]
            if self.is_over and left:
                yield f"left open: {left}"
            inbox = [path for path in (objects.root / "inbox").rglob("*") if not path.is_dir()]
            if inbox:
                yield f"left in the inbox: {inbox}"

    def _of_replays(self) -> Iterator[str]:
        """By the same limits and code every run goes as it went, however often it was killed."""
        for objects in self.objects:
            for run in RunFolders(objects).all():
                if "manifest.json" not in run.names():
                    continue
                found = replay.replay(objects.root / run.key)
                if found.differences:
                    rows = found.results[found.results["differs"]].to_dict("records")
                    yield f"{run.run_id} replays otherwise, from {found.first_differing_stage} on: {rows}"


def _request_id(interaction: Row) -> str:
    headers = {name.lower(): values for name, values in interaction["response"]["headers"].items()}
    return str(headers.get("x-request-id", ["none"])[0])


def _same_request(interaction: Row, seen: Row | None) -> Iterator[str]:
    request = interaction["request"]
    if seen is None:
        yield f"the broker has not seen {request['method']} {request['uri']} of {_request_id(interaction)}"
        return
    found = (request["method"], interaction["response"]["status"]["code"])
    if found != (seen["method"], seen["status"]) or seen["path"] not in request["uri"]:
        yield f"{request['method']} {request['uri']} is on record, {seen['method']} {seen['path']} was seen"


def _opened_by_vcr(run: RunFolder, count: int) -> Iterator[str]:
    import vcr

    root = getattr(run.objects, "root", None)
    with vcr.use_cassette(
        f"{root}/{run.key}cassette.json", record_mode="none", serializer="json"
    ) as cassette:
        if len(cassette.requests) != count:
            yield f"{run.run_id}: vcrpy reads {len(cassette.requests)} of {count} interactions"
