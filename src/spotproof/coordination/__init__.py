"""Leases, heartbeats, cached positions and the event log: an optimisation, never the record of progress."""
