"""The intents that jobs are to carry out: of every kind, those that will be refused included."""

from __future__ import annotations

from random import Random

from tests.desk import NOON, Row, order

ACCOUNT = "paper"
NEAR, FAR = 150.0, 20.0
"""Prices of buys that fill at once, and that the market never comes to; everything begins near 100."""

BID, ASK = 20.0, 20.5
"""The quote of every symbol, by which orders by notional are judged: at no price below it does any fill."""

SYMBOLS = ("SPY", "QQQ", "AAPL", "MSFT", "IWM", "DIA", "GLD", "XLF")


def quotes() -> str:
    """Return the file of prices: one quote for each symbol, of the beginning of every case."""
    rows = [f"{symbol},{BID},{ASK},,{NOON:%Y-%m-%dT%H:%M:%SZ}" for symbol in (*SYMBOLS, "TLT", "EEM")]
    return "\n".join(["symbol,bid,ask,last,quote_at", *rows, ""])


def by_notional(notional: float, **said: object) -> Row:
    return order(**{"qty": None, "notional": notional, **said})


def resting(**said: object) -> Row:
    """Return a buy that the market never comes to."""
    return order(**{"order_type": "limit", "limit_price": FAR, **said})


def bracket(**said: object) -> Row:
    """Return an entry with both of its exits, neither of which the market comes to."""
    exits = {"take_profit_limit_price": 400, "stop_loss_stop_price": 10}
    return order(**{"order_class": "bracket", **exits, **said})


def cancel(target: str, **said: object) -> Row:
    plain = {"symbol": None, "side": None, "qty": None, "client_intent_id": f"cancel-{target}"}
    return order(**{"action": "cancel", "target_intent_id": target, **plain, **said})


def earlier() -> dict[str, list[Row]]:
    """Return what a run before has sent already."""
    return {
        "earlier.json": [
            resting(client_intent_id="rests-from-before", symbol="XLF", qty=3),
            resting(client_intent_id="withdrawn-later", symbol="GLD", qty=2),
            order(client_intent_id="done-before", symbol="XLF", qty=2),
            order(client_intent_id="held-before", symbol="EEM", qty=3),
        ]
    }


def of_every_kind() -> dict[str, list[Row]]:
    """Return a few dozen orders, by file."""
    momentum = [order(symbol=symbol, qty=qty) for symbol in SYMBOLS[:4] for qty in (1, 2, 2)]
    hedges = [order(symbol="TLT", side="sell", qty=qty, client_intent_id=f"hedge-{qty}") for qty in (3, 1)]
    passive = [
        resting(symbol="AAPL", qty=4, client_intent_id="rests"),
        resting(symbol="AAPL", qty=5, client_intent_id="withdrawn"),
        order(symbol="AAPL", qty=2, order_type="limit", limit_price=NEAR),
        resting(symbol="MSFT", qty=1, time_in_force="gtc", client_intent_id="rests-for-long"),
        resting(symbol="MSFT", qty=1, time_in_force="ioc", client_intent_id="nobody-sells"),
        order(symbol="DIA", order_type="stop", stop_price=300, qty=1, client_intent_id="stop"),
    ]
    groups = [
        bracket(symbol="IWM", qty=2, client_intent_id="group"),
        bracket(symbol="GLD", qty=2, client_intent_id="group-rests", order_type="limit", limit_price=FAR),
    ]
    refused = [
        order(symbol="SPY", qty=500, client_intent_id="too-large"),
        order(symbol="SPY", qty=1, order_type="limit", limit_price=100.001, client_intent_id="sub-penny"),
        order(symbol="NOSUCH", qty=1, client_intent_id="no-asset"),
        order(symbol="DIA", qty=0, client_intent_id="nothing"),
        order(symbol="XLF", qty=2, client_intent_id="done-before"),
    ]
    rests: Row = {"order_type": "limit", "limit_price": FAR, "symbol": "XLF"}
    money = [
        by_notional(150, symbol="DIA", client_intent_id="by-notional"),
        by_notional(100.01, symbol="EEM", side="sell", client_intent_id="sold-by-notional"),
        by_notional(60, **rests, client_intent_id="rests-by-notional"),
        by_notional(61, **rests, client_intent_id="withdrawn-by-notional"),
        by_notional(9_999_999, symbol="DIA", client_intent_id="too-large-by-notional"),
        by_notional(60.001, symbol="DIA", client_intent_id="between-cents"),
        by_notional(60, symbol="DIA", time_in_force="gtc", client_intent_id="not-for-the-day"),
    ]
    withdrawn = ("withdrawn", "withdrawn-later", "withdrawn-by-notional", "never-heard-of")
    cancels = [cancel(target) for target in withdrawn]
    return {
        "momentum.csv": momentum,
        "hedges.jsonl": hedges,
        "desk/passive.json": passive,
        "desk/groups.json": groups,
        "refused.json": refused,
        "money.json": money,
        "zz-cancels.json": cancels,
    }


def at_random(chance: Random, name: str, count: int) -> list[Row]:
    """Return orders of chance, one in four of which rests, some without an id of their own."""
    rows: list[Row] = []
    for number in range(count):
        said: Row = {
            "symbol": chance.choice(SYMBOLS),
            "side": chance.choice(("buy", "buy", "sell")),
            "qty": chance.choice((1, 2, 3, 0.5)),
            "strategy_id": chance.choice(("momentum", "pairs")),
        }
        kind = chance.random()
        if kind < 0.25:
            price = FAR if said["side"] == "buy" else 500.0
            said |= {"order_type": "limit", "limit_price": price, "qty": chance.randint(1, 4)}
        elif kind < 0.3:
            said |= {"side": "buy", "qty": 2, **_exits()}
        elif kind < 0.35:
            said |= {"side": "buy", "qty": 500}
        elif kind < 0.43:
            said |= _by_notional(chance, 300)
        elif said["side"] == "sell" or kind < 0.6:
            said["qty"] = chance.randint(1, 3)
        if chance.random() < 0.7:
            said["client_intent_id"] = f"{name}-{number}"
        rows.append(order(**said))
    named = [row for row in rows if "client_intent_id" in row]
    for row in chance.sample(named, min(len(named), chance.randint(0, 2))):
        target = row["client_intent_id"]
        rows.append(cancel(target, strategy_id=row["strategy_id"]))
    return rows


def tight(chance: Random, name: str, count: int) -> list[Row]:
    """Return orders in few symbols, most of which rest: what is still open is what a limit is about."""
    rows = []
    for number in range(count):
        side = chance.choice(("buy", "sell"))
        said: Row = {
            "client_intent_id": f"{name}-{number}",
            "symbol": chance.choice(("SPY", "QQQ")),
            "side": side,
            "qty": chance.choice((1, 2, 3, 5)),
        }
        if chance.random() < 0.6:
            price = chance.choice((FAR, 95.0)) if side == "buy" else chance.choice((500.0, 105.0))
            said |= {"order_type": "limit", "limit_price": price}
        elif chance.random() < 0.2:
            said |= {"side": "buy", "qty": 2, **_exits()}
        if chance.random() < 0.15:
            said = {name: said[name] for name in ("client_intent_id", "symbol")} | _by_notional(chance, 80)
        rows.append(order(**said))
    targets = chance.sample(range(count), min(count, chance.randint(0, 3)))
    return [*rows, *(cancel(f"{name}-{number}") for number in targets)]


def _by_notional(chance: Random, at_most: int) -> Row:
    """Return the terms of an order by notional, every other one of which rests."""
    price = {"order_type": "limit", "limit_price": FAR} if chance.random() < 0.5 else {}
    return {"side": "buy", "qty": None, "notional": chance.randint(100, 100 * at_most) / 100, **price}


def _exits() -> Row:
    return {"order_class": "bracket", "take_profit_limit_price": 400, "stop_loss_stop_price": 10}
