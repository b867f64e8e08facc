"""Notebook 14: does the pipeline's memory grow, what would a leak look like, and do models give their memory back?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import allocator, fresh, html_table
from facelab.core.machine import rss_bytes
from facelab.serving import Pipeline
from facelab.serving.internals import RenderedFrames
from facelab.studies.planted_leaks import heavy_model
from facelab.tracing import MemoryWatch
from facelab.tracing.internals import MemoryReport

SWAPS = 8
SIDE, LAYERS = 1000, 9
"""Side and number of the swapped model's weights: 36 MB of float32 in blocks of 4 MB, as in real networks."""


def watched_run(
    line: Pipeline,
    scenes: list[np.ndarray],
    *,
    frames: int,
    every: int = 10,
    on_frame: Callable[[int], None] | None = None,
) -> MemoryReport:
    """Run frames through the pipeline at full speed, traced, under a memory watch. A fifth of them may warm up."""
    watch = MemoryWatch(settle=frames // 5, every=every)

    def tick(frame: int) -> None:
        watch.tick(frame)
        if on_frame is not None:
            on_frame(frame)

    # inputs that a run keeps to repeat them are the study's, and not the pipeline's
    bare = Pipeline(line.stages, keep=0)
    bare.run(RenderedFrames(scenes), frames=frames, on_frame=tick, collect=False)
    return watch.finish()


@dataclass(frozen=True)
class SwapTable:
    """RSS in MB above the first model's, after each swap, per way of swapping; and the model's size in MB."""

    rss: dict[str, list[float]]
    model_mb: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"schema": "facelab.swaps/1", "model_mb": self.model_mb, "rss": self.rss}

    def to_frame(self) -> Any:
        """Return one row per swap as a pandas DataFrame."""
        import pandas

        return pandas.DataFrame(self.rss)

    def _repr_html_(self) -> str:
        rows = [[name, *(round(v, 1) for v in series)] for name, series in self.rss.items()]
        head = ["way", *(f"after {k + 1}" for k in range(SWAPS))]
        caption = f"MB above one loaded model of {self.model_mb:.0f} MB"
        return html_table.table(head, rows, caption=caption)


WAYS = {
    "as usual": "drop the old session, load the new one",
    "NodeArg held": "the same, and keep get_inputs()[0] of each",
    "trimmed": "the same as usual, then give freed memory back",
    "threshold pinned": "blocks of 128 KiB and more are mapped on their own",
    "facelab's runtime": "open_model and close",
}
"""Ways of swapping a model → what is done."""


def swap_table(folder: Path, *, ways: tuple[str, ...] = tuple(WAYS)) -> SwapTable:
    """Swap a model eight times in each way, each in its own process."""
    model = heavy_model(Path(folder) / "swapped.onnx", SIDE, LAYERS)
    rss = {
        way: [
            v / 1e6
            for v in fresh.call(
                "facelab.studies.pipeline_memory:swapped", str(model), way, threads=1
            ).value
        ]
        for way in ways
    }
    return SwapTable(rss, LAYERS * SIDE * SIDE * 4 / 1e6)


def swapped(model: str, way: str) -> list[int]:
    """Return RSS above the first loaded model after each swap; meant for a fresh process."""
    if way == "threshold pinned":
        allocator.pin_mmap_threshold()
    load = _facelab_swaps(model) if way == "facelab's runtime" else _plain_swaps(model, way)
    load()
    allocator.trim()
    base, out = rss_bytes(), []
    for _ in range(SWAPS):
        load()
        if way == "trimmed":
            allocator.trim()
        out.append(rss_bytes() - base)
    return out


def _plain_swaps(model: str, way: str) -> Callable[[], None]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    given = {"x": np.ones((1, SIDE), np.float32)}
    current: list[Any] = []
    held: list[Any] = []

    def load() -> None:
        new = onnxruntime.InferenceSession(model, options)
        new.run(None, given)
        if current and way == "NodeArg held":
            held.append(current[0].get_inputs()[0])
        current[:] = [new]

    return load


def _facelab_swaps(model: str) -> Callable[[], None]:
    from facelab.zoo.runtimes import Model, open_model

    given = np.ones((1, SIDE), np.float32)
    current: list[Model] = []

    def load() -> None:
        new = open_model(model, threads=1)
        new.run(given)
        old = current[:]
        current[:] = [new]
        for model_ in old:
            model_.close()

    return load
