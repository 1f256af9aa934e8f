"""The engine that AWS runs for fleets: Run Command. SendCommand, what becomes of it, its output."""
