"""The version of this engine, as manifests, the command line and the package tell it."""

__version__ = "0.1.0"
