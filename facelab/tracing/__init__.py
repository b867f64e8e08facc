"""Latency and memory of a running pipeline: spans, causes of slow calls, memory verdicts, exporters.

>>> from facelab.tracing import Tracer
>>> with Tracer(counters=False) as tracer, tracer.span("detect"):
...     pass
>>> len(tracer.trace())
1
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
