"""Run the notebooks headless: plan, typed parameters, keys, the engine around papermill, and the report."""
