"""The command line. Each command is imported when it is called, which keeps the start short."""

from __future__ import annotations

import signal
import sys
import traceback
from typing import Any, NoReturn

import click

from engine import __version__
from engine.errors import EngineError, GateClosed
from engine.text.plain_text import trimmed
from jobs.cli_books import GROUPS
from jobs.cli_books import JSON as _JSON
from jobs.cli_control import CONTROL
from jobs.cli_limits import limits
from jobs.ending import as_a_process
from jobs.failing import alarm_of, fail, refuse
from jobs.options import Folder

_SLOT = click.option("--slot", default="adhoc", show_default=True, help="The name of the scheduled time.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="execution-engine")
def cli() -> None:
    """Judge order intents against risk limits, as a batch job.

    Strategies drop files into the inbox of the data folder (EXEC_DATA_DIR, default ./data); `run` collects
    them, decides on every row, and leaves a folder that explains each decision.

    Exit codes: 0 done (refusals included), 1 failed and safe to run again, 2 usage or configuration,
    3 halted or the gate before live trading closed, 4 done but something is unresolved, blocked, not
    compared, or does not add up.
    """


@cli.command()
@click.argument("files", nargs=-1, type=click.Path(allow_dash=True))
@click.option("--format", "kind", type=click.Choice(["json", "jsonl", "csv", "parquet"]), default="jsonl",
              show_default=True, help="What standard input holds.")  # fmt: skip
@_JSON
def drop(files: tuple[str, ...], kind: str, *, as_json: bool) -> None:
    """Put intent FILES, or standard input (-), into the inbox, whole.

    A file that can't be dropped is named with the reason; the others are dropped. Exits with 2 where one was
    refused, with 1 where the inbox could not be written.
    """
    from jobs.drop import drop as command

    sys.exit(command(files or ("-",), kind=kind, as_json=as_json))


@cli.command()
@click.argument("files", nargs=-1, type=click.Path(allow_dash=True))
@click.option("--format", "kind", type=click.Choice(["json", "jsonl", "csv", "parquet"]), default="jsonl",
              show_default=True, help="What standard input holds.")  # fmt: skip
@click.option("--against-limits", is_flag=True, help="Also judge the rows, as of now; no broker is asked.")
@_JSON
def check(files: tuple[str, ...], kind: str, *, against_limits: bool, as_json: bool) -> None:
    """Show how `drop` and the next run would read FILES, or standard input (-), row by row.

    Nothing is written and nothing is sent. Exits with 0 where every row would be taken (a known one counts as
    taken), with 4 where one would be quarantined or, with --against-limits, refused, with 2 where a file
    can't be read.
    """
    from jobs.check import check as command

    sys.exit(command(files or ("-",), kind=kind, against_limits=against_limits, as_json=as_json))


@cli.command()
@_SLOT
@_JSON
def collect(*, slot: str, as_json: bool) -> None:
    """Seal the inbox's files into a batch; the next `run` decides on it."""
    signal.signal(signal.SIGTERM, _ended_before_it_began)
    from jobs.run import collect as command

    sys.exit(command(slot=slot, as_json=as_json))


@cli.command()
@_SLOT
@click.option(
    "--when",
    metavar="TIME",
    help="Run once a session, at this time: open+15m, close-10m, or a time of day in New York such as 15:45.",
)
@click.option(
    "--latest", metavar="TIME", help="With --when: how long after it a run may begin; 15m if unset."
)
@click.option("--wait", "waits", is_flag=True, help="With --when: wait for a later time of this day.")
@_JSON
def run(*, slot: str, when: str | None, latest: str | None, waits: bool, as_json: bool) -> None:
    """Finish unfinished runs, then collect a batch, decide on it, send what is allowed, and record it.

    With --when a session has each slot once: before its time, on a day without session and once the slot is
    done, the command says so and exits with 0; where the slot was missed, nothing is traded and it exits
    with 3.
    """
    signal.signal(signal.SIGTERM, _ended_before_it_began)
    from jobs.run import run as command
    from jobs.slots import Scheduled

    scheduled = Scheduled.of(slot, when, latest, waits=waits)
    sys.exit(command(slot=slot, as_json=as_json, scheduled=scheduled))


@cli.command()
@_JSON
def sync(*, as_json: bool) -> None:
    """Bring the broker's positions and late fills into the stores, and compare; sends nothing."""
    from jobs.sync import sync_stores as command

    if exit_code := command(as_json=as_json):
        message = "Broker and ledger differ, or were not compared; `execution-engine sync` shows more."
        if (alarm := alarm_of(message, exit_code)) is not None:
            from jobs.alarms import raise_alarm

            raise_alarm(alarm)
    sys.exit(exit_code)


@cli.command()
@click.option("--runs", "count", type=click.IntRange(min=1), default=10, show_default=True,
              help="How many runs to show.")  # fmt: skip
@_JSON
def status(*, count: int, as_json: bool) -> None:
    """Show the latest runs, what waits in the inbox, the kill switch, and the gate before live trading."""
    from jobs.status import status as command

    sys.exit(command(count=count, as_json=as_json))


@cli.command()
@_JSON
def verify(*, as_json: bool) -> None:
    """Compare every run's files with their hashes, and walk the chain of manifests to the head in the store.

    Names each run that was changed, removed, rewritten or cut off, and exits with 4 where there is one.
    """
    from jobs.verify import verify as command

    sys.exit(command(as_json=as_json))


@cli.command("test-alarm")
@_JSON
def test_alarm(*, as_json: bool) -> None:
    """Send a test alarm wherever the settings say; exits with 1 where it did not arrive."""
    from jobs.alarms.trial import trial

    sys.exit(trial(as_json=as_json))


@cli.command("cancel-all")
@click.option("--symbol", help="Only orders of this symbol.")
@click.option(
    "--strategy",
    type=trimmed,
    metavar="TEXT",
    help="Only orders of this strategy that a run of this data folder left open.",
)
@click.option(
    "--account",
    type=trimmed,
    metavar="TEXT",
    help="Only orders of this account; an unknown name is an error.",
)
@_JSON
def cancel_all(*, symbol: str | None, strategy: str | None, account: str | None, as_json: bool) -> None:
    """Cancel the open orders at the broker, wait for the outcome, and report what filled meanwhile.

    Always possible: neither the kill switch nor the gate prevents it. Exits with 4 where an order is not
    terminal yet.
    """
    from jobs.cancel_all import cancel_all as command

    sys.exit(command(symbol=symbol, strategy=strategy, account=account, as_json=as_json))


@cli.command()
@click.argument("session")
@_JSON
def day(session: str, *, as_json: bool) -> None:
    """Print a SESSION (2026-03-02) as its live runs recorded it, and write its blotter.

    Exits with 4 where something does not add up, or a run isn't finished.
    """
    from jobs.day import day as command

    sys.exit(command(session, as_json=as_json))


@cli.command()
@click.argument("what", metavar="RUN|DATE|RANGE")
@click.option("--html", required=True, type=click.Path(dir_okay=False), help="The file to write; replaced.")
@_JSON
def report(what: str, *, html: str, as_json: bool) -> None:
    """Write a run, a session or a range of sessions as one HTML page, which opens offline.

    RUN (its name or its beginning), DATE (2026-03-02), RANGE (2026-03-02..2026-03-06). What is wrong
    and what to do comes first; then conservation, limits, refusals, orders and fills, execution quality,
    positions, quarantine, and the explanation of every intent.
    """
    from jobs.report_page.command import report as command

    sys.exit(command(what, html=html, as_json=as_json))


@cli.command()
@click.argument("what", metavar="DATE|RUN|RANGE")
@click.option("--data", type=Folder(exists=True),
              help="The data folder; default: EXEC_DATA_DIR.")  # fmt: skip
@click.option("--limits", type=click.Path(exists=True, dir_okay=False),
              help="A limits file, or limits by name: max_position_size_exceeded = 50.")  # fmt: skip
@click.option("--set", multiple=True, metavar="NAME=VALUE",
              help="One limit, as EXEC_MAX_POSITION_QTY=50; may be repeated.")  # fmt: skip
@click.option("--chained", is_flag=True, help="Later runs start from what earlier ones would have done.")
@click.option(
    "--decisions-only", is_flag=True, help="Decide only, without the broker's recorded traffic; quicker."
)
@_JSON
def replay(what: str, **options: Any) -> None:
    """Decide on recorded intents again, under the recorded limits or others, and show what differs.

    DATE (2026-03-02), RANGE (2026-03-02..2026-03-06), RUN (its name, or its folder's path). Reads recorded
    files only, and verifies the hash of each. Sends nothing. Exits with 1 where one is missing or changed.
    """
    from jobs.replay import Options
    from jobs.replay import replay as command

    sys.exit(command(what, Options(**options)))


@cli.command()
@click.option(
    "--days", type=click.IntRange(1, 252), default=5, show_default=True, help="The number of sessions."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="The seed of prices, strategies and faults."
)
@click.option("--out", required=True, type=Folder(), help="An empty or new folder.")
@click.option("--start", "first_day", default="2026-03-02", show_default=True, help="The first session.")
@click.option("--faults", is_flag=True, help="With faults at the broker.")
@_JSON
def simulate(*, out: str, as_json: bool, **options: Any) -> None:
    """Simulate days: strategies drop files, scheduled runs trade at a simulated Alpaca whose prices move.

    --out becomes a data folder like any other, the same for the same seed. Limits are those of the
    environment (EXEC_MAX_POSITION_QTY, ...).
    """
    from pathlib import Path

    from jobs.simulate import parsed, simulate_days

    sys.exit(simulate_days(parsed(**options), Path(out), as_json=as_json))


@cli.command("init-db")
@_JSON
def init_db(*, as_json: bool) -> None:
    """Create what is missing in the database of DATABASE_URL, and print what was done."""
    from jobs.init_db import init_db as command

    sys.exit(command(as_json=as_json))


@cli.command()
@_JSON
def doctor(*, as_json: bool) -> None:
    """Show every setting, test every dependency, and print what to do about each problem.

    Exits with 2 where a run could not start.
    """
    from jobs.doctor import doctor as command

    sys.exit(command(as_json=as_json))


@cli.command()
@click.argument("what", metavar="INTENT|FILE:ROW|STRATEGY|SYMBOL")
@click.option("--day", help="Search only this session (2026-03-02); default: the newest with a match.")
@_JSON
def explain(what: str, *, day: str | None, as_json: bool) -> None:
    """Show the whole story of an intent: its source, every rule's verdict, its outcome.

    INTENT may be shortened to its first characters, as tables print it. FILE:ROW is a row as tables and
    messages print it (momentum.csv:6), also one that was quarantined or recognised as a duplicate. For a
    STRATEGY or a SYMBOL the intents of the newest session that has any are listed.
    """
    from jobs.explain import explain as command

    sys.exit(command(what, day=day, as_json=as_json))


_CONTROL = """
\b
From this machine without keys; from others with the token that is printed at the start:
  POST /simulator/clock       {"advance_s": 60} {"set": "2026-11-25T15:59-05:00"} {"speed": 20}
                              {"speed": 0} stops it
  POST /simulator/faults      {"fault": "error_before", "status": 503, "times": 3}
  GET, DELETE /simulator/faults, DELETE /simulator/faults/1
  POST /simulator/fill        {"order_id": "...", "qty": "1"}   without qty: all of it;
                              "beyond": true fills more than was ordered
  POST /simulator/split       {"symbol": "AAPL", "ratio": "4"}
  POST /simulator/reset       start again
  POST /simulator/save        {"path": "state.json"}   below --save-dir
  GET /simulator/state        orders, fills, positions, every request seen, faults

\b
Faults, each also with method, path, times (null: always), probability:
  accept_then_drop  accept_then_504  stuck_pending_cancel  reject_after_acceptance
  accept_then_error {"status": 409, "body": "page"}  or "json"
  cut_headers       {"status": 404}
  error_before      {"status": 500}
  html_error        {"status": 502}
  rate_limited      {"seconds": 1}
  latency           {"seconds": 1, "on": "answer"}   or "request"
  slow_body         {"seconds": 1, "pieces": 10}
  truncated_body    {"missing_bytes": 10}
  no_length         {"lacks_bytes": 10}   ends with the connection
  lookup_lag        {"lookups": 2}                   or {"seconds": 1}
  fill_races_cancel, fill_races_replace
                    {"qty": "1", "moment": "after"}  or "before"; without qty: all of it

\b
Faults of market data, each also with "symbols": "AAPL,MSFT" (by default all); times is null by default:
  stale_quote {"seconds": 3600}  halted_symbol {"seconds": 300}  wide_quote {"percent": 20}
  crossed_quote  stub_quote  one_sided_quote {"lacks": "ask"}  missing_symbol
  null_parts {"part": "latestQuote"}   or another part, or "all"
The others strike market data too, with "path": "/v2/stocks/*" alone."""


@cli.command("serve-simulator", epilog=_CONTROL)
@click.option("--port", default=8199, show_default=True, help="0 picks a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="By default, this machine only.")
@click.option("--host-name", multiple=True, metavar="NAME",
              help="A further host name that requests may use; may be repeated.")  # fmt: skip
@click.option("--save-dir", type=Folder(exists=True), help="Where POST /simulator/save may write.")
@click.option("--key", default="test-key", show_default=True, help="The valid APCA-API-KEY-ID.")
@click.option("--secret", default="test-secret", show_default=True, help="The valid APCA-API-SECRET-KEY.")
@click.option("--cash", default="100000", show_default=True, help="The account's dollars at the start.")
@click.option("--rate-limit", type=click.IntRange(min=1), help="Requests per minute; default: no limit.")
@click.option("--data-plan", type=click.Choice(["basic", "algo_trader_plus"]), default="basic",
              show_default=True, help="The plan of market data; basic has no recent SIP data.")  # fmt: skip
@click.option("--data-rate-limit", type=click.IntRange(min=1),
              help="Requests for market data per minute; default: the plan's, 200 or 10000.")  # fmt: skip
@click.option("--data-clock", type=click.Choice(["simulated", "wall"]),
              help="Whose time quotes and trades are stamped in; default: wall, and simulated with "
              "--clock manual.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="The seed of prices, partial fills and faults.")
@click.option("--prices", type=click.Path(exists=True, dir_okay=False),
              help="Bars, CSV or Parquet, with the columns symbol, timestamp, open, high, low, close; "
              "default: a random walk.")  # fmt: skip
@click.option("--clock", type=click.Choice(["running", "manual"]), default="running", show_default=True,
              help="manual: only POST /simulator/clock moves time.")  # fmt: skip
@click.option("--start", help="The first timestamp, as 2026-11-25T09:30-05:00; "
              "default: the first bar, or mid-session.")  # fmt: skip
@click.option("--speed", default=1.0, show_default=True, help="Simulated seconds per second.")
@click.option("--wall-clock", is_flag=True, help="Follow real time, so that the market also closes.")
@click.option("--partial-fills", default=0.1, show_default=True, help="The probability of a fill in parts.")
def serve_simulator(**options: Any) -> None:
    """Serve an Alpaca on this machine, for any Alpaca client, until Ctrl-C."""
    from jobs.serve_simulator import Options
    from jobs.serve_simulator import serve_simulator as command

    sys.exit(command(Options(**options)))


for command in (*GROUPS, *CONTROL, limits):
    cli.add_command(command)


def _ended_before_it_began(*_: object) -> None:
    """End at once on a SIGTERM during the job's imports; later ones wait for the end of a step."""
    fail("Stopped before anything began; run again.", exit_code=1, wants_json="--json" in sys.argv)


def main() -> NoReturn:
    """Run the command ``execution-engine``: end the process with the exit code of ``command_line``."""
    as_a_process(command_line)


def command_line() -> None:
    """Run the command line; every expected failure is one line on stderr and an exit code.

    Raises ``SystemExit`` with the code where it isn't 0 or a command sets it.
    """
    wants_json = "--json" in sys.argv
    try:
        cli(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        fail("Interrupted. Nothing is lost; run it again to go on.", exit_code=1, wants_json=wants_json)
    except click.ClickException as error:
        refuse(error, wants_json=wants_json)
    except GateClosed as error:
        reasons = [reason for reason, _ in error.refusals]
        fail(
            *error.lines,
            exit_code=error.exit_code,
            wants_json=wants_json,
            event="trade_refused",
            reasons=reasons,
        )
    except EngineError as error:
        fail(*error.lines, exit_code=error.exit_code, wants_json=wants_json)
    except OSError as error:
        from engine.record.system_errors import is_of_a_place, unusable

        failure = unusable(error)
        exit_code = failure.exit_code if is_of_a_place(error) else EngineError.exit_code
        fail(str(failure), exit_code=exit_code, wants_json=wants_json)
    except Exception as error:
        trace = "".join(traceback.format_exception(error)).rstrip().split("\n")
        fail(*trace, exit_code=1, wants_json=wants_json)


if __name__ == "__main__":
    main()
