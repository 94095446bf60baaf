"""The stores in PostgreSQL: positions and the agent's documents."""
