"""Recorded days and simulated ones: nothing in here can reach a real broker."""
