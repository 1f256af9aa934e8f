"""What a session does once it is open, one file per session type."""
