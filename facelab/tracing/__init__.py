"""Latency and memory of a running pipeline: spans, causes of slow calls, memory verdicts, exporters.

>>> from facelab.tracing import Tracer
>>> with Tracer(counters=False) as tracer, tracer.span("detect"):
...     pass
>>> len(tracer.trace())
1
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_causes": ["CAUSES", "FAULTS", "Causes", "SlowCall", "explain"],
        "_export": ["FORMATS", "export", "folded"],
        "_lines": ["allocating_lines"],
        "_memory": ["MemoryReport", "MemoryWatch"],
        "_observe": ["prometheus", "send_otlp", "serve_prometheus"],
        "_quantiles": ["corrected", "quantile"],
        "_stages": ["Stages"],
        "_trace": ["Trace", "load"],
        "_tracer": ["Tracer"],
        "_verdict": ["VERDICTS"],
    },
)
