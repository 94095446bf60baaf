"""What only a live run has: connections, behind a gate that may let only cancels pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from engine.accounts.connection import Connections
from engine.errors import EngineError, GateClosed, LeaseHeld
from engine.log import EventLog
from engine.run.stages import finish, in_doubt, to_finish
from engine.safety.trading_gate import NOT_EXAMINED, Refusal, closed_by
from jobs.setup import Setup


@dataclass(frozen=True)
class LiveConnections:
    """The connections, and the reason and explanation of a closed gate; None where it is open."""

    connections: Connections
    closed_by: tuple[str, str] | None


@contextmanager
def opened(setup: Setup, stopping: Callable[[], bool], *, cancels_pass: bool) -> Iterator[LiveConnections]:
    """Pass the gate and open the connections; ``cancels_pass`` as in ``Gate.pass_through``.

    Raises ``GateClosed``, after a lookup of what earlier runs may have sent, ``LeaseHeld`` and
    ``EngineError``.
    """
    setup = replace(setup, stopping=stopping)
    gate = setup.gate(setup.preflight())
    with _looking_up(setup, stopping), gate.opened(cancels_pass=cancels_pass) as refusals:
        closed = closed_by(refusals)
        if closed is not None:
            _announce(closed, refusals)
        try:
            with setup.connections(stopping) as connections:
                yield LiveConnections(connections, closed)
        except LeaseHeld as error:
            setup.agent().note_turned_away([("lease_held", str(error))])
            raise


def _announce(closed: tuple[str, str], refusals: list[Refusal]) -> None:
    reason, why = closed
    EventLog().event(
        "trade_refused",
        f"Live trading is refused: {reason}. {why} Cancels are carried out; everything else is halted.",
        severity="ERROR",
        reasons=[refusal.reason for refusal in refusals],
        exit_code=GateClosed.exit_code,
    )


@contextmanager
def _looking_up(setup: Setup, stopping: Callable[[], bool]) -> Iterator[None]:
    """Look up what earlier runs may have sent where the preflight fails; send nothing."""
    try:
        yield
    except GateClosed as error:
        if NOT_EXAMINED in [reason for reason, _ in error.refusals]:
            _look_up(setup, stopping, closed_by([Refusal(*one) for one in error.refusals]))
        raise


def _look_up(setup: Setup, stopping: Callable[[], bool], closed: tuple[str, str] | None) -> None:
    log = EventLog()
    try:
        if not in_doubt(setup.context(progress=_unseen, stopping=stopping).runs):
            return
        with setup.connections(stopping, to_trade=False) as connections:
            context = setup.context(
                progress=_unseen, stopping=stopping, connections=connections, closed_by=closed
            )
            doubtful = {folder.run_id for folder in in_doubt(context.runs)}
            for folder in to_finish(context):
                if folder.run_id in doubtful:
                    finish(folder, context)
    except EngineError as error:
        text = f"what earlier runs may have sent can't be looked up now: {error} The next live run does it."
        log.event("run_left", text, severity="WARNING")


def _unseen(step: str, done: int, total: int) -> None:
    """Show no progress."""
