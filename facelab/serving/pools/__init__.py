"""Bounded pools with leases, what their waits say, and the load that shows it."""
