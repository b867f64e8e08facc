"""What a process may use, and what really held it; what a model needs, and whether a device has it.

`Budget` and `run` limit a command by cgroup v2, cgroup v1 or resource limits. `cost_of` counts a model's work,
`predict` models it on a device.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
