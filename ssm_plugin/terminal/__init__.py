"""The user's terminal: raw mode, size, signals, escape sequences."""
