"""The stores in Google's Firestore: ledger and the agent's documents."""
