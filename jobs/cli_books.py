"""The commands of what is kept beside the runs: ``stores``, ``ledger`` and ``positions``."""

from __future__ import annotations

import sys

import click

from engine.text.plain_text import trimmed

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object for machines.")


@click.group()
def stores() -> None:
    """What data folders and stores know of each other."""


@stores.command("adopt")
@click.option("--by", required=True, help="Who says so.")
@click.option("--why", required=True, help="Why live runs go on with these stores.")
@JSON
def adopt_stores(*, by: str, why: str, as_json: bool) -> None:
    """Go on with the stores that the settings name, where live runs refuse them: a change that is meant."""
    from jobs.stores import adopt as command

    sys.exit(command(by=by, why=why, as_json=as_json))


@stores.command("forget-folder")
@click.argument("folder")
@click.option("--by", required=True, help="Who says so.")
@click.option("--why", required=True, help="Why that data folder is lost for good.")
@JSON
def forget_folder(folder: str, *, by: str, why: str, as_json: bool) -> None:
    """Give up a data folder that is lost: no longer wait for what its runs may have sent.

    FOLDER is its identity, as sync and run name it. What its orders became is found by the next sync, as
    breaks to be accepted.
    """
    from jobs.stores import forget_folder as command

    sys.exit(command(folder, by=by, why=why, as_json=as_json))


@stores.command("rename-account")
@click.argument("old")
@click.argument("new")
@click.option("--by", required=True, help="Who says so.")
@click.option("--why", required=True, help="Why the account gets another name.")
@JSON
def rename_account(old: str, new: str, *, by: str, why: str, as_json: bool) -> None:
    """Go on with a broker account under another name, or at another host; OLD and NEW as intents call it.

    Possible while none of its orders is open, it has no trade in this session, and broker and ledger agree:
    limits count by name.
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
@click.option("--by", required=True, help="Who accepts it; kept for ever.")
@click.option("--why", required=True, help="What it was; kept for ever.")
@JSON
def accept_positions(file: str, *, by: str, why: str, as_json: bool) -> None:
    """Take FILE, which a sync proposed, into the ledger; the next sync compares again."""
    from jobs.positions import accept

    sys.exit(accept(file, by=by, why=why, as_json=as_json))


@positions.command("pull")
@click.option("--account", type=trimmed, metavar="TEXT", help="Show only this account; all are brought.")
@JSON
def pull_positions(*, account: str | None, as_json: bool) -> None:
    """Bring the brokers' positions into the book, as `sync` does, and show it."""
    from jobs.positions import pull

    sys.exit(pull(account, as_json=as_json))


@positions.command("show")
@click.option("--account", type=trimmed, metavar="TEXT", help="Only this account.")
@JSON
def show_positions(*, account: str | None, as_json: bool) -> None:
    """Show the position book."""
    from jobs.positions import show

    sys.exit(show(account, as_json=as_json))


@click.group()
def ledger() -> None:
    """The ledger: Firestore where a project is set, else the data folder's engine.db."""


@ledger.command("rebuild")
@click.option("--by", help="Who says so; with --why, what is lacking is booked.")
@click.option("--why", help="What happened to the ledger.")
@JSON
def rebuild_ledger(*, by: str | None, why: str | None, as_json: bool) -> None:
    """Make a ledger that was lost, or restored from a backup, again from this data folder's record.

    Shows what the ledger lacks of it. With --by and --why that is booked, and live runs go on with the stores
    that the settings name.
    """
    from jobs.ledger import rebuild as command

    sys.exit(command(by=by, why=why, as_json=as_json))


GROUPS = (stores, ledger, positions)
