"""Tunnels that stay up: local ports that lead to a node, over one session after the other."""
