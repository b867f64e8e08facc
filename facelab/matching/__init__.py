"""Matchers: distances of all pairs and exact top-k search, scalar against SIMD against BLAS.

Importing this is cheap: numba and the kernels load with the first call.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
