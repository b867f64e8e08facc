"""What a pipeline can do, as data, and what it would do to a probe. No search and no words."""
