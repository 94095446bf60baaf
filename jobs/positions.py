"""``positions load`` and ``positions show``: the book of whichever store is set."""

from __future__ import annotations

import json
from pathlib import Path

import click

from engine.log import wall_clock
from engine.stores.positions_file import read_positions_file
from jobs.tables import print_table
from jobs.wording import moment, number
from jobs.world import read_setup


def load(file: str, *, as_json: bool) -> int:
    """Load a file as the whole book of each account that it names; gives the exit code."""
    store = read_setup().stores.positions
    frame = read_positions_file(Path(file))
    store.load_positions(frame, updated_at=wall_clock())
    accounts = sorted(frame["broker_account_id"].unique())
    if as_json:
        click.echo(json.dumps({"exit_code": 0, "positions": len(frame), "accounts": accounts}))
    else:
        click.echo(f"{len(frame)} positions are now the whole book of {', '.join(accounts)} in {store.place}")
    return 0


def show(account: str | None, *, as_json: bool) -> int:
    """Print the book; gives the exit code."""
    store = read_setup().stores.positions
    frame = store.all_positions()
    if account is not None:
        frame = frame[frame["broker_account_id"] == account]
    if as_json:
        records = json.loads(frame.to_json(orient="records", date_format="iso"))
        click.echo(json.dumps({"exit_code": 0, "positions": records}))
        return 0
    if frame.empty:
        whose = "No positions" if account is None else f"No positions of {account}"
        click.echo(f"{whose} in {store.place}. Load some with `execution-engine positions load FILE`.")
        return 0
    rows = [
        (row.broker_account_id, row.symbol, number(row.qty), moment(row.updated_at))
        for row in frame.itertuples()
    ]
    print_table("Positions", ("account", "symbol", "qty", "updated"), rows, right=("qty",))
    return 0
