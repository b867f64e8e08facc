"""Tables, plots and pages: the only room with matplotlib. One module per topic; `style` is what they share.

>>> from facelab import report
>>> report.style.PALETTE[0]
'#0072B2'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
