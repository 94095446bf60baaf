"""The places where things are kept: run folders, inbox, embedded store, kill switch, lock."""
