"""Market data: quotes and average volumes, and the files that they may come from."""
