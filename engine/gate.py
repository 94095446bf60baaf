"""The gate before live trading: closed unless everything says that it is open.

A live run is refused, in this order, where

1. the kill switch is on: ``kill_switch_enabled``;
2. ``AGENT_MODE`` is not LIVE: ``agent_mode_not_live``;
3. the agent is not READY: ``agent_state_not_ready:<STATE>``. A run starts in INIT and earns READY by its
   preflight; what a person has HALTED is not examined at all.

Source: SEED (execution agent safety gate). A dry run has no gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from engine.agent import Agent, AgentState, State
from engine.errors import DataUnavailable, EngineError, GateClosed
from engine.masking import shown_word
from engine.preflight import Check, examine
from engine.stores.kill_switch import KillSwitchState

LIVE_MODE = "LIVE"


@dataclass(frozen=True)
class Refusal:
    """One thing that keeps the gate closed; ``why`` is fit for an operator."""

    reason: str
    why: str


def refusals(switch: KillSwitchState, agent_mode: str, agent: AgentState, *, why: str = "") -> list[Refusal]:
    """Give all that keeps the gate closed, in order; empty where it is open.

    ``why`` says more about the agent's state than the state itself does.
    """
    found = []
    if switch.on:
        found.append(Refusal("kill_switch_enabled", switch.why))
    if agent_mode != LIVE_MODE:
        said = f"AGENT_MODE is {shown_word(agent_mode)}" if agent_mode else "AGENT_MODE is not set"
        found.append(
            Refusal("agent_mode_not_live", f"{said}; set it to {LIVE_MODE}, in capitals, to trade live.")
        )
    if agent.state is not State.READY:
        found.append(Refusal(f"agent_state_not_ready:{agent.state}", why or _why_not_ready(agent)))
    return found


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What stands before a live run; ``checks`` are its preflight, each bounded by ``timeout_s`` seconds."""

    agent: Agent
    agent_mode: str
    kill_switch: Callable[[], KillSwitchState]
    checks: Mapping[str, Check]
    timeout_s: float

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Pass through, then let the work inside be done; an unexpected end of either is kept as ERROR."""
        with self.agent.at_work():
            self.pass_through()
            yield

    def pass_through(self) -> None:
        """Earn READY, or raise ``GateClosed`` with every refusal; nothing but the state is touched by then.

        What is certain before the preflight is refused without one.
        """
        self._refuse(self.standing(self.kill_switch(), self.kept()))
        switch, agent, why = self._examined()
        self._refuse(refusals(switch, self.agent_mode, agent, why=why))

    def kept(self) -> tuple[AgentState | None, str]:
        """Give the state that is kept; None, and why, where it can't be read."""
        try:
            return self.agent.state(), ""
        except DataUnavailable as error:
            return None, f"The agent's state can't be read: {error}"

    def standing(self, switch: KillSwitchState, kept: tuple[AgentState | None, str]) -> list[Refusal]:
        """Say what keeps the gate closed whatever a preflight would find; changes nothing."""
        agent, why = kept
        if agent is None:
            agent = AgentState(State.DEGRADED)
        elif agent.state is not State.HALTED:
            agent = AgentState(State.READY)  # any other is examined anew
        return refusals(switch, self.agent_mode, agent, why=why)

    def _examined(self) -> tuple[KillSwitchState, AgentState, str]:
        """Do the preflight and keep what comes of it, with all that is wrong.

        The state comes last: reading the switch may take a request, and a halt meanwhile has to win as well.
        """
        try:
            self.agent.begin()
            failed = [finding for finding in examine(self.checks, self.timeout_s) if not finding.passed]
            switch = self.kill_switch()
            if not failed:
                return switch, self.agent.to(State.READY, why="the preflight holds"), ""
            why = " ".join(f"{finding.name}: {finding.said}" for finding in failed)
            agent = self.agent.to(State.DEGRADED, why=f"the preflight failed: {why}")
        except EngineError as error:
            unkept = f"The agent's state can't be kept: {error}"
            return self.kill_switch(), AgentState(State.DEGRADED), unkept
        return switch, agent, f"The preflight failed. {why}" if agent.state is State.DEGRADED else ""

    @staticmethod
    def _refuse(found: list[Refusal]) -> None:
        if found:
            raise GateClosed([(refusal.reason, refusal.why) for refusal in found])


def _why_not_ready(agent: AgentState) -> str:
    if agent.state is State.HALTED:
        remedy = "`execution-engine recover` ends that."
    else:
        remedy = "The next live run examines it anew."
    return f"The agent is {agent.state}: {agent.why}. {remedy}"
