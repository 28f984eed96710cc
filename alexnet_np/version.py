"""The version, for the package, the command line and the build script."""

__version__ = "0.1.0"
