"""A session: its types, its state machine, its registry."""
