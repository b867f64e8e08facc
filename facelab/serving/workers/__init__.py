"""Work in their own processes: a crash ends one worker, costs at most one input, and is counted."""
