"""To be written."""

from engine.config import RiskConfig
from engine.inputs import RiskInputs
from engine.risk import evaluate

__all__ = ["RiskConfig", "RiskInputs", "evaluate"]
