"""The Python API for notebooks and services: one intent at a time, and the outcomes of intents."""
