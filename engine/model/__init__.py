"""The domain model: orders, quantities, symbols, sessions, and the columns of every frame."""
