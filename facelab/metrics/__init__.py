"""The registered functions that derive every figure from raw samples (no files, no processes)."""
