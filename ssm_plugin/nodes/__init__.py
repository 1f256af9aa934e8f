"""Nodes: how they are named, how they are looked up, how they are shown."""
