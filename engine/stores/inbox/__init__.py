"""The inbox: where strategies drop files, and how files are removed without losing any."""
