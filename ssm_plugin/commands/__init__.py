"""What can be called from a command line, one file per command."""
