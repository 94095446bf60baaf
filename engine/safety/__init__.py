"""What has to hold before an order may leave: gate, agent state, lease, kill switch, lock, generations."""
