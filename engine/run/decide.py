"""Stage: decisions on the sealed batch, from the recorded inputs alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

from engine.context import RunContext
from engine.model.schema import DECISION_COLUMNS
from engine.record.run_folder import BATCH, DECISIONS, UTILISATION, RunFolder
from engine.record.sealed_limits import config_of
from engine.risk.config import RiskConfig
from engine.risk.evaluation import Evaluation, evaluate, judged
from engine.risk.inputs import RiskInputs
from engine.risk.utilisation import utilisation
from engine.run.last_fired import with_last_fired
from engine.run.risk_inputs import inputs_of


def decide(folder: RunFolder, context: RunContext) -> None:
    """Judge the sealed batch by the sealed inputs and write ``decisions.parquet``.

    How much of each limit it used comes before it, in ``utilisation.parquet``.
    """
    context.progress("deciding", 0, 1)
    intents = folder.table(BATCH, list(DECISION_COLUMNS)).to_pandas()
    decisions, evaluation = judged(intents, inputs_of(folder), config_of(folder))
    for rule, error in decisions.attrs.get("raised", {}).items():
        context.log.event(
            "rule_raised", f"rule {rule} raised {error}; it refuses", severity="CRITICAL", rule=rule
        )
    table = pa.Table.from_pandas(decisions, preserve_index=False).replace_schema_metadata(None)
    names = table.schema.names
    ids = table.schema.get_field_index("client_intent_id")
    table = table.set_column(ids, names[ids], table[names[ids]].cast(pa.string()))
    _write_utilisation(folder, context, evaluation, decisions)
    folder.write(DECISIONS, table)
    _log(context, decisions)
    context.progress("deciding", 1, 1)


def _write_utilisation(
    folder: RunFolder, context: RunContext, evaluation: Evaluation, decisions: pd.DataFrame
) -> None:
    """Write how much of each limit the batch used; a fault in these figures is logged, and stops no run."""
    try:
        used = with_last_fired(utilisation(evaluation, decisions), folder, context)
        table = pa.Table.from_pandas(used, preserve_index=False)
    except Exception as error:
        context.log.event(
            "utilisation_failed",
            f"the use of limits is not recorded ({type(error).__name__}: {error}); the decisions are",
            severity="ERROR",
        )
        return
    folder.write(UTILISATION, table.replace_schema_metadata(None))


def decisions_of(folder: RunFolder, config: RiskConfig, inputs: RiskInputs) -> pd.DataFrame:
    """Return the decisions on a recorded batch; recorded inputs and limits reproduce the recorded ones."""
    intents = folder.table(BATCH, list(DECISION_COLUMNS)).to_pandas()
    return evaluate(intents, inputs, config)


def _log(context: RunContext, decisions: pd.DataFrame) -> None:
    context.log.for_each("risk_decision", len(decisions), lambda: _events(decisions))


def _events(decisions: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
    rules = [name.removeprefix("check_") for name in decisions.columns if name.startswith("check_")]
    names = ["client_intent_id", "allowed", "reason", *(f"check_{rule}" for rule in rules)]
    columns = [decisions[name].tolist() for name in names]
    for intent_id, allowed, reason, *verdicts in zip(*columns, strict=True):
        message = f"{intent_id} allowed" if allowed else f"{intent_id} refused: {reason}"
        checks = dict(zip(rules, verdicts, strict=True))
        yield message, {"intent_id": intent_id, "allowed": allowed, "reason": reason, "checks": checks}
