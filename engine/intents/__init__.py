"""Intent files to a batch: read, type, check, identify."""
