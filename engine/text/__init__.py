"""Text of others: shown safely, with secrets hidden, and compared as it is seen."""
