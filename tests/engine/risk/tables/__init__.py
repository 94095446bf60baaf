"""One table per rule: a case a line, its verdict last.

``limits``: ``key=value``, after ``[section]`` where it stands in a limits file; ``known``: what is known
before; ``orders``: the batch, of which the last order is judged. Parts of a cell end with ``;``. Positions
are of SPY in the account ``paper`` and orders of the strategy ``momentum`` where nothing else is said.
"""

from __future__ import annotations

import csv
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from engine import RiskConfig, RiskInputs, evaluate
from engine.risk.book import LIMIT_BY_KEY
from engine.risk.levels import ACCOUNT, ALL, STRATEGY, STRATEGY_SYMBOL, SYMBOL, VARIABLE, LimitsFile
from engine.risk.limits_file.parsing import parse_limits_file
from engine.risk.rule import EVERY_LEVEL, Limit, Rule

_STEPS = {"shares": 1e-9, "seconds": 1e-6, "times": 1e-9, "fraction": 1e-9, "%": 1e-9, "USD": 1e-6}
"""The smallest step of a limit, by its unit; 1 for counts."""
FOLDER = Path(__file__).parent
AS_OF = pd.Timestamp("2026-03-16T19:00:00Z")
OPENS, CLOSES = pd.Timestamp("2026-03-16T13:30:00Z"), pd.Timestamp("2026-03-16T20:00:00Z")
HEAD = 'version = 1\nowner = "risk desk"\nreview_by = 2027-03-31\nacknowledged_off = ["*"]\n'
Row = dict[str, Any]
LevelOf = tuple[str, int]
"""A key and the kind of a level that sets it."""


@dataclass(frozen=True)
class Case:
    """A line of a table."""

    rule: str
    limits: str
    known: str
    orders: str
    verdict: str

    def __str__(self) -> str:
        return f"{self.limits or 'no limit'}; {self.known or 'nothing known'}; {self.orders}"

    def judged(self, limits: str | None = None) -> str:
        """Return the verdict of the rule on the last order, under other limits if given."""
        decisions = evaluate(
            pd.DataFrame([_order(words, nth) for nth, words in enumerate(_parts(self.orders))]),
            _inputs(_parts(self.known)),
            _config(_parts(self.limits if limits is None else limits)),
        )
        return str(decisions[f"check_{self.rule}"].iloc[-1])

    def without(self, level: LevelOf) -> str | None:
        """Return the verdict without one level of a limit, None where the case does not set it."""
        parts = _parts(self.limits)
        left = [part for part in parts if _level_of(part) != level]
        return None if len(left) == len(parts) else self.judged("; ".join(left))

    def moved(self, units: int) -> str | None:
        """Return the limits with their last number moved by so many of its units; None where it is none."""
        head, _, text = self.limits.rpartition("=")
        key = head.split(" ")[-1]
        if key not in LIMIT_BY_KEY or LIMIT_BY_KEY[key].kind != "number":
            return None
        value = moved(LIMIT_BY_KEY[key], float(text), units)
        if value < 0:
            return None
        return f"{head}={value}" if isinstance(value, int) else f"{head}={value:.9f}"


def moved(limit: Limit, value: float, units: int) -> float:
    """Return a value of a limit moved by so many of its units."""
    step = _STEPS.get(limit.unit, 1)
    return round(value + units * step, 9) if step < 1 else int(value) + units


def table(rule: str) -> list[Case]:
    """Return the cases of a rule."""
    with (FOLDER / f"{rule}.csv").open() as lines:
        return [Case(rule, **line) for line in csv.DictReader(lines)]


def levels_of(rule: Rule) -> list[LevelOf]:
    """Return the levels at which the limits of a rule may be set."""
    parts = [(part.limit, part.kinds) for part in rule.parts] or [(rule.limit, rule.kinds)]
    found: dict[LevelOf, None] = {}
    for limit, kinds in (*parts, *((limit, EVERY_LEVEL) for limit in rule.settings)):
        if limit is not None:
            may = {*limit.scopes, *((VARIABLE,) if limit.env or limit.key == "accounts" else ())}
            found |= dict.fromkeys((limit.key, kind) for kind in sorted(may.intersection(kinds)))
    return list(found)


def _level_of(part: str) -> LevelOf:
    section, _, setting = part.rpartition(" ")
    words = section.strip("[]").split(".")
    kinds = {"": VARIABLE, "limits": ALL, "account": ACCOUNT, "symbol": SYMBOL, "strategy": STRATEGY}
    return setting.partition("=")[0], STRATEGY_SYMBOL if len(words) > 2 else kinds[words[0]]


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _config(parts: list[str]) -> RiskConfig:
    by_variable: Row = {}
    sections: dict[str, list[str]] = {}
    for part in parts:
        section, _, setting = part.rpartition(" ")
        key, _, value = setting.partition("=")
        if section:
            sections.setdefault(section, []).append(f"{key} = {value}")
        elif key in LIMIT_BY_KEY and LIMIT_BY_KEY[key].kind == "names":
            by_variable[key] = frozenset(tomllib.loads(f"it = {value}")["it"])
        else:
            by_variable[key] = tomllib.loads(f"it = {value}")["it"]
    file: LimitsFile | None = None
    if sections:
        lines = [line for name, settings in sections.items() for line in (name, *settings)]
        text = HEAD + "\n".join(lines) + "\n"
        file = parse_limits_file(text, path="limits.toml", known=LIMIT_BY_KEY)
    return RiskConfig(limits_file=file, **by_variable)


_NUMBERS = {
    "slips": "estimated_slippage",
    "ref": "reference_price",
    "takes": "take_profit_limit_price",
    "cuts": "stop_loss_stop_price",
    "cutlimit": "stop_loss_limit_price",
}


def _order(words: str, nth: int) -> Row:
    row: Row = {"strategy_id": "momentum", "broker_account_id": "paper", "client_intent_id": f"intent-{nth}"}
    row["created_at"] = AS_OF
    parts = words.split()
    if parts[0] == "cancel":
        return row | {"action": "cancel", "target_intent_id": "earlier"}
    side, qty, symbol, *rest = parts
    row |= {"side": side, "symbol": symbol}
    row |= {"notional": float(qty[1:])} if qty.startswith("$") else {"qty": float(qty)}
    for name, value in zip(rest[::2], rest[1::2], strict=True):
        row |= _term(name, value)
    return row


def _term(name: str, value: str) -> Row:
    if name == "at":
        return {"order_type": "limit", "limit_price": float(value)}
    if name == "stop":
        return {"order_type": "stop", "stop_price": float(value)}
    if name in _NUMBERS:
        return {_NUMBERS[name]: float(value)}
    if name == "limit":
        return {"order_type": "stop_limit", "limit_price": float(value)}
    if name == "trails":
        term = "trail_percent" if value.endswith("%") else "trail_price"
        return {"order_type": "trailing_stop", term: float(value.removesuffix("%"))}
    if name == "tif":
        return {"time_in_force": value}
    if name == "hours":
        return {"extended_hours": value == "extended"}
    if name == "old":
        return {"created_at": AS_OF - pd.Timedelta(seconds=float(value))}
    if name == "valid":
        return {"valid_until": AS_OF + pd.Timedelta(seconds=float(value))}
    columns = {
        "by": "strategy_id",
        "in": "broker_account_id",
        "id": "client_intent_id",
        "file": "source_file",
        "class": "order_class",
    }
    return {columns[name]: value}


_NAMES = {"by": "strategy_id", "in": "broker_account_id", "id": "client_intent_id", "file": "source_file"}
_COLUMNS = {
    "positions": ("broker_account_id", "symbol", "qty"),
    "daily_trades": ("broker_account_id", "trades"),
    "working_orders": ("broker_account_id", "symbol", "side", "remaining_qty"),
    "unreconciled": ("broker_account_id", "symbol"),
    "strategy_positions": ("strategy_id", "broker_account_id", "symbol", "qty"),
    "strategy_trades": ("strategy_id", "broker_account_id", "symbol", "trades"),
    "working_order_terms": (
        *("broker_account_id", "symbol", "strategy_id", "side", "remaining_qty"),
        *("order_type", "limit_price", "stop_price", "trail_price", "trail_percent", "remaining_notional"),
    ),
    "assets": ("symbol", "tradable", "fractionable", "shortable"),
    "session_hours": ("opens_at", "closes_at", "extended_opens_at", "extended_closes_at"),
    "earlier_orders": (
        *("broker_account_id", "strategy_id", "symbol", "side", "qty", "notional"),
        *("order_type", "limit_price", "stop_price", "sent_at"),
    ),
    "earlier_batches": ("strategy_id", "run_id", "orders", "notional"),
    "latches": ("strategy_id", "rule", "since", "why", "broker_account_id"),
    "trading_states": ("scope", "name", "state", "since", "set_by", "why"),
    "reconciled": ("broker_account_id", "reconciled_at"),
    "prices": ("symbol", "bid", "ask", "last", "quote_at", "source", "feed", "verdict"),
    "account_figures": (
        *("broker_account_id", "buying_power", "cash", "equity", "start_equity", "peak_equity"),
    ),
    "traded_notional": ("strategy_id", "broker_account_id", "symbol", "notional"),
    "usual_quantities": ("strategy_id", "symbol", "qty"),
    "average_volumes": ("symbol", "shares", "measured_on"),
}


def _inputs(parts: list[str]) -> RiskInputs:
    rows: dict[str, list[Row]] = {name: [] for name in _COLUMNS}
    missing = set()
    as_of, kill_switch = AS_OF, False
    for part in parts:
        word, *rest = part.split()
        if word == "unknown":
            missing.add(rest[0])
        elif word == "now":
            as_of = pd.Timestamp(f"2026-03-16T{rest[0]}Z")
        elif word == "halted":
            kill_switch = True
        else:
            for name, row in _KNOWN[word](rest).items():
                rows[name].append(row)
    if not rows["session_hours"]:
        hours = [OPENS, CLOSES, pd.Timestamp("2026-03-16T08:00:00Z"), pd.Timestamp("2026-03-17T00:00:00Z")]
        rows["session_hours"] = [dict(zip(_COLUMNS["session_hours"], hours, strict=True))]
    frames: dict[str, Any] = {
        name: pd.DataFrame(rows[name], columns=list(_COLUMNS[name])) for name in _COLUMNS
    }
    known = RiskInputs(as_of=as_of, trading_date=as_of.date(), kill_switch=kill_switch, **frames)
    nothing: dict[str, Any] = dict.fromkeys(missing)
    return replace(known, **nothing)


def _position(rest: list[str]) -> dict[str, Row]:
    return {"positions": {"broker_account_id": "paper", "symbol": rest[0], "qty": float(rest[1])}}


def _own(rest: list[str]) -> dict[str, Row]:
    key = {"strategy_id": "momentum", "broker_account_id": "paper", "symbol": rest[0]}
    return {"strategy_positions": key | {"qty": float(rest[1])}}


def _working(rest: list[str]) -> dict[str, Row]:
    order = _order(" ".join(rest), 0)
    row = {"broker_account_id": order["broker_account_id"], "symbol": order["symbol"], "side": order["side"]}
    row["remaining_qty"] = order.get("qty")
    names = ("strategy_id", "limit_price", "stop_price", "trail_price", "trail_percent")
    terms = {name: order.get(name) for name in names} | {"remaining_notional": order.get("notional")}
    return {
        "working_orders": row,
        "working_order_terms": row | terms | {"order_type": order.get("order_type", "market")},
    }


def _trades(rest: list[str]) -> dict[str, Row]:
    trades = float(rest[0])
    key = {"strategy_id": "momentum", "broker_account_id": "paper", "symbol": "SPY"}
    return {
        "daily_trades": {"broker_account_id": "paper", "trades": trades},
        "strategy_trades": key | {"trades": trades},
    }


def _asset(rest: list[str]) -> dict[str, Row]:
    flags = {"tradable": True, "fractionable": True, "shortable": True}
    said: Row = {word.removeprefix("not-"): not word.startswith("not-") for word in rest[1:]}
    return {"assets": {"symbol": rest[0]} | flags | said}


def _sent(rest: list[str]) -> dict[str, Row]:
    order = _order(" ".join(rest[1:]), 0)
    names = ("broker_account_id", "strategy_id", "symbol", "side", "qty", "limit_price", "stop_price")
    row = {name: order.get(name) for name in names} | {"order_type": order.get("order_type", "market")}
    return {"earlier_orders": row | {"sent_at": AS_OF - pd.Timedelta(seconds=float(rest[0]))}}


def _quote(rest: list[str]) -> dict[str, Row]:
    """Read ``SPY 99 101``, and its age in seconds and the verdict of its source where they are said."""
    symbol, bid, ask, *more = rest
    age, verdict = (*more, "0", "ok")[0], (*more, "ok")[1] if len(more) > 1 else "ok"
    sides = {"bid": float(bid), "ask": float(ask), "last": float(ask), "source": "alpaca", "feed": "iex"}
    quoted = AS_OF - pd.Timedelta(seconds=float(age))
    return {"prices": {"symbol": symbol, "quote_at": quoted, "verdict": verdict} | sides}


def _figures(rest: list[str]) -> dict[str, Row]:
    names = {"start": "start_equity", "peak": "peak_equity", "power": "buying_power"}
    said = {names.get(name, name): float(value) for name, value in zip(rest[::2], rest[1::2], strict=True)}
    return {"account_figures": {"broker_account_id": "paper"} | said}


def _state(word: str) -> Any:
    def row(rest: list[str]) -> dict[str, Row]:
        name = rest[1] if len(rest) > 1 else ""
        by = {"since": AS_OF, "set_by": "ann", "why": "a test"}
        return {"trading_states": {"scope": rest[0], "name": name, "state": word} | by}

    return row


_KNOWN: dict[str, Any] = {
    "position": _position,
    "own": _own,
    "working": _working,
    "trades": _trades,
    "asset": _asset,
    "sent": _sent,
    "HALTED": _state("HALTED"),
    "REDUCING": _state("REDUCING"),
    "break": lambda rest: {"unreconciled": {"broker_account_id": "paper", "symbol": rest[0]}},
    "batch": lambda rest: {
        "earlier_batches": {
            "strategy_id": rest[0],
            "run_id": "one",
            "orders": float(rest[1]),
            "notional": float(rest[2]) if len(rest) > 2 else float("nan"),
        }
    },
    "latch": lambda rest: {
        "latches": {"strategy_id": rest[0], "rule": rest[1], "since": AS_OF, "why": "a test"}
    },
    "stopped": lambda rest: {
        "latches": {"broker_account_id": rest[0], "rule": rest[1], "since": AS_OF, "why": "a test"}
    },
    "quote": _quote,
    "intents": lambda rest: {
        "prices": {"symbol": rest[0], "source": "intents", "verdict": "ok", "quote_at": AS_OF}
    },
    "figures": _figures,
    "traded": lambda rest: {
        "traded_notional": {
            "strategy_id": rest[2] if len(rest) > 2 else "momentum",
            "broker_account_id": "paper",
            "symbol": rest[1],
            "notional": float(rest[0]),
        }
    },
    "usual": lambda rest: {
        "usual_quantities": {"strategy_id": rest[0], "symbol": rest[1], "qty": float(rest[2])}
    },
    "volume": lambda rest: {
        "average_volumes": {
            "symbol": rest[0],
            "shares": float(rest[1]),
            "measured_on": (AS_OF - pd.Timedelta(days=int(rest[2]))).date().isoformat(),
        }
    },
    "compared": lambda rest: {
        "reconciled": {
            "broker_account_id": "paper",
            "reconciled_at": AS_OF - pd.Timedelta(seconds=float(rest[0])),
        }
    },
}
