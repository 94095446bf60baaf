"""Whether the inputs that a limit needs are configured at all; checked before a run begins."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import ConfigurationError, SeveralFaults
from engine.risk.config import RiskConfig
from engine.settings.variables import PriceSettings

NEEDS: Mapping[str, str] = {
    "prices": (
        "prices, and EXEC_PRICES is not set. Set it to alpaca, intents, or the path of a CSV or Parquet file"
    ),
    "average_volumes": (
        "average daily volumes, and EXEC_ADV is not set. Set it to the path of a CSV or Parquet file"
    ),
}
"""What each input frame is made of, and the setting that configures it."""


def check_inputs_configured(config: RiskConfig, prices: PriceSettings) -> None:
    """Raise ``ConfigurationError`` where a limit in force needs prices or volumes without a source.

    It names every such limit, and the setting.
    """
    is_set = {"prices": prices.source, "average_volumes": prices.volumes}
    needing = config.limits_needing()
    faults = [
        f"{', '.join(needing[frame])} {'need' if len(needing[frame]) > 1 else 'needs'} {need}, or unset the "
        f"{'limits' if len(needing[frame]) > 1 else 'limit'}."
        for frame, need in NEEDS.items()
        if frame in needing and is_set[frame] is None
    ]
    if len(faults) > 1:
        raise SeveralFaults(faults)
    if faults:
        raise ConfigurationError(faults[0])
