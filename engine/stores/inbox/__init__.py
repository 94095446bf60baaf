"""The inbox: where strategies drop files, and how files leave it without one ever being lost."""
