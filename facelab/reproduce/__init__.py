"""Run the notebooks headless: plan, typed parameters, keys, the engine around papermill, and the report.

- `plan` reads `plan.toml`; `Runner` with `Options` runs its steps; `Store` has what earlier runs left;
- `sweep` runs a step over values of its parameters; `side_by_side` and `differences` compare runs;
- `canonical` is the form of a committed notebook; `create_project` starts your own project.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
