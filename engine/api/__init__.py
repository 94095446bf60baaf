"""One intent at a time, and what became of intents: the engine for notebooks and services."""
