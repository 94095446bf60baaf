"""The commands by which an operator stops, limits and resumes trading: ``halt``, ``state``, ..."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from jobs.cli_books import JSON

_Command = Callable[..., None]


def _scoped(what: str) -> Callable[[_Command], _Command]:
    """Return a decorator that adds the options which name one strategy, symbol or account."""

    def add(command: _Command) -> _Command:
        for name in ("account", "symbol", "strategy"):
            help_text = f"Only {what} of this {name}, named as in intents."
            command = click.option(f"--{name}", metavar="TEXT", help=help_text)(command)
        return command

    return add


_BY = click.option("--by", help="Who does it; default: user, machine and process.")


@click.command()
@click.option("--why", required=True, help="What happened; shown by `status` until `recover`.")
@_BY
@click.option("--cancel", is_flag=True, help="Also cancel the open orders at the broker, of the same scope.")
@_scoped("orders")
@JSON
def halt(*, why: str, by: str | None, cancel: bool, as_json: bool, **scope: Any) -> None:
    """Refuse every live run until `recover`; a run at work stops before its next order.

    With --strategy, --symbol or --account only those orders are refused, in live and dry runs, and other
    orders of a run at work go on. Cancels always pass. With --cancel, exits with 4 where an order is still
    open afterwards.
    """
    from jobs.control import scoped_by

    scoped = scoped_by(**scope)
    if not scoped.name:
        from jobs.halt import halt as command

        sys.exit(command(why=why, by=by, cancel=cancel, as_json=as_json))
    from jobs.trading_state import halt_scope

    sys.exit(halt_scope(scoped, why=why, by=by, cancel=cancel, as_json=as_json))


@click.command()
@click.option("--why", default="recovered by hand", show_default=True, help="What was corrected.")
@_BY
@_scoped("the halt")
@JSON
def recover(*, why: str, by: str | None, as_json: bool, **scope: Any) -> None:
    """End a halt; the next live run still has to pass its preflight.

    Each halt is ended by its own scope: without --strategy, --symbol or --account it is the agent's.
    """
    from jobs.control import scoped_by

    scoped = scoped_by(**scope)
    if not scoped.name:
        from jobs.halt import recover as command

        sys.exit(command(why=why, by=by, as_json=as_json))
    from jobs.trading_state import recover_scope

    sys.exit(recover_scope(scoped, why=why, by=by, as_json=as_json))


@click.command()
@click.argument(
    "word", metavar="[reducing|active]", required=False, type=click.Choice(["reducing", "active", "halted"])
)
@click.option("--why", help="Why; needed to change a state.")
@_BY
@_scoped("orders")
@JSON
def state(*, word: str | None, why: str | None, by: str | None, as_json: bool, **scope: Any) -> None:
    """Show the trading states, or set one: reducing lets only orders pass that reduce a position.

    For all trading, or for one strategy, symbol or account. `halt` and `recover` set and end HALTED.
    """
    from engine.errors import UsageError
    from jobs.control import scoped_by
    from jobs.trading_state import set_state, show_state

    scoped = scoped_by(**scope)
    if word is not None:
        sys.exit(set_state(scoped, word, why=why, by=by, as_json=as_json))
    if scoped.name or why is not None or by is not None:
        raise UsageError(
            "state without reducing or active shows the states; name one of the two to change it."
        )
    sys.exit(show_state(as_json=as_json))


@click.command("enable-strategy")
@click.argument("strategy")
@click.option("--why", required=True, help="What was corrected.")
@click.option("--by", required=True, help="Who decides it.")
@JSON
def enable_strategy(*, strategy: str, why: str, by: str, as_json: bool) -> None:
    """Let STRATEGY send orders again after a rule stopped it for its refusals in a row.

    Refusals are counted anew from then on. The halt of a strategy is ended by `recover --strategy`.
    """
    from jobs.enable_strategy import enable

    sys.exit(enable(strategy=strategy, why=why, by=by, as_json=as_json))


@click.command("enable-account")
@click.argument("account")
@click.option("--why", required=True, help="What was decided.")
@click.option("--by", required=True, help="Who decides it.")
@JSON
def enable_account(*, account: str, why: str, by: str, as_json: bool) -> None:
    """Let ACCOUNT open positions again after it reached a limit on its loss.

    A loss that is still at its limit refuses orders as before, and stops the account again: raise the limit
    (a temporary one reverts by itself), or override daily_loss_limit_reached. The halt of an account is ended
    by `recover --account`.
    """
    from jobs.enable_strategy import enable

    sys.exit(enable(account=account, why=why, by=by, as_json=as_json))


@click.command()
@click.option("--rule", required=True, help="The rule, by its reason: max_position_size_exceeded.")
@click.option("--intent", metavar="ID", help="The client_intent_id that passes it.")
@click.option("--strategy", metavar="TEXT", help="The strategy whose intents pass it.")
@click.option("--symbol", metavar="TEXT", help="The symbol in which intents pass it.")
@click.option("--why", required=True, help="Why; kept with every run that it counts in.")
@click.option("--by", required=True, help="Who approves it.")
@click.option("--until", metavar="DATE", help="The session: this one (the default), or the next one.")
@JSON
def override(*, rule: str, why: str, by: str, until: str | None, as_json: bool, **about: Any) -> None:
    """Let one intent, strategy or symbol pass one rule for a session.

    Written to a file below overrides/ in the data folder, which every run of that session reads and records.
    The kill switch, data that is unavailable, and the rules that keep a row one order can't be overridden.
    """
    from jobs.override import Options
    from jobs.override import override as command

    fields = {"client_intent_id": "intent", "strategy_id": "strategy", "symbol": "symbol"}
    named = {field: about[option] for field, option in fields.items()}
    options = Options(rule=rule, about=named, why=why, by=by, until=until)
    sys.exit(command(options, as_json=as_json))


CONTROL = (halt, recover, state, enable_strategy, enable_account, override)
