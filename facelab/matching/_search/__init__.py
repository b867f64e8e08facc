"""Searching a gallery: in one compiled call, or in blocks that threads share."""
