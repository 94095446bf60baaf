"""The commands: each a thin outside of what the engine does."""
