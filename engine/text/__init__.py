"""External text: shown safely, with secrets masked, and compared by its visible form."""
