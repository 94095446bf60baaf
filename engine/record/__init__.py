"""The record of every run in the data folder: written once, never changed, hashed."""
