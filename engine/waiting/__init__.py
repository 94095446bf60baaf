"""How the engine waits: the deadline, the pause, the backoff, the retry policy and the bounded call."""
