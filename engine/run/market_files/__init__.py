"""The files that prices (``EXEC_PRICES``) and average volumes (``EXEC_ADV``) may come from."""
