"""The arithmetic of the stages, written once for every language."""
