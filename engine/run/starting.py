"""The start of a run: checked before anything is written, then fixed in ``run.json``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.context import RunContext
from engine.errors import ConfigurationError, UsageError
from engine.intents.identity import IdentityRules
from engine.model.calendar import check_calendar, trading_date
from engine.record.run_folder import RunFolder
from engine.record.sealed_limits import check_session, sealed_config
from engine.risk.config import RiskConfig
from engine.run.inputs_configured import check_inputs_configured
from engine.run.manifest import code_version
from engine.run.risk_inputs import stores_of
from engine.safety.override_files import OverrideFiles
from engine.settings.variables import RunSettings
from engine.stores.chosen import check_addresses, check_stores_are_named
from engine.text.masking import shown_text

if TYPE_CHECKING:  # a dry run has none
    from engine.accounts.connection import Connection

_SLOT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def start(
    settings: RunSettings,
    config: RiskConfig,
    context: RunContext,
    *,
    slot: str = "adhoc",
    scheduled: Mapping[str, str] | None = None,
) -> RunFolder:
    """Create a run's folder with ``run.json``, which fixes what a resumed run must not change; return it.

    ``scheduled``: the time that the slot was scheduled for, as ``run.json`` keeps it.

    Overrides whose session is over are named in it, and their files are set aside. Raises what
    ``check_start`` raises, and ``ConfigurationError`` for a faulty override.
    """
    check_start(settings, slot=slot)
    connections = context.connections
    if settings.dry_run != (connections is None):
        raise UsageError("a live run needs connections to its brokers, and a dry run must have none.")
    as_of = context.clock()
    files = OverrideFiles.at(context.objects, as_of, settings.calendar)
    expired = files.read().expired
    sealed = sealed_start(settings, config, context, slot=slot, as_of=as_of)
    sealed.update(scheduled or {})
    if expired:
        sealed["expired_overrides"] = [{**one.row(), "text": str(one)} for one in expired]
    folder = context.runs.create(files.today, f"{as_of:%Y%m%dT%H%M%SZ}-{slot}", sealed)
    files.set_aside(expired)
    mode = folder.start["mode"]
    with_run_id(context, folder).log.event(
        "run_started",
        f"run {folder.run_id} begins as a {mode} run",
        mode=mode,
        trading_date=folder.trading_date,
    )
    with_run_id(context, folder).log.events(
        "override_expired", [(str(one), one.row()) for one in expired], severity="NOTICE"
    )
    return folder


def sealed_start(
    settings: RunSettings, config: RiskConfig, context: RunContext, *, slot: str, as_of: datetime
) -> dict[str, Any]:
    """Return the content of ``run.json`` without the run id.

    Raises ``ConfigurationError`` where the limits file may not be used in this session, and where a limit
    needs prices or volumes that are not configured.
    """
    check_session(config, trading_date(as_of, settings.calendar))
    check_inputs_configured(config, settings.prices)
    connections = context.connections
    return {
        "mode": "dry" if settings.dry_run else "live",
        "closed_by": context.closed_by,
        "slot": slot,
        "as_of": as_of.isoformat(),
        "accounts": sorted(config.accounts),
        "hosts": sorted({connection.broker.trading_host for connection in connections.at_work})
        if connections
        else [],
        "venues": [_as_sealed(connection) for connection in connections.at_work] if connections else [],
        "stores": stores_of(context),
        **sealed_config(config),
        "settings": {
            "calendar": settings.calendar,
            "inbox_settle_s": settings.inbox_settle_s,
            "decision_max_age_s": settings.decision_max_age_s,
            "positions_max_age_s": settings.positions_max_age_s,
            "intake": asdict(settings.intake),
            "inbox_tz": settings.inbox_tz,
            "prices": asdict(settings.prices),
        },
        "identity": IdentityRules.of(settings.identity_ignores).record(),
        "code_version": code_version(),
    }


def check_start(settings: RunSettings, *, slot: str = "adhoc") -> None:
    """Check that a run can start, before anything is written.

    Raises ``UsageError`` for a malformed slot, ``ConfigurationError`` for an unknown calendar and for a live
    run on stores that the settings don't name.
    """
    if not _SLOT.fullmatch(slot):
        raise UsageError(
            f"slot is {shown_text(slot)}; expected a name of a-z, 0-9 and -, such as open or 1545."
        )
    check_calendar(settings.calendar)
    check_addresses(settings.stores)
    if settings.dry_run:
        return
    check_stores_are_named(settings.stores)
    if settings.disk_is_lost:
        raise ConfigurationError(
            f"EXEC_DRY_RUN is 0, CLOUD_RUN_JOB says that this is a Cloud Run job, and EXEC_DATA_DIR is "
            f"the local folder {settings.data_dir}, which is lost when the job ends, and the record of sent "
            f"orders with it. Run live on a machine with a permanent disk; a dry run may run here."
        )
    if settings.gate.heartbeat_document and settings.stores.firestore_project is None:
        raise ConfigurationError(
            f"EXEC_HEARTBEAT_DOC is {shown_text(settings.gate.heartbeat_document)}, a document in "
            f"Firestore, and no project is set. Set FIREBASE_PROJECT_ID, or unset EXEC_HEARTBEAT_DOC."
        )


def _as_sealed(connection: Connection) -> dict[str, str]:
    return {
        "account": connection.account,
        "host": connection.broker.trading_host,
        "account_key": connection.key,
    }


def with_run_id(context: RunContext, folder: RunFolder) -> RunContext:
    """Return the context of a run: its id is in every log event."""
    return replace(context, log=context.log.with_fields(run_id=folder.run_id))
