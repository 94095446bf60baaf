"""The statements of the embedded store, where they are more than a line."""

from __future__ import annotations

POSITIONS = "SELECT broker_account_id, symbol, qty FROM broker_positions"
FRESH = """
SELECT broker_account_id, symbol, CASE WHEN updated_at BETWEEN ?1 AND ?2 THEN qty END AS qty
FROM broker_positions
"""
FRESH_AND_SYNCED = f"""
WITH stale AS (
    SELECT broker_account_id FROM broker_position_syncs WHERE synced_at NOT BETWEEN ?1 AND ?2
)
SELECT * FROM (
    {FRESH} WHERE broker_account_id NOT IN stale
    UNION ALL
    SELECT broker_account_id, NULL, NULL FROM stale
)
"""
FRESH_POSITIONS = {1: FRESH, 2: FRESH, 3: FRESH, 4: FRESH_AND_SYNCED, 5: FRESH_AND_SYNCED}
"""The query for positions that are fresh enough, by layout."""
VANISHED = """
UPDATE broker_positions SET qty = 0.0, avg_price = NULL, market_value = NULL, updated_at = ?2, raw = NULL
WHERE broker_account_id = ?1 AND symbol NOT IN (SELECT value FROM json_each(?3))
RETURNING symbol
"""
DELETE_POSITION = "DELETE FROM broker_positions WHERE broker_account_id = ? AND symbol = ?"
OTHERS_ALIKE = """
UNION ALL SELECT DISTINCT broker_account_id, NULL, NULL FROM broker_positions
WHERE (
    typeof(broker_account_id) <> 'text' OR broker_account_id GLOB '*[^ -~]*'
    OR lower(replace(broker_account_id, ' ', '')) IN (SELECT value FROM json_each(?))
) AND broker_account_id NOT IN (SELECT value FROM json_each(?))
"""
"""The accounts that were not requested and whose names may look like a requested one."""
SYNC_MARK = """
SELECT synced_at, trading_date, reconciled_on, open_breaks FROM broker_position_syncs
WHERE broker_account_id = ?
"""
KEEP_SYNC_MARK = "INSERT OR REPLACE INTO broker_position_syncs VALUES (?, ?, ?, ?, ?)"

WRITE_POSITION = """
INSERT INTO broker_positions VALUES (?, ?, ?, ?, ?, ?, NULL)
ON CONFLICT (broker_account_id, symbol) DO UPDATE SET
    qty = excluded.qty, avg_price = excluded.avg_price, market_value = excluded.market_value,
    updated_at = excluded.updated_at, raw = excluded.raw
"""
DOCUMENT = """
SELECT broker_order_id, broker_account_id, trading_date, document FROM ledger_trades WHERE broker_order_id = ?
"""
WRITE_DOCUMENT = """
INSERT INTO ledger_trades VALUES (?, ?, ?, ?)
ON CONFLICT (broker_order_id) DO UPDATE SET
    broker_account_id = excluded.broker_account_id, trading_date = excluded.trading_date,
    document = excluded.document
"""
AGENT_DOCUMENT = {
    2: "SELECT document FROM agent_state WHERE ? = 'state'",
    3: "SELECT document FROM agent_documents WHERE name = ?",
    4: "SELECT document FROM agent_documents WHERE name = ?",
    5: "SELECT document FROM agent_documents WHERE name = ?",
}
"""The query for a document of the agent, by layout."""
WRITE_AGENT_DOCUMENT = """
INSERT INTO agent_documents VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET document = excluded.document
"""

SUMMED_FIELDS = ("broker_account_id", "trading_date", "strategy_id", "symbol", "side", "filled_qty")
_SUMMED = f"""
SELECT broker_order_id, broker_account_id, trading_date,
    json_extract(document, {", ".join(f"'$.{name}'" for name in SUMMED_FIELDS)})
FROM ledger_trades
"""
NEXT_SUMMED = f"""
{_SUMMED} WHERE broker_account_id = ? AND trading_date <= ? AND (trading_date, broker_order_id) > (?, ?)
ORDER BY trading_date, broker_order_id LIMIT ?
"""
NEWER_SUMMED = f"{_SUMMED} WHERE broker_account_id = ? AND trading_date > ?"
COUNT_OF_ACCOUNT = "SELECT count(*) FROM ledger_trades WHERE broker_account_id = ?"
CHECKPOINT = "SELECT checkpoint, writes FROM ledger_checkpoints WHERE broker_account_id = ?"
KEEP_CHECKPOINT = """
INSERT INTO ledger_checkpoints VALUES (?, ?, ?, 0) ON CONFLICT (broker_account_id) DO UPDATE SET
    through = excluded.through, checkpoint = excluded.checkpoint, writes = writes + 1
"""
