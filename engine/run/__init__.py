"""The stages of a run: collect, decide, trade, manifest."""
