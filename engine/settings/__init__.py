"""Environment and accounts file, read once and strictly into frozen settings."""
