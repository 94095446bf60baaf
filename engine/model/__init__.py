"""The words of trading: orders, quantities, symbols, sessions, and the columns of every frame."""
