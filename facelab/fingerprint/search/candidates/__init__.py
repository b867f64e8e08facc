"""The pipelines one change away from a given one."""
