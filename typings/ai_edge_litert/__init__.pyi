"""LiteRT states no types."""
