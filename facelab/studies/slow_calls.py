"""Notebook 13: how long each stage takes, why single calls are slow, and whether the named causes are right."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facelab import detection, embedding
from facelab.core import html_table
from facelab.core.safety.scratch import ScratchFolder
from facelab.core.timing import Summary, ratio, summarise
from facelab.metrics.intervals import wilson
from facelab.serving import Pipeline
from facelab.serving.internals import PipelineRun, RenderedFrames, face_pipeline
from facelab.studies.planted_delays import EXPECTED, Delays, plant
from facelab.tracing import FAULTS, Tracer

DETECTOR, EMBEDDER = "yunet-n", "mobilefacenet"
STAGES = ("capture", "preprocess", "detect", "align", "embed", "match", "decide")
GALLERY = 1000
WIDTH = 960
BETWEEN = 5
"""Undisturbed frames between two planted delays, at least."""


def pipeline(detector: str = DETECTOR, embedder: str = EMBEDDER, *, seed: int = 7) -> Pipeline:
    """Return the face pipeline on one thread with a random gallery; pictures wider than `WIDTH` are shrunk.

    Raises MissingAssetError with the command that fetches a model that is missing.
    """
    finder = detection.load(detector, threads=1)
    encoder = embedding.load(embedder, threads=1)
    gallery = np.random.default_rng(seed).standard_normal((GALLERY, encoder.dim)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    return face_pipeline(finder, encoder, gallery, width=WIDTH)


def pictures(n: int = 4, *, seed: int = 7) -> list[np.ndarray]:
    """Return rendered scenes (240, 320, 3) uint8 of one to three faces each."""
    return RenderedFrames.of_scenes(n, seed=seed).pictures


def crowd(scenes: list[np.ndarray]) -> np.ndarray:
    """Return one picture with the faces of nine: three times as wide and high, nine times the work."""
    nine = [scenes[k % len(scenes)] for k in range(9)]
    return np.concatenate([np.concatenate(nine[k : k + 3], 1) for k in (0, 3, 6)], 0)


def quiet_run(
    line: Pipeline,
    scenes: list[np.ndarray],
    *,
    frames: int,
    fps: float | None = None,
    counters: bool = True,
) -> PipelineRun:
    """Run undisturbed frames, paced or at full speed."""
    line.run(
        RenderedFrames(scenes, count=2 * len(scenes))
    )  # the first calls of every model are slow
    source = RenderedFrames(scenes, fps=fps, count=frames)
    return line.run(source, tracer=Tracer(counters=counters, watch_s=0.005 if counters else None))


@dataclass(frozen=True)
class Confusion:
    """What was planted against what was named. `rows` has one dict per planted delay.

    `table` maps a kind to a count per named cause; `false` counts undisturbed calls that were named a stage's fault.
    """

    rows: tuple[dict[str, Any], ...]
    false: tuple[dict[str, Any], ...]
    undisturbed: int
    run: PipelineRun = field(repr=False)

    @property
    def right(self) -> int:
        """Planted delays whose cause and stage were both named."""
        return sum(r["right"] for r in self.rows)

    @property
    def share(self) -> float:
        """`right` over all planted delays."""
        return self.right / len(self.rows) if self.rows else 0.0

    @property
    def table(self) -> dict[str, dict[str, int]]:
        """Kind → named cause → count."""
        out: dict[str, Counter[str]] = {}
        for r in self.rows:
            out.setdefault(r["planted"], Counter())[r["named"]] += 1
        return {kind: dict(out[kind]) for kind in EXPECTED if kind in out}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "schema": "facelab.confusion/1",
            "planted": len(self.rows),
            "right": self.right,
            "share": self.share,
            "undisturbed": self.undisturbed,
            "false": list(self.false),
            "table": self.table,
            "rows": list(self.rows),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row per planted delay."""
        return pd.DataFrame(list(self.rows))

    def text(self) -> str:
        """Return the table for a terminal."""
        lines = [f"{kind:<20} {named}" for kind, named in self.table.items()]
        lines.append(
            f"{self.right} of {len(self.rows)} right; {len(self.false)} of {self.undisturbed} undisturbed calls "
            "named a stage's fault"
        )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        named = sorted({n for row in self.table.values() for n in row})
        rows = [[kind, *(row.get(n, 0) for n in named)] for kind, row in self.table.items()]
        return html_table.table(["planted", *named], rows, caption=self.text().splitlines()[-1])


def injection_matrix(
    line: Pipeline,
    scenes: list[np.ndarray],
    *,
    trials: int = 8,
    seed: int = 7,
    kinds: tuple[str, ...] = tuple(EXPECTED),
    on_frame: Callable[[int], None] | None = None,
) -> Confusion:
    """Plant each kind of delay `trials` times into random order into a running pipeline, and name every slow call.

    Parameters
    ----------
    line : Pipeline
        From `pipeline`.
    scenes : list of ndarray
        From `pictures`.
    trials : int
        Delays per kind.
    seed : int
        Of the order and the stages.
    kinds : tuple of str
        Keys of `EXPECTED`.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.repeat(np.arange(len(kinds)), trials))
    plan: dict[int, tuple[str, str]] = {}
    call = 12
    for k in order.tolist():
        plan[call] = (_stage_for(kinds[k], rng), kinds[k])
        call += BETWEEN + int(rng.integers(0, 4))
    images = [scenes[k % len(scenes)] for k in range(call)]
    for k, (_, kind) in plan.items():
        if kind == "one slow image":
            images[k] = crowd(scenes)
    run = _planted_run(line, images, plan, on_frame)
    return _judged(run, plan)


def _stage_for(kind: str, rng: np.random.Generator) -> str:
    if kind in ("hog on the core", "hog of the GIL"):
        return "embed"  # the stage with the most work: a hog delays work, not waiting
    if kind == "one slow image":
        return "detect"
    return str(rng.choice(["detect", "align", "embed"]))


def _planted_run(
    line: Pipeline,
    images: list[np.ndarray],
    plan: dict[int, tuple[str, str]],
    on_frame: Callable[[int], None] | None,
) -> PipelineRun:
    from facelab.zoo import load_catalogue
    from facelab.zoo.internals import require

    model = require(load_catalogue().model(EMBEDDER))
    with ScratchFolder() as folder, Delays(Path(folder), model) as delays:

        def before_next(call: int) -> None:
            if plan.get(call + 1, ("", ""))[1] == "garbage collection":
                delays.make_garbage()
            if on_frame is not None:
                on_frame(call)

        line.run(RenderedFrames([*images[:10], crowd(images[:4])], count=11))  # memory grows once
        planted = plant(line, plan, delays)
        try:
            return planted.run(
                RenderedFrames(images, count=len(images)), on_frame=before_next, collect=False
            )
        finally:
            gc.enable()


def _judged(run: PipelineRun, plan: dict[int, tuple[str, str]]) -> Confusion:
    causes = run.causes(floor_s=0.006)
    rows = []
    for call, (stage, kind) in plan.items():
        found = causes.of_call(call)
        named = found.cause if found else "not slow"
        at = found.stage if found else ""
        right = named == EXPECTED[kind] and (at == stage or kind == "one slow image")
        took = found.seconds if found else None
        row = {"call": call, "planted": kind, "stage": stage, "named": named, "at": at}
        rows.append({**row, "seconds": took, "right": right})
    touched = {k + d for k in plan for d in (0, 1)}  # a hog may still run in the next call
    false = [
        {"call": s.call, "stage": s.stage, "cause": s.cause, "seconds": s.seconds}
        for s in causes.slow
        if s.cause in FAULTS and s.call not in touched
    ]
    return Confusion(tuple(rows), tuple(false), causes.calls - len(touched), run)


def span_cost(*, rounds: int = 60, spans: int = 2000) -> SpanCost:
    """Measure what a span costs its thread in µs of processor time, with and without counters, interleaved."""
    tracers = {name: Tracer(counters=on, watch_s=None) for name, on in COUNTERS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in tracers}
    for _ in range(rounds):
        for name, tracer in tracers.items():
            started = time.thread_time_ns()
            for _ in range(spans):
                with tracer.span("a"):
                    pass
            seconds[name].append((time.thread_time_ns() - started) / spans / 1e3)
    for tracer in tracers.values():
        tracer.close()
    return SpanCost({name: summarise(np.array(s)) for name, s in seconds.items()})


COUNTERS = {"without counters": False, "with counters": True}


class SpanCost(dict[str, Summary]):
    """Name → summary of µs per span."""

    def _repr_html_(self) -> str:
        rows = [[name, s.p50, s.lo, s.hi, s.n] for name, s in self.items()]
        return html_table.table(["span", "P50 [µs]", "lo", "hi", "rounds"], rows)


def in_ms(
    found: tuple[float, float | None, float | None],
) -> tuple[float, float | None, float | None]:
    """Return (value, lo, hi) in milliseconds; None stays None.

    >>> in_ms((0.5, None, 1.0))
    (500.0, None, 1000.0)
    """
    value, lo, hi = (None if v is None else v * 1e3 for v in found)
    return value or 0.0, lo, hi


def share_interval(found: Confusion) -> tuple[float, float]:
    """Return Wilson's 95 % interval of the share of delays that were named right."""
    return wilson(found.right, len(found.rows))


def one_of_each(found: Confusion) -> tuple[list[int], dict[int, str]]:
    """Return a usual call and one call per kind that was named right, and their labels."""
    planted = {r["call"] for r in found.rows}
    usual = next(
        k for k in range(3, found.undisturbed) if k not in planted and k - 1 not in planted
    )
    names = {usual: "usual"}
    for kind in EXPECTED:
        rows = [r for r in found.rows if r["planted"] == kind and r["right"]]
        if rows:
            names[rows[len(rows) // 2]["call"]] = kind
    return list(names), names


def tracing_ratio(
    line: Pipeline, scenes: list[np.ndarray], *, rounds: int = 7, frames: int = 20
) -> dict[str, tuple[float, float, float]]:
    """Measure what tracing adds to the pipeline: processor time of the process, over that of spans alone, interleaved.

    Returns
    -------
    dict of str to (ratio, lo, hi)
        The median of the rounds' ratios and its 95 % interval, with counters, and with the watcher too.
    """
    kinds: dict[str, dict[str, Any]] = {
        "spans": {"counters": False, "watch_s": None},
        "counters": {"counters": True, "watch_s": None},
        "counters and watcher": {"counters": True, "watch_s": 0.005},
    }
    bare = Pipeline(line.stages, keep=0)
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, options in kinds.items():
            source, tracer = RenderedFrames(scenes, count=frames), Tracer(**options)
            started = time.process_time()
            bare.run(source, tracer=tracer, collect=False)
            seconds[name].append(time.process_time() - started)
    base = np.array(seconds.pop("spans"))
    return {name: ratio(np.array(s), base) for name, s in seconds.items()}
