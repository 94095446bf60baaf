"""The end of a run: its files counted, compared with each other and hashed, in ``manifest.json``.

The exit code of the run follows from them: 0; 3 where anything was halted or an account left out; 4 where
an outcome is unknown, a count doesn't add up, broker and ledger disagree, the ledger has only a part of an
order, or a file of the inbox is blocked.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.context import RunContext
from engine.errors import EngineError
from engine.ledger.overfilling import units_for
from engine.model.quantity import round_to_units
from engine.model.version import __version__
from engine.record.formats import file_hash, json_bytes
from engine.record.links import Link, accounts_in, run_name
from engine.record.run_folder import (
    BATCH,
    COLLECTED,
    DECISIONS,
    FILLS,
    INPUTS,
    MANIFEST,
    RECONCILIATION,
    RESULTS,
    RunFolder,
)
from engine.routing.booking import unkept
from engine.routing.outcomes import ACCOUNT_DOWN
from engine.run.earlier_batches import NOTIONAL_BY_STRATEGY, orders_by_strategy
from engine.run.put_away import left_by
from engine.run.reading import IDENTITIES
from engine.run.worth_asked import worth_by_strategy

EXIT_DONE, EXIT_HALTED, EXIT_UNRESOLVED = 0, 3, 4


def write_manifest(folder: RunFolder, context: RunContext) -> None:
    """Count and compare the rows of the sealed files and write ``manifest.json``, the last file of a run."""
    rows = folder.json(COLLECTED)["rows"]
    decisions = folder.table(DECISIONS, ["allowed", "reason"])
    columns = ["client_intent_id", "status", "reason", "order_status", "attempted", "adopted"]
    results = folder.table(RESULTS, columns)
    batch = folder.table(BATCH, ["client_intent_id", "strategy_id", "action"])
    batched, cancels = batch.num_rows, _are_cancels(results, batch)
    inputs = folder.json(INPUTS)
    allowed = int(pc.sum(decisions["allowed"]).as_py() or 0)
    by_status = _counts(results["status"])
    identities = [
        _identity("rows dropped = batched + quarantined + duplicate", rows["dropped"],
                  rows["batched"] + rows["quarantined"] + rows["duplicate"]),
        _identity("rows batched = rows of the sealed batch", rows["batched"], batched),
        _identity("rows batched = decisions", batched, decisions.num_rows),
        _identity("decisions = results", decisions.num_rows, results.num_rows),
        _identity("allowed = sent + explained", allowed, results.num_rows - by_status.get("rejected", 0)),
        *(_identities_at_the_broker(folder) if FILLS in folder.names() else []),
        *inputs.get(IDENTITIES, []),
    ]  # fmt: skip
    broken = [identity["name"] for identity in identities if not identity["holds"]]
    halted = inputs["kill_switch"] or by_status.get("halted", 0) > 0 or bool(inputs.get("down"))
    halted = halted or bool(folder.start.get("closed_by"))
    left = left_by(folder)
    own_parts = unkept(folder.objects, trading_date=folder.trading_date, run_id=folder.run_id)
    unkept_parts = sorted({*own_parts, *inputs.get("unkept", [])})
    unclear = (
        broken
        or any(one.get("kind") == "blocked" for one in left)
        or by_status.get("unresolved", 0) > 0
        or _placed_and_not_known(results)
        or has_open_breaks(folder)
        or inputs.get("not_compared")
        or unkept_parts
    )
    reasons = decisions.filter(pc.invert(decisions["allowed"]))["reason"]
    by_reason = _counts(reasons)
    halted = halted or by_reason.get("kill_switch_enabled", 0) > 0  # of a scope that is HALTED
    exit_code = EXIT_UNRESOLVED if unclear else EXIT_HALTED if halted else EXIT_DONE
    files = {name: folder.objects.read(folder.key + name) for name in sorted(folder.names())}
    manifest = {
        "run_id": folder.run_id,
        "trading_date": folder.trading_date.isoformat(),
        "mode": folder.start["mode"],
        "finished_at": context.clock().isoformat(),
        "code_version": code_version(),
        "exit_code": exit_code,
        "rows": rows,
        "decisions": {
            "allowed": allowed,
            "refused": decisions.num_rows - allowed,
            "by_reason": by_reason,
        },
        "results": {"by_status": by_status, "by_order_status": _counts(results["order_status"].drop_null())},
        "orders": {
            "sent": _count(pc.and_(results["attempted"], pc.invert(cancels))),
            "adopted": _count(results["adopted"]),
        },
        "cancels": _count(pc.and_(results["attempted"], cancels)),
        "orders_by_strategy": orders_by_strategy(batch),
        NOTIONAL_BY_STRATEGY: worth_by_strategy(folder),
        "fills": folder.table(FILLS, ["fill_id"]).num_rows if FILLS in folder.names() else 0,
        "left": left,
        "identities": identities,
        "unlogged_lines": context.log.lost,
        "unkept": unkept_parts,
        "content": {name: file_hash(folder.key + name, content) for name, content in files.items()},
        "bytes": {name: sha256(content).hexdigest() for name, content in files.items()},
    }
    for name in broken:
        context.log.event("identity_failed", f"{name} does not hold", severity="CRITICAL", identity=name)
    _link(manifest, accounts_in(folder.table(BATCH, ["broker_account_id"])), folder, context)
    folder.write(MANIFEST, manifest)
    context.log.event(
        "run_finished",
        f"run {folder.run_id}: {rows['dropped']} rows dropped, {allowed} allowed, exit code {exit_code}",
        exit_code=exit_code,
    )


def _link(manifest: dict[str, Any], accounts: list[str], folder: RunFolder, context: RunContext) -> None:
    """Add the links before a manifest, and make it the head of its accounts.

    Where the store of the heads can't be reached the run is done all the same, and its manifest has no link.
    """
    if context.chain is None:
        return
    try:
        before = context.chain.before(folder, accounts)
        manifest["chain"] = {account: link and link.record() for account, link in before.items()}
        context.chain.advance(Link.of(run_name(folder), json_bytes(manifest)), before)
    except EngineError as error:
        message = f"the manifest of run {folder.run_id} is not linked to the one before it: {error}"
        context.log.event("chain_not_kept", message, severity="ERROR")


def _are_cancels(results: pa.Table, batch: pa.Table) -> pa.ChunkedArray:
    """Return which rows of results are cancels; by id, since rows may be missing on either side."""
    ids = batch["client_intent_id"].filter(pc.equal(batch["action"].cast(pa.string()), "cancel"))
    return pc.is_in(results["client_intent_id"], ids.combine_chunks())


@cache
def code_version() -> str:
    """Return the version and a hash of the engine's source, which identifies the exact code."""
    import hashlib
    from pathlib import Path

    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"


def _identities_at_the_broker(folder: RunFolder) -> list[dict[str, Any]]:
    """Return identities of allowed and placed quantity, and of placed quantity and executions; in units.

    Filled quantities are compared for terminal orders only, since a working one may fill between the requests
    for the order and for its executions; and not for accounts that could no longer be queried.
    """
    from engine.model.orders import FINAL_STATUSES

    results = folder.table(RESULTS)
    placed = pc.equal(results["status"].cast(pa.string()), "placed")
    asked = folder.table(BATCH, ["qty"])["qty"]
    whole = pc.and_(placed, pc.and_(pc.is_valid(asked), pc.is_valid(results["order_qty"])))
    is_over = pc.is_in(results["order_status"].cast(pa.string()), pa.array(sorted(FINAL_STATUSES)))
    is_known = pc.not_equal(results["reason"].cast(pa.string()), ACCOUNT_DOWN)
    orders = results.filter(pc.and_(placed, pc.and_(is_over, is_known)))
    fills = folder.table(FILLS, ["broker_order_id", "qty"])
    own = fills.filter(pc.is_in(fills["broker_order_id"], orders["broker_order_id"].combine_chunks()))
    return [
        _identity("quantity placed = quantity allowed of it", _units(results.filter(whole)["order_qty"]),
                  _units(asked.filter(whole))),
        _identity("quantity filled = sum of executions", _units(orders["filled_qty"]), _units(own["qty"])),
        _filled_within_ordered(folder, results),
    ]  # fmt: skip


def _filled_within_ordered(folder: RunFolder, results: pa.Table) -> dict[str, Any]:
    """Return the identity that no order filled beyond its quantity, by the order or its executions; in units.

    Executions on one side of a group are added up. An order by notional may fill what that buys at the
    average price. ``left`` and ``right`` are the sums over the overfilled orders, where there are any; else
    over all orders by quantity.
    """
    fills = folder.table(FILLS, ["broker_account_id", "client_intent_id", "side", "qty"])
    executed: dict[tuple[str, str], dict[str, int]] = {}
    for *key, side, units in zip(
        *_account_and_id(fills),
        fills["side"].cast(pa.string()).to_pylist(),
        round_to_units(fills["qty"].to_numpy()).tolist(),
        strict=True,
    ):
        sides = executed.setdefault((key[0], key[1]), {})
        sides[side] = sides.get(side, 0) + units
    rows = zip(
        _keys_of_results(folder, results),
        round_to_units(results["filled_qty"].to_numpy()).tolist(),
        round_to_units(results["order_qty"].to_numpy()).tolist(),
        pc.and_(pc.is_valid(results["order_qty"]), pc.is_valid(results["filled_qty"])).to_pylist(),
        folder.table(BATCH, ["notional"])["notional"].to_pylist(),
        results["filled_avg_price"].to_pylist(),
        strict=True,
    )
    by_quantity, by_notional = [], []
    for key, filled, ordered, is_known, notional, average_price in rows:
        most = max([filled, *executed.get(key, {}).values()])
        if (bought := units_for(notional, average_price)) is not None:
            by_notional.append((most, bought))
        elif is_known:
            by_quantity.append((most, ordered))
    counted = [pair for pair in (*by_quantity, *by_notional) if pair[0] > pair[1]] or by_quantity
    left, right = sum(filled for filled, _ in counted), sum(ordered for _, ordered in counted)
    return {"name": "filled <= ordered", "left": left, "right": right, "holds": left <= right}


def _account_and_id(table: pa.Table) -> tuple[list[str], list[str]]:
    """Return account and intent id of each row: at two accounts, one id is two orders."""
    return table["broker_account_id"].cast(pa.string()).to_pylist(), table["client_intent_id"].to_pylist()


def _keys_of_results(folder: RunFolder, results: pa.Table) -> list[tuple[str, str]]:
    """Return account and intent id of each row of results, which are in the order of the batch.

    Where rows are missing on either side, which is an identity of its own, the account is unknown.
    """
    ids = results["client_intent_id"].to_pylist()
    batch = folder.table(BATCH, ["broker_account_id", "client_intent_id"])
    accounts, batched = _account_and_id(batch)
    return list(zip(accounts if batched == ids else [""] * len(ids), ids, strict=True))


def _placed_and_not_known(results: pa.Table) -> bool:
    """Return whether an account could no longer be queried for the outcome of orders that it had accepted."""
    placed = pc.equal(results["status"].cast(pa.string()), "placed")
    return bool(pc.any(pc.and_(placed, pc.equal(results["reason"].cast(pa.string()), ACCOUNT_DOWN))).as_py())


def has_open_breaks(folder: RunFolder) -> bool:
    """Return whether there were unexplained breaks between broker and ledger when the run began."""
    if RECONCILIATION not in folder.names():
        return False
    return False in folder.table(RECONCILIATION, ["is_repaired"])["is_repaired"].to_pylist()


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _units(column: pa.ChunkedArray) -> int:
    return int(round_to_units(column.to_numpy()).sum())


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counts = {pair["values"]: pair["counts"] for pair in column.cast(pa.string()).value_counts().to_pylist()}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _identity(name: str, left: int, right: int) -> dict[str, Any]:
    return {"name": name, "left": left, "right": right, "holds": left == right}
