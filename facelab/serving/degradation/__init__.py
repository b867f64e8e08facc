"""What happens when something fails: a matrix in a data file, its measured losses, and what carries out its rows.

>>> from facelab.serving import degradation
>>> degradation.load_matrix().named("overload").part
'service'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
