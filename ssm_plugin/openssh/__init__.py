"""SSH without keys to distribute: OpenSSH's own programs, and keys that are good for a minute."""
