"""Blocking I/O and the threads around the protocol core."""
