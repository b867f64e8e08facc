"""The local HTTP service: the pipelines of notebooks behind limits that hostile input meets first."""
