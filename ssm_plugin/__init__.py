"""AWS Session Manager client in pure Python. Importing costs nothing: names load on first use."""

from .version import __version__

__all__ = ["__version__"]
