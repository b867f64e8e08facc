"""Serving on the device: the pipeline of stages, pools, hot reload, canary, supervised workers, degradation."""

__all__: list[str] = []
