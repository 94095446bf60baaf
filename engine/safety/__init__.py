"""Conditions for sending an order: gate, agent state, lease, kill switch, lock, generations."""
