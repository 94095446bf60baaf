"""Alpaca's Trading API: requests, replies and rules of the venue."""
