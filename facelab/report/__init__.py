"""Tables, plots and pages: the only room with matplotlib.

`style` and `write_index` are for everyone. Each other module holds the pictures of one topic. Notebooks and commands
import them by name (`from facelab.report import detection`), and they may change with any version.

>>> from facelab import report
>>> report.style.PALETTE[0]
'#0072B2'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
