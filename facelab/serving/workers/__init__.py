"""Work in processes of their own: a crash ends one worker, costs at most one input, and is counted."""
