"""What goes to the device: the bundle, the policy, and the gate that says whether it may.

- `make_bundle` packs a model with its spec, golden outputs and evidence; `load` opens a bundle, `verify` checks it;
- `judge` holds a bundle against a `policy` and returns a `Verdict`, which `write_sarif` and `write_junit` export;
- `manifest`, `golden`, `evidence` and `thresholds` read and write the bundle's parts.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
