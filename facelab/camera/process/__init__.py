"""Capture in a process of its own: shared memory that cannot outlive it, and what scheduling was granted."""
