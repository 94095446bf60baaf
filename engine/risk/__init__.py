"""The gate: the rule book and the scan that judges a batch."""
