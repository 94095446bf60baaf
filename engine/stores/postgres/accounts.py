"""The account that a name means where accounts are uuids that refer to ``public.broker_accounts``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.stores.postgres.server import Unusable

if TYPE_CHECKING:
    import psycopg

SHOWN_ACCOUNT = "coalesce(nullif(a.label::text, ''), nullif(a.external_account_id::text, ''), {id}::text)"
"""The name to show for an account whose uuid is ``{id}`` and whose row is ``a``."""

MATCHED = """
WITH wanted AS (SELECT name FROM unnest(%(accounts)s::text[]) AS given (name)),
named AS (
    SELECT wanted.name, a.id FROM wanted JOIN public.broker_accounts AS a ON a.id::text = lower(wanted.name)
    UNION
    SELECT wanted.name, a.id FROM wanted JOIN public.broker_accounts AS a
        ON a.external_account_id::text = wanted.name
    UNION
    SELECT wanted.name, a.id FROM wanted JOIN public.broker_accounts AS a ON a.label::text = wanted.name
),
single AS (SELECT name, min(id::text)::uuid AS id FROM named GROUP BY name HAVING count(*) = 1),
shared AS (SELECT id FROM single GROUP BY id HAVING count(*) > 1),
matched AS (SELECT name, id FROM single WHERE id NOT IN (SELECT id FROM shared))
"""
_LABELS_SHOWN = 20


def account_ids(cursor: psycopg.Cursor[Any], names: Sequence[str]) -> dict[str, str]:
    """Return the uuid, as text, of each name. Raises ``Unusable`` for a name of no account or of several."""
    query = f"{MATCHED} SELECT name, count(*), min(id::text) FROM named GROUP BY name"
    found = cursor.execute(query, {"accounts": list(names)})
    meant: dict[str, tuple[int, str]] = {name: (accounts, id_) for name, accounts, id_ in found}
    for name in names:
        accounts = meant[name][0] if name in meant else 0
        if accounts != 1:
            what = "means no account" if accounts == 0 else f"means {accounts} accounts"
            raise Unusable(
                f"{name!r} {what} of public.broker_accounts", remedy=f"use one of: {_known_labels(cursor)}."
            )
    return {name: id_ for name, (_, id_) in meant.items()}


def _known_labels(cursor: psycopg.Cursor[Any]) -> str:
    shown = SHOWN_ACCOUNT.format(id="a.id")
    query = f"SELECT DISTINCT {shown} AS shown FROM public.broker_accounts AS a ORDER BY shown LIMIT %s"
    labels = [label for (label,) in cursor.execute(query, [_LABELS_SHOWN + 1])]
    more = " and more" if len(labels) > _LABELS_SHOWN else ""
    return f"{', '.join(labels[:_LABELS_SHOWN])}{more}" if labels else "no account, the table is empty"
