"""One file per rule, each with one value ``RULE``; ``engine.risk.book`` has them in order."""
