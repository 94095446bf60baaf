"""``day``: a session as its runs recorded it, on one screen and as a blotter to lay a statement beside."""

from __future__ import annotations

import json
import math
from datetime import date
from typing import Any

import click

from engine.day import Day, day_of
from engine.errors import UsageError
from engine.late_fills import late_fills
from engine.stores.runs import MANIFEST, RunFolders
from jobs.tables import print_table, say
from jobs.wording import number
from jobs.world import read_setup

EXIT_DOES_NOT_ADD_UP = 4


def day(text: str, *, as_json: bool) -> int:
    """Print a session and write its blotter; gives the exit code: 4 where something does not add up."""
    session = _session(text)
    setup = read_setup()
    runs = RunFolders(setup.objects).of_day(session)
    if not runs:
        raise UsageError(
            f"no run of the session {session} is in {setup.data_dir}; `status` shows those that are."
        )
    told = day_of(runs, late_fills(setup.objects, session))
    place = setup.data_dir / "days" / session.isoformat()
    place.mkdir(parents=True, exist_ok=True)
    told.blotter.to_csv(place / "blotter.csv", index=False)
    told.blotter.to_parquet(place / "blotter.parquet", index=False)
    told.summary.to_csv(place / "summary.csv", index=False)
    unfinished = [run.run_id for run in runs if MANIFEST not in run.names()]
    exit_code = 0 if told.adds_up and not unfinished else EXIT_DOES_NOT_ADD_UP
    if as_json:
        click.echo(json.dumps({"exit_code": exit_code, **_record(told, session), "unfinished": unfinished}))
        return exit_code
    _print(told, session, unfinished)
    say(f"Blotter: {place}/blotter.csv and .parquet; the table above: {place}/summary.csv")
    return exit_code


def _session(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"the day is {text!r}; expected a session such as 2026-03-02.") from None


def _print(told: Day, session: date, unfinished: list[str]) -> None:
    say()
    say(f"Session {session}: {len(told.runs)} live runs, {len(told.blotter)} executions", bold=True)
    if len(told.summary):
        columns = list(told.summary.columns)
        rows = [[_cell(value) for value in row] for row in told.summary.itertuples(index=False)]
        print_table("By account and strategy", columns, rows, right=columns[2:])
    if len(told.refused):
        rows = [[_cell(value) for value in row] for row in told.refused.itertuples(index=False)]
        print_table("Refused", list(told.refused.columns), rows, right=["intents"])
    say()
    broken = told.identities.loc[~told.identities["holds"]]
    for run_id, name, left, right, _ in broken.itertuples(index=False):
        say(f"DOES NOT ADD UP: run {run_id}: {name}: {left} and {right}", color="red")
    for run_id in unfinished:
        say(f"NOT FINISHED: run {run_id}; the next run ends it.", color="red")
    if not len(broken) and not unfinished:
        say(f"Every identity of every run holds ({len(told.identities)}).")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else number(round(value, 2))
    return str(value)


def _record(told: Day, session: date) -> dict[str, Any]:
    return {
        "trading_date": session.isoformat(),
        "runs": list(told.runs),
        "executions": len(told.blotter),
        "summary": json.loads(told.summary.to_json(orient="records")),
        "refused": json.loads(told.refused.to_json(orient="records")),
        "identities": json.loads(told.identities.to_json(orient="records")),
    }
