"""Latency and memory of a bundle's model on this machine, in its own process."""

from __future__ import annotations

import numpy as np

from facelab.core import fresh
from facelab.core.machine import cpu_model
from facelab.deploy import golden
from facelab.deploy._opened import Bundle
from facelab.deploy.evidence import Measurement

WARMUP, CALLS = 5, 50


def here(bundle: Bundle, *, threads: int = 1, seconds: float = 1.5) -> Measurement:
    """Time single calls on a golden tensor (5 warm-up, up to 50 timed, at least 20) and the process's peak memory."""
    m = bundle.manifest
    probe = "face" if "face" in m.golden else m.golden[0]
    answer = fresh.call(
        "facelab.deploy._measure:_time",
        str(bundle.model),
        str(golden.tensor_file(bundle.folder / "golden" / "tensors", probe)),
        threads,
        seconds,
        threads=threads,
    )
    name = f"this machine ({cpu_model()}, {threads} thread{'s' * (threads != 1)})"
    return Measurement(name, np.asarray(answer.value), answer.peak_rss)


def _time(model: str, tensor: str, threads: int, seconds: float) -> list[float]:
    from facelab.core.timing import interleave
    from facelab.zoo.runtimes import open_model

    opened, x = open_model(model, threads=threads), golden.read_tensor(tensor)
    first = interleave({"model": lambda: opened.run(x)}, repeats=20, warmup=WARMUP)["model"]
    left = int(
        min(
            CALLS - len(first), max(0, (seconds - first.sum()) / max(float(np.median(first)), 1e-9))
        )
    )
    more = (
        interleave({"model": lambda: opened.run(x)}, repeats=left, warmup=0)["model"]
        if left
        else np.empty(0)
    )
    return [float(v) for v in np.concatenate([first, more])]
