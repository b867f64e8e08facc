"""What clients of a metadata store saw, and whether one order of events explains it."""
