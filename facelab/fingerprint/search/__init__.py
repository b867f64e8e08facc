"""Which pipeline it was: the search over the model."""
