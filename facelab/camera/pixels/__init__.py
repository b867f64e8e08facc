"""Pixel formats, JPEG streams and their decoders."""
