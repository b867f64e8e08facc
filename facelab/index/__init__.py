"""Vectors that stay: ids, collections on disk, metadata by compare-and-swap, and a judge for their histories.

A `Collection` keeps vectors with labels and payloads in files and searches them exactly. `open_metadata` offers
compare-and-swap in SQLite or etcd; `check_history` says whether what clients saw of it is linearizable.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
