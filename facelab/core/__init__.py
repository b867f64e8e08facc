"""Errors, records, hashing, atomic files, machine facts and timing: standard library and numpy only."""
