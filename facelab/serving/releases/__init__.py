"""Releases: verified copies of bundles, the slot that serves one of them, and the swap to the next."""
