"""Capture in its own process: shared memory that cannot outlive it, and what scheduling was granted."""
