"""The commands ``stores``, ``ledger`` and ``positions``."""

from __future__ import annotations

import sys
from typing import Any

import click

from engine.text.plain_text import trimmed

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object for machines.")


@click.group()
def stores() -> None:
    """Which stores a data folder's live runs use, lost folders, and names of accounts."""


@stores.command("adopt")
@click.option("--by", required=True, help="Who decides it.")
@click.option("--why", required=True, help="Why live runs should use these stores.")
@JSON
def adopt_stores(*, by: str, why: str, as_json: bool) -> None:
    """Accept the stores that the settings name, where live runs refuse them because they changed."""
    from jobs.stores import adopt as command

    sys.exit(command(by=by, why=why, as_json=as_json))


@stores.command("forget-folder")
@click.argument("folder")
@click.option("--by", required=True, help="Who decides it.")
@click.option("--why", required=True, help="Why that data folder is lost for good.")
@JSON
def forget_folder(folder: str, *, by: str, why: str, as_json: bool) -> None:
    """Forget a data folder that is lost: stop waiting for what its runs may have sent.

    FOLDER is its identity, as sync and run print it. The next sync reports what its orders did as breaks.
    """
    from jobs.stores import forget_folder as command

    sys.exit(command(folder, by=by, why=why, as_json=as_json))


@stores.command("rename-account")
@click.argument("old")
@click.argument("new")
@click.option("--by", required=True, help="Who decides it.")
@click.option("--why", required=True, help="Why the account gets another name.")
@JSON
def rename_account(old: str, new: str, *, by: str, why: str, as_json: bool) -> None:
    """Rename a broker account, or move it to another host; OLD and NEW are names as in intents.

    Possible only while none of its orders is open, it has no trade in this session, and broker and ledger
    agree: limits count by name.
    """
    from jobs.renaming import rename_account as command

    sys.exit(command(old, new, by=by, why=why, as_json=as_json))


@click.group()
def positions() -> None:
    """The position book: PostgreSQL where DATABASE_URL is set, else the data folder's engine.db."""


@positions.command("load")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@JSON
def load_positions(file: str, *, as_json: bool) -> None:
    """Load FILE (CSV, JSON or Parquet) as the whole book of each account that it names.

    Columns: broker_account_id, symbol, qty, and optionally avg_price, market_value.
    """
    from jobs.positions import load

    sys.exit(load(file, as_json=as_json))


@positions.command("accept")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--by", required=True, help="Who accepts it; kept permanently.")
@click.option("--why", required=True, help="What happened; kept permanently.")
@JSON
def accept_positions(file: str, *, by: str, why: str, as_json: bool) -> None:
    """Book FILE, a proposal of a sync, in the ledger; the next sync compares again."""
    from jobs.positions import accept

    sys.exit(accept(file, by=by, why=why, as_json=as_json))


@positions.command("pull")
@click.option("--account", type=trimmed, metavar="TEXT", help="Show only this account; all are read.")
@JSON
def pull_positions(*, account: str | None, as_json: bool) -> None:
    """Read the brokers' positions into the book, as `sync` does, and show it."""
    from jobs.positions import pull

    sys.exit(pull(account, as_json=as_json))


@positions.command("show")
@click.option("--account", type=trimmed, metavar="TEXT", help="Only this account.")
@click.option("--by-strategy", is_flag=True, help="What each strategy holds by the ledger, and the rest.")
@JSON
def show_positions(*, account: str | None, by_strategy: bool, as_json: bool) -> None:
    """Show the position book."""
    if by_strategy:
        from jobs.strategies import show_strategies

        sys.exit(show_strategies(account, as_json=as_json))
    from jobs.positions import show

    sys.exit(show(account, as_json=as_json))


@positions.command("assign")
@click.option("--account", type=trimmed, required=True, metavar="TEXT", help="The broker account.")
@click.option("--symbol", type=trimmed, required=True, metavar="TEXT")
@click.option("--qty", required=True, metavar="SHARES", help="How many; negative of a short position.")
@click.option("--to", "target", metavar="STRATEGY", help="Which strategy gets them; default: the rest.")
@click.option("--from", "source", metavar="STRATEGY", help="Which strategy has them; default: the rest.")
@click.option("--by", required=True, help="Who decides it; kept permanently.")
@click.option("--why", required=True, help="Why; kept permanently.")
@JSON
def assign_positions(*, as_json: bool, **asked: Any) -> None:
    """Assign a part of what an account holds to a strategy, in the ledger; the account's sum stays.

    The rest is what belongs to no strategy: opening balances, and what was accepted or booked by hand.
    """
    from jobs.strategies import assign

    sys.exit(assign(as_json=as_json, **asked))


@click.group()
def ledger() -> None:
    """The ledger: Firestore where a project is set, else the data folder's engine.db."""


@ledger.command("rebuild")
@click.option("--by", help="Who decides it; with --why, what is missing is booked.")
@click.option("--why", help="What happened to the ledger.")
@JSON
def rebuild_ledger(*, by: str | None, why: str | None, as_json: bool) -> None:
    """Rebuild a ledger that was lost, or restored from a backup, from this data folder's record.

    Shows what the ledger lacks. With --by and --why that is booked, and live runs use the stores that the
    settings name.
    """
    from jobs.ledger import rebuild as command

    sys.exit(command(by=by, why=why, as_json=as_json))


GROUPS = (stores, ledger, positions)
