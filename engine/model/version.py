"""The version of this engine, for manifests, the command line and the package."""

__version__ = "0.1.0"
