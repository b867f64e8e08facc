"""Rows of the gate's table, and the checks of size, speed and memory."""
