"""What a surface looks like: skin, hair and cloth, the lights on it, and what is behind it."""
