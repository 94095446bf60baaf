"""``replay``: what today's code, or other limits, would have decided on recorded days."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from engine.errors import UsageError
from engine.model.quantity import total_shares
from engine.risk.evaluation import NO_SOURCE
from engine.risk.levels import LimitsFile
from engine.settings.variables import read_setting
from jobs.tables import print_json, print_table, say
from jobs.wording import amount, counted, number
from replay.comparison import Comparison
from replay.limits import limits_file, set_on_the_command_line
from replay.not_recorded import REMEDY, summed
from replay.recorded import Day, days
from replay.replaying import replay_each

_FLIPS_SHOWN, _DAYS_SHOWN, _ID_SHOWN = 20, 30, 12
_WORDS = {"newly_refused": "refused now", "newly_allowed": "allowed now"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line; see the command's help."""

    data: str | None
    limits: str | None
    set: tuple[str, ...]
    chained: bool
    decisions_only: bool
    as_json: bool


def replay(what: str, options: Options) -> int:
    """Print what differs from the record; return the exit code: 0 wherever the comparison was made.

    Raises ``RecordError`` where a recorded file is missing or has changed, ``UsageError`` where nothing of
    that name is recorded, and ``ConfigurationError`` for an unknown limit.
    """
    changes = _changes(options)
    asked = _asked_for(what, Path(options.data or read_setting("EXEC_DATA_DIR", os.environ)))
    found = _compared(asked, changes, options)
    unfinished = [path.name for day in asked for path in day.unfinished]
    if options.as_json:
        record = {"exit_code": 0, **found.record(), "unfinished": unfinished, "limits": _plain(changes)}
        print_json(record)
        return 0
    _print(found, asked, changes, chained=options.chained)
    for name in unfinished:
        say(f"Left out: run {name} is not finished; the next `execution-engine run` ends it.", color="red")
    return 0


def _compared(asked: Sequence[Day], changes: Mapping[str, Any], options: Options) -> Comparison:
    """Replay piece by piece; keep only the flips and counts of each."""
    compared = replay_each(asked, changes, chained=options.chained, decisions_only=options.decisions_only)
    pieces = list(map(Comparison.counted, compared))
    notes = dict.fromkeys(note for piece in pieces for note in piece.notes)
    return Comparison([part for piece in pieces for part in piece.parts], list(notes))


def _changes(options: Options) -> dict[str, Any]:
    """Return the changed limits; the command line wins over the file."""
    from_file = limits_file(options.limits) if options.limits else {}
    return {**from_file, **set_on_the_command_line(options.set)}


def _asked_for(what: str, data: Path) -> list[Day]:
    """Return the days of a session, a range, a run or a folder. Raises ``UsageError`` without a match."""
    if os.sep in what or what == ".":
        return days(what)
    known = days(data)
    first, is_range, last = what.partition("..")
    if is_range or _as_date(what) is not None:
        begin, end = _as_date(first or "0001-01-01"), _as_date((last or "9999-12-31") if is_range else first)
        if begin is None or end is None:
            raise UsageError(f"the range is {what!r}; expected two sessions, as 2026-03-02..2026-03-06.")
        found = [day for day in known if begin <= day.trading_date <= end]
        if not found:
            sessions = f"{known[0].trading_date} to {known[-1].trading_date}"
            raise UsageError(f"no session of {what} is recorded in {data}; it has {sessions}.")
        return found
    return _run_called(what, known, data)


def _run_called(name: str, known: Iterable[Day], data: Path) -> list[Day]:
    runs = [(day, run) for day in known for run in day.runs if run.run_id.startswith(name)]
    exact = [(day, run) for day, run in runs if run.run_id == name] or runs
    if len(exact) == 1:
        ((day, run),) = exact
        return [Day(day.trading_date, (run,))]
    if exact:
        names = ", ".join(run.run_id for _, run in exact[:5])
        raise UsageError(f"{name!r} is the beginning of {len(exact)} runs: {names} … Write more characters.")
    raise UsageError(
        f"{name!r} is not a session, range or finished run of {data}. Write a session (2026-03-02), a range "
        f"(2026-03-02..2026-03-06), a run's name or the path of its folder; `status` shows runs."
    )


def _as_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _print(found: Comparison, asked: Sequence[Day], changes: Mapping[str, Any], *, chained: bool) -> None:
    _print_heading(found, asked, changes, chained=chained)
    _print_verdict(found, changes)
    flips = found.flips
    if len(flips):
        _print_rules(flips)
        _print_strategies(flips)
        _print_flips(flips)
    if len(found.outcome_flips):
        _print_outcomes(found.outcome_flips)
    if len(found.not_recorded):
        _print_not_recorded(found.not_recorded)
    if found.days > 1:
        _print_days(found.summary)
    _print_notes(found, chained=chained)


def _print_heading(
    found: Comparison, asked: Sequence[Day], changes: Mapping[str, Any], *, chained: bool
) -> None:
    first, last = asked[0].trading_date, asked[-1].trading_date
    sessions = f"session {first}" if first == last else f"{found.days} sessions, {first} to {last}"
    limits = [f"{name} {_shown(value)}" for name, value in changes.items()]
    under = f"with {', '.join(limits)}" if limits else "under the recorded limits"
    runs = len(found.summary)
    parts = [f"{sessions}, {runs} run{'s' * (runs != 1)}, {found.intents} intents", under]
    say()
    say(" · ".join(["Replay", *parts, *(["chained"] if chained else [])]), bold=True)


def _print_verdict(found: Comparison, changes: Mapping[str, Any]) -> None:
    flips, summary = found.flips, found.summary
    say()
    if not found.differences and found.first_differing_stage is None:
        but = ", as far as their input was recorded" if len(found.not_recorded) else ""
        say(f"No difference{but}: decisions and results are those of the record, value for value.")
        return
    for direction, words in _WORDS.items():
        rows = flips[flips["direction"] == direction]
        if len(rows):
            say(f"{counted(len(rows), 'intent is', 'intents are')} {words}{_worth(rows)}.", bold=True)
    if not len(flips):
        say("No intent is decided differently.")
    if others := len(found.outcome_flips):
        say(
            f"{counted(others, 'intent is', 'intents are')} allowed as before and "
            f"{'has' if others == 1 else 'have'} another outcome.",
            bold=True,
        )
    say(
        f"{counted(found.differences, 'intent differs', 'intents differ')} in any value (limits themselves "
        f"left out); the first stage that differs: {found.first_differing_stage}."
    )
    code, results = int(summary["code_differences"].sum()), int(summary["result_differences"].sum())
    if code:
        say(f"{code} of them differ because of today's code alone, under the recorded limits.", color="red")
    if results and not changes:
        say(f"{results} had another outcome at the broker, over the recorded traffic.", color="red")
    if (flips["cause"] == "unexplained").any():
        say("Some flips have no cause: same code, same limits, another decision.", color="red")


def _worth(rows: pd.DataFrame) -> str:
    known = rows["notional_usd"].dropna()
    if known.empty:
        return ""
    share = "" if len(known) == len(rows) else f" in the {len(known)} whose price is known"
    return f", {_usd(known.sum())} USD{share}"


def _print_rules(flips: pd.DataFrame) -> None:
    names = ["rule", "direction", "cause", "recorded_limit_source", "limit_source"]
    rows = [
        (
            rule,
            _WORDS[direction],
            cause,
            _level(then),
            _level(now),
            len(some),
            _shares_of(some),
            _usd_of(some),
        )
        for (rule, direction, cause, then, now), some in flips.groupby(names, sort=False)
    ]
    rows.sort(key=lambda row: -row[5])
    columns = ("rule", "intents are", "because of", "refused by then", "by now", "intents", "shares", "USD")
    print_table("By rule and level of its limit", columns, rows, right=columns[5:])


def _level(source: str) -> str:
    """Return the level of a limit that refused, "-" where none did."""
    return "-" if source in ("", NO_SOURCE) else source


def _print_strategies(flips: pd.DataFrame) -> None:
    grouped = flips.groupby(["strategy_id", "symbol", "direction"], sort=False)
    rows = [
        (
            strategy,
            symbol,
            _WORDS[direction],
            len(some),
            _shares_of(some),
            _usd_of(some),
        )
        for (strategy, symbol, direction), some in grouped
    ]
    rows.sort(key=lambda row: -row[3])
    columns = ("strategy", "symbol", "intents are", "intents", "shares", "USD")
    title = "By strategy and symbol"
    if len(rows) > _FLIPS_SHOWN:
        title += f" (the first {_FLIPS_SHOWN} of {len(rows)})"
    print_table(title, columns, rows[:_FLIPS_SHOWN], right=columns[3:])


def _print_outcomes(flips: pd.DataFrame) -> None:
    rows = [
        (
            outcome,
            reason,
            cause,
            len(some),
            _shares_of(some),
            _usd_of(some),
        )
        for (outcome, reason, cause), some in flips.groupby(["outcome", "reason", "cause"], sort=False)
    ]
    rows.sort(key=lambda row: -row[3])
    columns = ("then -> now", "reason now", "because of", "intents", "shares", "USD")
    print_table("Allowed as before, with another outcome", columns, rows, right=columns[3:])


def _print_flips(flips: pd.DataFrame) -> None:
    shown = flips.head(_FLIPS_SHOWN)
    title = "Intents" if len(shown) == len(flips) else f"Intents (the first {len(shown)} of {len(flips)})"
    rows = [
        (
            row["client_intent_id"][:_ID_SHOWN],
            f"{row['trading_date']:%Y-%m-%d}",
            row["strategy_id"],
            row["broker_account_id"],
            f"{row['side']} {_qty(row)} {row['symbol']}",
            _usd(row["notional_usd"]),
            f"{_level(row['recorded_limit_source'])} -> {_level(row['limit_source'])}",
            _figures(row),
        )
        for row in shown.to_dict(orient="records")
    ]
    columns = ("intent", "session", "strategy", "account", "order", "USD", "refused by", "then and now")
    print_table(title, columns, rows, right=("USD",))


def _figures(row: Mapping[str, Any]) -> str:
    """Return both decisions, with the figures of the rule that refuses."""
    rule = row["rule"]
    pairs = {
        "max_position_size_exceeded": ("projected_qty", "position_limit_qty", "position {}, limit {}"),
        "max_daily_trades_exceeded": ("trades_today", "trades_limit", "{} trades before it, limit {}"),
    }
    if rule not in pairs:
        return f"{row['recorded_reason']} then, {row['reason']} now"
    figure, limit, words = pairs[rule]
    then, now = (
        words.format(_known(row[prefix + figure]), _known(row[prefix + limit]))
        for prefix in ("recorded_", "")
    )
    return f"{_decided(row['recorded_allowed'])} then ({then}), {_decided(row['allowed'])} now ({now})"


def _decided(allowed: object) -> str:
    return "allowed" if allowed else "refused"


def _print_not_recorded(unjudged: pd.DataFrame) -> None:
    rows = [
        (limit["rule"], ", ".join(limit["frames"]), limit["first_session"], limit["last_session"],
         limit["sessions"], limit["intents"], limit["allowed"])
        for limit in summed(unjudged)
    ]  # fmt: skip
    columns = ("rule", "not recorded", "first session", "last session", "sessions", "intents",
               "otherwise allowed")  # fmt: skip
    title = "Not recorded: judged without these limits, and no flips"
    print_table(title, columns, rows, right=columns[4:])
    say(f"{REMEDY}.")


def _print_days(summary: pd.DataFrame) -> None:
    names = ["intents", "newly_refused", "newly_allowed", "outcome_flips", "differences"]
    grouped = summary.groupby("trading_date")
    sums = grouped[names].sum()
    depends = grouped["depends_on_earlier_flip"].any()
    differing = sums[(sums["differences"] > 0) | depends]
    rows = [
        (f"{session:%Y-%m-%d}", *(int(row[name]) for name in names), "yes" if depends[session] else "")
        for session, row in differing.head(_DAYS_SHOWN).iterrows()
    ]
    title = f"Sessions that differ: {len(differing)} of {len(sums)}"
    if len(differing) > _DAYS_SHOWN:
        title += f", the first {_DAYS_SHOWN}"
    columns = ("session", "intents", "refused now", "allowed now", "other outcomes", "differences",
               "from earlier flips")  # fmt: skip
    if rows:
        print_table(title, columns, rows, right=columns[1:6])


def _print_notes(found: Comparison, *, chained: bool) -> None:
    say()
    other = found.summary.loc[~found.summary["same_code"].astype(bool), "code_version"].unique()
    if len(other):
        say(f"Recorded by other code than today's: {', '.join(str(version) for version in other)}.")
    simulated = int(found.summary["simulated"].sum())
    if simulated:
        say(f"{simulated} orders were never sent then: their outcome is simulated, at one price each.")
    if chained:
        first = found.first_dependent_day
        say(f"The first session that depends on an earlier flip: {first}." if first else
            "No session depends on an earlier flip.")  # fmt: skip
    for note in found.notes:
        say(f"Note: {note}.")
    say("The hash of every file was verified. Nothing was sent: a replay has no connection to a broker.")


def _plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _as_json(value) for name, value in changes.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, LimitsFile):
        return value.path
    return sorted(value) if isinstance(value, frozenset) else value


def _shown(value: object) -> str:
    if isinstance(value, LimitsFile):
        return value.path
    if isinstance(value, frozenset):
        return "+".join(sorted(map(str, value))) or "any"
    if isinstance(value, float):
        return number(value)
    return "none" if value is None else str(value)


def _qty(row: Mapping[str, Any]) -> str:
    if not pd.isna(row["qty"]):
        return number(row["qty"])
    return "?" if pd.isna(row["notional_usd"]) else amount(None, row["notional_usd"])


def _shares_of(rows: pd.DataFrame) -> str:
    """Return the sum of quantities, with a question mark for the orders that have none (by notional)."""
    known = rows["qty"].dropna()
    if known.empty:
        return "?"
    text = number(total_shares(known.to_numpy(dtype="float64")))
    return text if len(known) == len(rows) else f"{text} + ?"


def _known(value: float) -> str:
    return "unknown" if pd.isna(value) else number(value)


def _usd_of(rows: pd.DataFrame) -> str:
    known = rows["notional_usd"].dropna()
    return "" if known.empty else _usd(known.sum())


def _usd(amount: float) -> str:
    return "" if pd.isna(amount) else f"{amount:,.0f}"
