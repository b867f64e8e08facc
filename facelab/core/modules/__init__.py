"""Which modules a piece of code reaches, and which distributions they come from; nothing is imported."""
