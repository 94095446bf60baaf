"""``cancel-all``: withdraw what is open at the broker, wait for the outcome, say what filled on the way."""

from __future__ import annotations

import json
from typing import Any

import click

from engine.brokers.trading import TradingBroker
from engine.log import EventLog
from engine.open_orders import left_open
from engine.orders import BrokerOrder
from engine.withdrawing import Withdrawal, withdraw
from jobs.tables import print_table, say
from jobs.wording import number
from jobs.world import Setup, read_setup, termination_asked

EXIT_OPEN = 4


def cancel_all(*, symbol: str | None, strategy: str | None, account: str | None, as_json: bool) -> int:
    """Withdraw the open orders that are asked for; gives the exit code: 4 where one isn't over yet."""
    setup = read_setup()
    stopping = termination_asked()
    done = [
        one
        for access in setup.accesses(only=account, stopping=stopping)
        for one in withdraw_all(setup, access.broker, symbol=symbol, strategy=strategy)
    ]
    exit_code = EXIT_OPEN if any(not one.is_over for one in done) else 0
    if as_json:
        click.echo(json.dumps({"exit_code": exit_code, "orders": [_record(one) for one in done]}))
    else:
        tell(done)
    return exit_code


def withdraw_all(
    setup: Setup, broker: TradingBroker, *, symbol: str | None = None, strategy: str | None = None
) -> list[Withdrawal]:
    """Withdraw the open orders of a symbol, of a strategy, or all; of a filled entry, its exits."""
    entries = broker.open_orders()
    if symbol is not None:
        entries = [order for order in entries if order.symbol == symbol.strip().upper()]
    if strategy is not None:
        whose = _strategies(setup)
        entries = [order for order in entries if whose.get(order.client_order_id) == strategy.strip()]
    orders = [order for entry in entries for order in _to_withdraw(entry)]
    log = EventLog()
    for order in orders:
        log.event(
            "cancel_requested",
            f"{order.side} {order.symbol}, order {order.broker_order_id}, is withdrawn",
            intent_id=order.client_order_id,
            broker_order_id=order.broker_order_id,
        )
    done = withdraw(orders, broker, wait_s=setup.settings.settle_s, stopping=lambda: False)
    for one in done:
        log.event(
            "cancel_response",
            f"order {one.before.broker_order_id}: {one.why or one.after.order_status}",
            severity="INFO" if one.is_over else "ERROR",
            intent_id=one.before.client_order_id,
        )
    return done


def tell(done: list[Withdrawal]) -> None:
    """Print what became of the orders that were to be withdrawn."""
    if not done:
        say("Nothing of that is open at the broker.")
        return
    rows = [(one.before.client_order_id, _order(one.before), _outcome(one)) for one in done]
    print_table("Withdrawn", ("intent", "order", "outcome"), rows)
    still = [one for one in done if not one.is_over]
    say()
    if still:
        say(
            f"{len(still)} of {len(done)} ARE STILL OPEN. Run `execution-engine cancel-all` again.",
            color="red",
        )
    else:
        say(f"All {len(done)} are over. What filled reaches the ledger by the next live run.")


def _strategies(setup: Setup) -> dict[str, str]:
    """Give the strategy of each order that a run has left open, by client intent id."""
    return {
        str(one.intent.client_intent_id): one.intent.strategy_id
        for left in left_open(setup.objects)
        for one in left.orders
    }


def _to_withdraw(entry: BrokerOrder) -> list[BrokerOrder]:
    """Give what is to be cancelled of a group: the entry, which takes its exits along, or else the exits."""
    return [leg for leg in entry.legs if not leg.is_final] if entry.is_final else [entry]


def _order(order: BrokerOrder) -> str:
    much = number(order.qty) if order.qty is not None else f"{number(order.notional)} USD of"
    return f"{order.side} {much} {order.symbol}, {order.order_type}"


def _outcome(one: Withdrawal) -> str:
    filled = one.filled_meanwhile_qty
    told = one.why or one.after.order_status
    return f"{told}; {number(filled)} filled on the way" if filled > 0 else told


def _record(one: Withdrawal) -> dict[str, Any]:
    return {
        "client_intent_id": one.before.client_order_id,
        "broker_order_id": one.before.broker_order_id,
        "symbol": one.before.symbol,
        "side": one.before.side,
        "qty": one.before.qty,
        "order_status": one.after.order_status,
        "filled_qty": one.after.filled_qty,
        "filled_meanwhile_qty": one.filled_meanwhile_qty,
        "is_over": one.is_over,
        "why": one.why,
    }
