"""The gate before live trading: open only where every condition holds.

A live run is refused, in this order, where

1. the kill switch is on: ``kill_switch_enabled``;
2. ``AGENT_MODE`` is not LIVE: ``agent_mode_not_live``;
3. the agent is not READY: ``agent_state_not_ready:<STATE>``. A run starts in INIT and becomes READY by its
   preflight; a HALTED agent has no preflight.

Stores that are not those of this data folder's live runs, or are behind, are a configuration error: nothing
trades on them, and no preflight runs (``engine.safety.generations``).

Cancels pass a gate that switch, mode or a halt keep closed: a run then collects the inbox, carries out the
cancels, and halts everything else. Where the preflight fails, nothing is changed.

Source: SEED (execution agent safety gate). A dry run has no gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from engine.errors import DataUnavailable, EngineError, GateClosed, RunStopped, StoreChanged, UnusablePlace
from engine.safety.agent_state import Agent, AgentState, State
from engine.safety.generations import Generations
from engine.safety.kill_switch import KillSwitchState
from engine.safety.preflight import Check, examine
from engine.text.masking import shown_word

LIVE_MODE = "LIVE"
STORES_CHANGED = "stores_changed"
NOT_EXAMINED = f"agent_state_not_ready:{State.DEGRADED}"
"""The preflight failed, or the state can't be read or written: stores and broker can't be relied on."""


@dataclass(frozen=True)
class Refusal:
    """One reason why the gate is closed; ``why`` is for the operator."""

    reason: str
    why: str


def refusals(switch: KillSwitchState, agent_mode: str, agent: AgentState, *, why: str = "") -> list[Refusal]:
    """Return every reason why the gate is closed, in order; empty where it is open.

    ``why`` explains the agent's state in more detail than the state itself.
    """
    found = []
    if switch.on:
        found.append(Refusal("kill_switch_enabled", switch.why))
    if agent_mode != LIVE_MODE:
        mode = f"AGENT_MODE is {shown_word(agent_mode)}" if agent_mode else "AGENT_MODE is not set"
        found.append(
            Refusal("agent_mode_not_live", f"{mode}; set it to {LIVE_MODE}, in capitals, to trade live.")
        )
    if agent.state is not State.READY:
        is_halted = agent.state is State.HALTED
        why_not_ready = _why_not_ready(agent) if is_halted else why or _why_not_ready(agent)
        found.append(Refusal(f"agent_state_not_ready:{agent.state}", why_not_ready))
    return found


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The gate of a live run; ``checks`` are its preflight, each bounded by ``timeout_s`` seconds."""

    agent: Agent
    generations: Generations
    agent_mode: str
    kill_switch: Callable[[], KillSwitchState]
    checks: Mapping[str, Check]
    timeout_s: float

    @contextmanager
    def opened(self, *, cancels_pass: bool = False) -> Iterator[list[Refusal]]:
        """Pass the gate, then run the enclosed work; an unexpected end of either sets the state ERROR.

        Yields what ``pass_through`` returns. The work ends with a new generation, unless it is killed.
        """
        with self.agent.at_work():
            try:
                found = self.pass_through(cancels_pass=cancels_pass)
            except GateClosed as closed:
                if STORES_CHANGED not in [reason for reason, _ in closed.refusals]:
                    self.agent.note_turned_away(closed.refusals)
                raise
            try:
                yield found
            except EngineError:  # the work may have booked orders by then
                self._end()
                raise
            self._end()

    def _end(self) -> None:
        self.generations.end(by=self.agent.by, at=self.agent.clock(), log=self.agent.log)

    def pass_through(self, *, cancels_pass: bool = False) -> list[Refusal]:
        """Become READY, or raise ``GateClosed`` with every refusal; changes nothing but the state.

        Refusals that are certain before the preflight are raised without one. ``cancels_pass``: for work that
        sends only cancels while switch, mode or a halt keep the gate closed; these refusals are returned, and
        the preflight must pass all the same.

        Raises ``StoreChanged`` where the gate isn't closed anyway.
        """
        standing = self.standing(self.kill_switch(), self.kept())
        certain = [one for one in standing if one.reason != NOT_EXAMINED]
        if certain and not cancels_pass:
            self._refuse(standing)
        self._verify_stores(certain)
        if len(standing) > len(certain):
            self._refuse(standing)
        switch, agent, why, has_failed = self._examined()
        found = refusals(switch, self.agent_mode, agent, why=why)
        if cancels_pass and has_failed and not any(one.reason == NOT_EXAMINED for one in found):
            found.append(Refusal(NOT_EXAMINED, why))  # the agent itself stays HALTED
        if not cancels_pass or has_failed:
            self._refuse(found)
        return found

    def kept(self) -> tuple[AgentState | None, str]:
        """Return the stored state; None, and why, where it can't be read."""
        try:
            return self.agent.state(), ""
        except DataUnavailable as error:
            return None, f"The agent's state can't be read: {error}"

    def standing(self, switch: KillSwitchState, kept: tuple[AgentState | None, str]) -> list[Refusal]:
        """Return the refusals that hold whatever a preflight would find; changes nothing."""
        agent, why = kept
        if agent is None:
            agent = AgentState(State.DEGRADED)
        elif agent.state is not State.HALTED:
            agent = AgentState(State.READY)  # the preflight decides on any other state
        return refusals(switch, self.agent_mode, agent, why=why)

    def _verify_stores(self, standing: list[Refusal]) -> None:
        """Raise ``StoreChanged``, or ``GateClosed`` where something else keeps the gate closed as well.

        A store that can't be reached now fails the preflight, which comes next.
        """
        try:
            self.generations.verify()
        except StoreChanged as changed:
            if not standing:
                raise
            self._refuse([*standing, Refusal(STORES_CHANGED, " ".join(changed.faults))])
        except DataUnavailable:
            pass

    def _examined(self) -> tuple[KillSwitchState, AgentState, str, bool]:
        """Run the preflight and store the new state; return switch, state, faults and whether it failed.

        The state is written last: reading the switch may take a request, and a halt meanwhile must prevail.
        """
        try:
            self.agent.begin()
            failed = [finding for finding in examine(self.checks, self.timeout_s) if not finding.passed]
            switch = self.kill_switch()
            if not failed:
                self.generations.advance(by=self.agent.by, at=self.agent.clock())
                return switch, self.agent.to(State.READY, why="the preflight holds"), "", False
            why = " ".join(f"{finding.name}: {finding.text}" for finding in failed)
            agent = self.agent.to(State.DEGRADED, why=f"the preflight failed: {why}")
        except (RunStopped, StoreChanged, UnusablePlace):
            raise
        except EngineError as error:
            unkept = f"The agent's state can't be updated: {error}"
            return self.kill_switch(), AgentState(State.DEGRADED), unkept, True
        return switch, agent, f"The preflight failed. {why}", True

    @staticmethod
    def _refuse(found: list[Refusal]) -> None:
        if found:
            raise GateClosed([(refusal.reason, refusal.why) for refusal in found])


def closed_by(found: list[Refusal]) -> tuple[str, str] | None:
    """Return the first reason why the gate is closed, and all explanations; None where it is open."""
    if not found:
        return None
    (first, *others) = found
    return first.reason, " ".join([first.why, *(f"Also {one.reason}: {one.why}" for one in others)])


def _why_not_ready(agent: AgentState) -> str:
    if agent.state is State.HALTED:
        remedy = "`execution-engine recover` ends that."
    else:
        remedy = "The next live run checks again."
    return f"The agent is {agent.state}: {agent.why}. {remedy}"
