"""Figures, each with its yardstick measured in the same run: ``make bench``."""
