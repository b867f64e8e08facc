"""The functions of `facelab.datasets.synthetic` that callers use: sample, vary, generate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.core import html_table
from facelab.core.errors import BadInputError
from facelab.core.progress import track
from facelab.core.templates import render
from facelab.datasets.synthetic._workers import parallel
from facelab.datasets.synthetic.tasks import _sets as sets
from facelab.datasets.synthetic.tasks._make import make
from facelab.datasets.synthetic.tasks._recipe import Recipe, Sample, change


def recipe(
    seed: int,
    index: int,
    set: str = "emotion",
    size: int = 160,
    *,
    classes: int | Sequence[str] = 7,
    **factors: Any,
) -> Recipe:
    """Return every factor of one picture of a set (see Recipe), with some of them changed.

    `set` is `emotion`, `verification` or `liveness`; `classes` (3, 7 or names) counts for `emotion` only. Raises
    BadInputError for an unknown set or factor and for numbers out of range.
    """
    sets.check_set(set, sets.IMAGE_SETS)
    seed, index = sets.check_number("seed", seed), sets.check_number("index", index)
    size = sets.check_number("size", size, 16)
    if set == "emotion":
        drawn = sets.emotion_recipe(seed, index, size, sets.classes_of(_tuple(classes)))
    elif set == "verification":
        drawn = sets.verification_recipe(seed, index, size)
    else:
        from facelab.datasets.synthetic.tasks._liveness import liveness_recipe

        drawn = liveness_recipe(seed, index, size)
    return change(drawn, **factors) if factors else drawn


def _tuple(classes: Any) -> int | tuple[Any, ...]:
    return classes if isinstance(classes, int) else tuple(classes)


def sample(
    seed: int,
    index: int,
    set: str = "emotion",
    size: int = 160,
    *,
    classes: int | Sequence[str] = 7,
    **factors: Any,
) -> Sample:
    """Return one labelled picture of a set, made alone from (seed, index); `factors` override what was drawn.

    The same arguments give the same pixels on every machine. `size` is the side in pixels. For scenes of
    many faces use `scene`.

    Examples
    --------
    >>> s = sample(7, 0, size=48, emotion="joy", yaw=20)
    >>> s.image.shape, s.image.dtype.name, s.emotion, s.yaw
    ((48, 48, 3), 'uint8', 'joy', 20)
    """
    return _make(recipe(seed, index, set, size, classes=classes, **factors), size)


def _make(drawn: Recipe, size: int) -> Sample:
    if "kind" in drawn.tags:
        from facelab.datasets.synthetic.tasks._liveness import make_liveness

        return make_liveness(drawn, size)
    return make(drawn, size)


def vary(
    seed: int,
    index: int,
    factor: str,
    values: Sequence,
    set: str = "emotion",
    size: int = 160,
    **factors: Any,
) -> list[Sample]:
    """Return one picture a value of `factor`; everything else (identity, light, noise, …) stands still.

    Examples
    --------
    >>> left, right = vary(7, 3, "yaw", [-30, 30], size=32)
    >>> left.identity == right.identity, left.emotion == right.emotion
    (True, True)
    """
    base = recipe(seed, index, set, size, **factors)
    return [_make(change(base, **{factor: value}), size) for value in values]


@dataclass(frozen=True)
class Faces:
    """Many single faces in memory. Arrays share their first axis; angles in degrees, boxes xyxy pixels.

    `images` (n, size, size, 3) uint8 RGB; `identity` (n,) object (whole numbers of any size); `emotion`, `split` (n,)
    str; `intensity`, `yaw`, `pitch`, `roll`, `visibility` (n,) float64; `boxes` (n, 4), `landmarks` (n, 5, 2) float64.
    """

    images: np.ndarray
    identity: np.ndarray
    emotion: np.ndarray
    split: np.ndarray
    intensity: np.ndarray
    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    visibility: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    tags: tuple[dict, ...]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, keep: Any) -> Faces:
        """Return the faces at an index array, slice or mask."""
        place = np.atleast_1d(np.arange(len(self))[keep])
        arrays = {k: v[place] for k, v in self.__dict__.items() if k != "tags"}
        return Faces(**arrays, tags=tuple(self.tags[i] for i in place))

    def _repr_html_(self) -> str:
        """Count faces by emotion and split, below the first twelve pictures."""
        splits = [s for s in ("train", "validation", "test") if (self.split == s).any()]
        rows = [
            [str(e), *(int(((self.emotion == e) & (self.split == s)).sum()) for s in splits)]
            for e in np.unique(self.emotion)
        ]
        people = len(np.unique(self.identity.astype(str)))
        return _thumbnails(self.images[:12]) + html_table.table(
            ["emotion", *splits], rows, caption=f"{len(self)} faces of {people} people"
        )

    def of(self, split: str) -> Faces:
        """Return the faces of one split: train, validation or test."""
        return self[self.split == split]


def _thumbnails(images: np.ndarray) -> str:
    import base64
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.concatenate([*images], axis=1)).resize((96 * len(images), 96)).save(
        buffer, "PNG"
    )
    data = base64.b64encode(buffer.getvalue()).decode()
    alt = f"the first {len(images)} faces"
    return render("core/templates/image.html.j2", alt=alt, kind="png", data=data)


def generate(
    set: str = "emotion",
    n: int = 1000,
    seed: int = 7,
    workers: int = 1,
    size: int = 160,
    *,
    classes: int | Sequence[str] = 7,
    start: int = 0,
    progress: bool = False,
    **factors: Any,
) -> Faces:
    """Return samples `start` … `start + n - 1` of a set of single faces, in memory.

    The result is the same for any number of `workers` (processes). `factors` override what was drawn, in every
    picture. A bar on standard error shows `progress`. Raises BadInputError as `recipe` does.
    """
    n, workers = (
        sets.check_number("number of samples", n, 1),
        sets.check_number("number of workers", workers, 1),
    )
    start = sets.check_number("start", start)
    recipe(
        seed, start, set, size, classes=classes, **factors
    )  # wrong arguments fail before any process starts
    jobs = [(seed, start + k, set, size, _tuple(classes), factors) for k in range(n)]
    results: Iterable[tuple[np.ndarray, dict[str, Any]]] = track(
        parallel(_one, jobs, workers), "faces", n
    )
    if progress:
        from rich.progress import track as rich_track

        results = rich_track(results, description=f"{n} faces", total=n)
    images, rows = np.empty((n, size, size, 3), np.uint8), []
    for k, (image, row) in enumerate(results):
        images[k] = image
        rows.append(row)
    return _stack(images, rows)


def _one(job: Any) -> tuple[np.ndarray, dict]:
    seed, index, set, size, classes, factors = job
    s = sample(seed, index, set, size, classes=classes, **factors)
    return s.image, {
        "identity": s.identity,
        "emotion": s.emotion,
        "split": s.split,
        "intensity": s.intensity,
        "yaw": s.yaw,
        "pitch": s.pitch,
        "roll": s.roll,
        "visibility": s.visibility,
        "boxes": s.box,
        "landmarks": s.landmarks,
        "tags": dict(s.recipe.tags),
    }


def _stack(images: np.ndarray, rows: list[dict]) -> Faces:
    if not rows:
        raise BadInputError(
            "there is nothing to generate",
            expected="n >= 1",
            got=0,
            fix="ask for one picture or more",
        )
    columns = {k: [row[k] for row in rows] for k in rows[0] if k != "tags"}
    identity = np.array(columns.pop("identity"), object)
    return Faces(
        images=images,
        identity=identity,
        tags=tuple(row["tags"] for row in rows),
        **{k: np.array(v) for k, v in columns.items()},
    )
