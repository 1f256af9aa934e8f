"""The protocol core: state without I/O; time is an argument."""
