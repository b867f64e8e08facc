"""Trials of camera, depth and index: slow, gray and silent frames, no depth, a shard or the metadata away."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facelab import detection, liveness
from facelab.camera import open_source
from facelab.camera.internals import NoFrameError
from facelab.core.errors import FacelabError
from facelab.core.safety.scratch import ScratchFolder
from facelab.feedback import follow, smoother
from facelab.feedback.internals import EmotionScores
from facelab.index import Collection, open_metadata
from facelab.index.internals import Metadata, Swap
from facelab.liveness import Presentation
from facelab.serving.degradation import DepthFallback, Loss, ShardSet, WatchedSource
from facelab.studies import heart
from facelab.studies.fallbacks._trial import (
    Setting,
    Witness,
    ended,
    found_share,
    loss,
    need,
    timed,
)

NEAREST = "nearest vector is right"


class _Frames:
    """A source of frames in memory; None stands for a second without any."""

    streams = ("colour",)

    def __init__(self, frames: Iterable[Any]) -> None:
        self._frames: Iterator[Any] = iter(frames)

    def read(self, timeout_s: float = 1.0) -> Any:
        """Return the next frame. Raises NoFrameError where none comes in time."""
        frame = next(self._frames, None)
        if frame is None:
            time.sleep(min(timeout_s, 0.6))
            raise NoFrameError("no frame came in time", fix="look at the cable")
        return frame


def _rendered(times: Iterable[float]) -> list[Any]:
    """Return rendered colour frames with these times."""
    with open_source("rendered:size=64,depth=0") as source:
        frame = source.read().copy()
    return [frame.replace(time_s=float(t), sequence=k) for k, t in enumerate(times)]


def _gray(frame: Any) -> Any:
    picture = frame.image("RGB").mean(axis=2, keepdims=True).astype(np.uint8)
    return frame.replace(array=np.repeat(picture, 3, axis=2), format="RGB")


def camera_slow(setting: Setting) -> Loss:
    """Deliver a third of the frames: the label follows later."""
    name = "camera_slow"
    clips = heart.clip_scores(60 + 20 * setting.pictures)
    need(clips, "there are no clips with a classifier on this machine")
    steps = [1 / 15] * 30 + [1 / 5] * 30 + [1 / 15] * 60
    with (
        Witness(name) as witness,
        WatchedSource(_Frames(_rendered(np.cumsum(steps))), rate_hz=15.0) as watched,
    ):
        states = []
        for _ in steps:
            watched.read()
            states.append(name in watched.degraded)
            witness.look()
            if len(states) > 62:
                time.sleep(0.06)  # the way back counts real seconds of calm
    back = not states[29] and states[59] and not states[-1] and ended(name)
    same, age, n = _at_a_third(clips)
    return loss(
        name,
        "shows what the full rate shows",
        1.0,
        same,
        n,
        took=(1e3 * age[0], 1e3 * age[1]),
        shown=(witness.seen, any(states), back),
        note=f"{heart.REAL} on {len(clips)} clips, all frames against each third one; milliseconds are "
        "the mean age of the newest frame",
    )


def _at_a_third(clips: list[EmotionScores]) -> tuple[float, tuple[float, float], int]:
    """Return how often a third of the frames leads to the same label, both mean ages in seconds, and frames."""
    same: list[bool] = []
    gaps: tuple[list[float], list[float]] = ([], [])
    for clip in clips:
        few = replace(clip, times_s=clip.times_s[::3], scores=clip.scores[::3])
        whole, third = (follow(part, smoother(clip.labels)).shown for part in (clip, few))
        held = np.searchsorted(few.times_s, clip.times_s, side="right") - 1
        same += [whole[k] == third[j] for k, j in enumerate(held)]
        for kept, part in zip(gaps, (clip, few)):
            kept += (np.diff(part.times_s) / 2).tolist()
    return float(np.mean(same)), (float(np.mean(gaps[0])), float(np.mean(gaps[1]))), len(same)


def camera_gray(setting: Setting) -> Loss:
    """Take the colours of the pictures away."""
    name, detector = "camera_gray", detection.load(setting.detector, threads=1)
    frames = _rendered(np.arange(30) / 15)
    frames[10:20] = [_gray(f) for f in frames[10:20]]
    with (
        Witness(name) as witness,
        WatchedSource(_Frames(frames), rate_hz=15.0) as watched,
    ):
        states = []
        for k in range(len(frames)):
            watched.read()
            states.append(name in watched.degraded)
            witness.look()
            if k > 20:
                time.sleep(0.15)
    grays = [
        np.repeat(image.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
        for image in setting.images
    ]
    usual, ms = timed(lambda image: len(detector.detect(image)), setting.images)
    fallen, slow = timed(lambda image: len(detector.detect(image)), grays)
    return loss(
        name,
        "faces found",
        found_share(usual, setting.counts),
        found_share(fallen, setting.counts),
        len(grays),
        took=(ms, slow),
        shown=(
            witness.seen,
            any(states),
            not states[9] and states[19] and not states[-1] and ended(name),
        ),
        note=f"{setting.source}; {setting.detector}",
    )


def camera_silent(setting: Setting) -> Loss:
    """Deliver nothing for more than a second."""
    name, times = "camera_silent", np.arange(20) / 15
    some = _rendered(times)
    with (
        Witness(name) as witness,
        WatchedSource(_Frames([*some[:10], None, None, *some[10:]]), rate_hz=15.0) as watched,
    ):
        for _ in range(10):
            watched.read()
        before = name in watched.degraded
        started, got = time.perf_counter(), 0
        try:
            watched.read(1.15)
            got = 1
        except NoFrameError:
            pass
        waited = time.perf_counter() - started
        said = name in watched.degraded
        witness.look()
        watched.read()
        back = not before and name not in watched.degraded and ended(name)
    expected = waited * 15
    return loss(
        name,
        "frames delivered",
        1.0,
        got / expected,
        round(expected),
        took=(1e3 / 15, 1e3 * waited),
        shown=(witness.seen, said, back),
        note="15 frames per second, then none; milliseconds until the next frame, or until the error",
    )


def depth_missing(setting: Setting) -> Loss:
    """Take the depth away: a model for colour alone decides."""
    name, people = "depth_missing", max(12, 2 * setting.pictures)
    kinds = ("live", "print_flat", "print_bent", "screen")
    data = liveness.rendered(people, seed=setting.seed, kinds=kinds)
    whole = liveness.load("depth-geometry")
    need("minifasnet-v2" in liveness.available(), "there is no liveness model for colour alone")
    colour = liveness.load("minifasnet-v2", threads=1)
    for model in (whole, colour):  # each one's threshold, on people that are not reported on
        model.threshold = liveness.evaluate(model, data, seed=setting.seed).rates.threshold
    both = DepthFallback(whole, colour)
    flat = [_flat(p) for p in data]
    usual = liveness.evaluate(both, data, rule="model", seed=setting.seed)
    with Witness(name) as witness:
        fallen = liveness.evaluate(both, flat, rule="model", seed=setting.seed)
        answer = both.score(flat[0])
        said = name in both.degraded and answer.details["without_depth"] == 1.0
    again = both.score(data[0])
    back = again.details["without_depth"] == 0.0 and both.degraded == () and ended(name)
    both.close()
    return loss(
        name,
        "1 - ACER",
        1 - usual.rates.acer.value,
        1 - fallen.rates.acer.value,
        sum(p.split == "test" for p in data),
        took=(usual.milliseconds[0], fallen.milliseconds[0]),
        shown=(witness.seen, said, back),
        note=f"{people} rendered people, prints and screens; {whole.name} against {colour.name}, which "
        "was trained on photographs and not on rendered faces",
    )


def _flat(presentation: Presentation) -> Presentation:
    looks = tuple(replace(look, depth=None) for look in presentation.looks)
    return replace(presentation, looks=looks)


class _Away(Metadata):
    """A metadata store that can be out of reach."""

    name = "store of a trial"

    def __init__(self, inner: Metadata) -> None:
        self.inner, self.away = inner, False

    def get(self, key: str) -> Any:
        """Return a value. Raises FacelabError while the store is away."""
        if self.away:
            raise FacelabError("the metadata store does not answer", fix="start it")
        return self.inner.get(key)

    def swap(self, key: str, expected: int | None, value: bytes) -> Swap:
        """Swap a value."""
        return self.inner.swap(key, expected, value)

    def keys(self, prefix: str = "") -> list[str]:
        """Return keys."""
        return self.inner.keys(prefix)


def _vectors(n: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, 64)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _recall(shards: ShardSet, vectors: np.ndarray, ids: list[str]) -> tuple[float, float, Any]:
    started = time.perf_counter()
    found = shards.search(vectors, 1)
    ms = 1e3 * (time.perf_counter() - started) / len(vectors)
    hits = [row[:1] == [name] for row, name in zip(found.hits.ids, ids)]
    return float(np.mean(hits)), ms, found


def _collections(root: Path, parts: list[np.ndarray], metadata: Metadata) -> list[Path]:
    paths = []
    for k, rows in enumerate(parts):
        path = root / f"shard{k}"
        made = Collection.create(
            path, dimension=64, metric="cosine", name="faces", shard=str(k), metadata=metadata
        )
        with made:
            made.add(rows, ids=[f"{k}-{j}" for j in range(len(rows))])
        paths.append(path)
    return paths


def index_shard_away(setting: Setting) -> Loss:
    """Move one of three shards away."""
    name, clock = "index_shard_away", [0.0]
    parts = [_vectors(2000, setting.seed + k) for k in range(3)]
    queries = np.concatenate([p[:40] for p in parts])
    ids = [f"{k}-{j}" for k in range(3) for j in range(40)]
    with ScratchFolder(prefix="facelab-shards-") as folder:
        root = Path(folder)
        store = open_metadata(f"sqlite:{root / 'metadata.sqlite'}")
        paths = _collections(root, parts, store)
        with (
            Witness(name) as witness,
            ShardSet(paths, metadata=store, clock=lambda: clock[0]) as shards,
        ):
            _recall(shards, queries, ids)
            usual, ms, _ = _recall(shards, queries, ids)
            paths[1].rename(root / "elsewhere")
            clock[0] += 60.0
            fallen, slow, found = _recall(shards, queries, ids)
            said = name in found.degraded and not found.whole
            witness.look()
            (root / "elsewhere").rename(paths[1])
            clock[0] += 60.0
            again, _, found = _recall(shards, queries, ids)
            back = found.whole and name not in found.degraded and again == usual and ended(name)
        store.close()
    note = "three shards of 2000 vectors; queries are stored vectors"
    shown = (witness.seen, said, back)
    return loss(name, NEAREST, usual, fallen, len(ids), took=(ms, slow), shown=shown, note=note)


def index_metadata_away(setting: Setting) -> Loss:
    """Write while the readers' metadata store is away."""
    name, clock = "index_metadata_away", [0.0]
    rows = _vectors(1200, setting.seed)
    ids = [f"0-{j}" for j in range(1000)] + [f"new-{j}" for j in range(200)]
    asked = np.concatenate([rows[:100], rows[1000:1100]])
    names = ids[:100] + ids[1000:1100]
    with ScratchFolder(prefix="facelab-shards-") as folder:
        root = Path(folder)
        store = open_metadata(f"sqlite:{root / 'metadata.sqlite'}")
        away = _Away(store)
        paths = _collections(root, [rows[:1000]], store)
        with (
            Witness(name) as witness,
            ShardSet(paths, metadata=away, clock=lambda: clock[0]) as shards,
        ):
            away.away = True
            with Collection.open(paths[0], metadata=store) as writer:
                writer.add(rows[1000:], ids=ids[1000:])
                writer.compact()
            clock[0] += 60.0
            fallen, slow, found = _recall(shards, asked, names)
            said = name in found.degraded
            witness.look()
            away.away = False
            clock[0] += 60.0
            _recall(shards, asked, names)
            usual, ms, found = _recall(shards, asked, names)
            back = name not in found.degraded and usual > fallen and ended(name)
        store.close()
    shown, values = (witness.seen, said, back), (usual, fallen, len(names))
    note = "1000 old and 200 new vectors; half of the queries are new ones"
    return loss(name, NEAREST, *values, took=(ms, slow), shown=shown, note=note)
