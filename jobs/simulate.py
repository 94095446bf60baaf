"""``simulate``: simulated days, recorded as real ones are."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from engine.errors import UsageError
from engine.record.run_folder import MANIFEST, RunFolder
from engine.risk.config import RiskConfig
from jobs.tables import print_json, print_table, say
from replay.simulated.days import Simulation, simulate

_FIGURES = ("runs", "dropped", "quarantined", "allowed", "refused", "sent", "fills")


def simulate_days(simulation: Simulation, out: Path, *, as_json: bool) -> int:
    """Simulate days into a folder and print a summary; return the exit code."""
    runs = simulate(simulation, out)
    days: dict[date, dict[str, int]] = {}
    for run in runs:
        figures = days.setdefault(run.trading_date, dict.fromkeys(_FIGURES, 0))
        for name, value in _figures(run).items():
            figures[name] += value
    if as_json:
        rows_by_day = [{"trading_date": day.isoformat(), **figures} for day, figures in days.items()]
        print_json({"exit_code": 0, "data_dir": str(out.absolute()), "days": rows_by_day})
        return 0
    rows = [(day, *figures.values()) for day, figures in days.items()]
    print_table("Simulated days", ("session", *_FIGURES), rows, right=_FIGURES)
    say()
    say(f"A data folder like any other: EXEC_DATA_DIR={out} execution-engine status, explain, day.")
    span = _range(list(days))
    say(f"Under other limits: execution-engine replay {span} --data {out} --set EXEC_MAX_POSITION_QTY=50")
    return 0


def parsed(days: int, seed: int, first_day: str, *, faults: bool) -> Simulation:
    """Return the simulation of the command line. Raises ``UsageError``, ``ConfigurationError`` for limits."""
    try:
        first = date.fromisoformat(first_day)
    except ValueError:
        raise UsageError(f"--start is {first_day!r}; expected a date such as 2026-03-02.") from None
    limits = RiskConfig.from_env()
    return Simulation(sessions=days, seed=seed, first_day=first, faults=faults, limits=limits)


def _figures(run: RunFolder) -> dict[str, int]:
    manifest = run.json(MANIFEST)
    return {
        "runs": 1,
        "dropped": manifest["rows"]["dropped"],
        "quarantined": manifest["rows"]["quarantined"],
        "allowed": manifest["decisions"]["allowed"],
        "refused": manifest["decisions"]["refused"],
        "sent": manifest["orders"]["sent"],
        "fills": manifest["fills"],
    }


def _range(days: list[date]) -> str:
    return f"{days[0]}" if len(days) == 1 else f"{days[0]}..{days[-1]}"
