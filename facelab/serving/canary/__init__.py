"""Canaries: who gets the candidate, how the two versions compare, and when to stop."""
