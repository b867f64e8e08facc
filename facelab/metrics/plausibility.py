"""Figures that only a wrong input gives: is there a likely cause, and does trying it change the figure?

Each function takes what a metric took, tries other readings of it, and names one only where the figure then becomes a
plausible one. The figure itself stays what the reference computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, cast

import numpy as np

from facelab.metrics.boxes import best_overlaps
from facelab.metrics.verification import distances

__all__ = [
    "Suspicion",
    "question_answers",
    "question_boxes",
    "question_inputs",
    "question_pairs",
    "separation",
]

SIDES = (128, 160, 192, 224, 256, 300, 320, 384, 416, 448, 480, 512, 608, 640, 768, 800, 896, 960)
"""Input sides of detectors, tried where predictions may be in the network's pixels."""
WIDER_WIDTH = 1024
TRIED_IMAGES = 300


class Indexable(Protocol):
    """Rows that an index array chooses from: an array, or a sequence that makes its rows when asked."""

    def __getitem__(self, which: np.ndarray, /) -> Any:
        """Return the chosen rows."""
        ...


@dataclass(frozen=True)
class Suspicion:
    """A likely cause of an absurd figure.

    `cause` is a word for programs, `what` says the cause, `evidence` what trying it gave, `fix` what to do.
    """

    cause: str
    what: str
    evidence: str
    fix: str

    def __str__(self) -> str:
        return f"warning: {self.what} ({self.evidence}). {self.fix[0].upper()}{self.fix[1:]}."

    def to_dict(self) -> dict[str, str]:
        """Return plain JSON."""
        return asdict(self)


def question_boxes(
    predictions: Sequence[np.ndarray], truths: Sequence[np.ndarray]
) -> Suspicion | None:
    """Return the reading of prediction boxes that fits the ground truth far better than x y w h score, or None.

    Parameters
    ----------
    predictions
        Each image's (n, 5) rows as the files have them: x, y, width, height, score.
    truths
        Each image's (m, 4) boxes xywh in pixels.

    Examples
    --------
    >>> t = np.array([[100., 80., 40., 50.], [300., 90., 30., 40.], [500., 60., 60., 70.]])
    >>> p = np.hstack([t[:, :2], t[:, :2] + t[:, 2:], [[.9], [.8], [.7]]])
    >>> question_boxes([p] * 4, [t] * 4).cause, question_boxes([np.hstack([t, p[:, 4:]])] * 4, [t] * 4)
    ('xyxy', None)
    """
    both = [i for i, (p, t) in enumerate(zip(predictions, truths)) if len(p) and len(t)]
    shown = sum(len(t) > 0 for t in truths)
    if len(both) < 0.05 * shown:
        return Suspicion(
            "predictions_missing",
            "nearly all images are without a prediction",
            f"{len(both)} of {shown} images with faces have one",
            "check that every image was run and every file was written",
        )
    chosen = both[:: max(1, len(both) // TRIED_IMAGES)]
    if not chosen:
        return None
    rows = [np.asarray(predictions[i], np.float64) for i in chosen]
    faces = [np.asarray(truths[i], np.float64) for i in chosen]
    read = _found(rows, faces)
    best = max(
        ((_found(_placed(rows, faces, r), faces), r) for r in _readings(rows)),
        key=lambda pair: pair[0],
        default=(0.0, None),
    )
    if best[1] is None or best[0] < max(2 * read, read + 0.1):
        return None
    return Suspicion(
        best[1].cause,
        f"the predictions look like {best[1].what}, not x y w h score in the image's pixels",
        f"read so, the boxes find {best[0]:.0%} of the faces of {len(chosen)} images instead of {read:.0%}",
        "write the top left corner, width, height and score of each box in pixels of the image",
    )


@dataclass(frozen=True)
class _Reading:
    cause: str
    what: str
    change: Callable[[np.ndarray], np.ndarray]
    free_height: bool = False
    """Whether y is relative to an image height that is not known and must be found."""


def _xyxy(p: np.ndarray) -> np.ndarray:
    return np.column_stack([p[:, :2], p[:, 2:4] - p[:, :2], p[:, 4]])


def _centre(p: np.ndarray) -> np.ndarray:
    return np.column_stack([p[:, :2] - p[:, 2:4] / 2, p[:, 2:]])


def _swapped(p: np.ndarray) -> np.ndarray:
    return p[:, [1, 0, 3, 2, 4]]


def _scaled(p: np.ndarray, x: float, y: float) -> np.ndarray:
    return p * np.array([x, y, x, y, 1.0])


SHAPES: tuple[tuple[str, str, Callable[[np.ndarray], np.ndarray]], ...] = (
    ("xywh", "x y w h", lambda p: p),
    ("xyxy", "x1 y1 x2 y2", _xyxy),
    ("centre", "centre, width and height", _centre),
    ("yxhw", "y x h w", _swapped),
    ("yxyx", "y1 x1 y2 x2", lambda p: _xyxy(_swapped(p))),
)


def _readings(rows: list[np.ndarray]) -> Iterator[_Reading]:
    """Yield the readings that the numbers allow."""
    every = np.concatenate(rows)
    if np.abs(every[:, 0]).max() <= 1 < np.abs(every[:, 4]).max():
        first = _Reading(
            "score_first", "score x y w h: the score comes first", lambda p: p[:, [1, 2, 3, 4, 0]]
        )
        yield first
        yield _Reading(
            "score_first_xyxy", "score x1 y1 x2 y2", lambda p: _xyxy(p[:, [1, 2, 3, 4, 0]])
        )
        return
    if np.quantile(np.abs(every[:, :4]), 0.99) <= 1.5:  # boxes may reach over the border
        for name, words, change in SHAPES:
            yield _Reading(
                "relative" if name == "xywh" else f"relative_{name}",
                f"{words} relative to the image's size (0 to 1)",
                lambda p, c=change: c(_scaled(p, WIDER_WIDTH, 1.0)),
                free_height=True,
            )
        return
    for name, words, change in SHAPES[1:]:
        yield _Reading(name, f"{words} and score", change)
    for side in SIDES:
        ratio = WIDER_WIDTH / side
        for name, words, change in SHAPES[:3]:
            yield _Reading(
                "network_size" if name == "xywh" else f"network_size_{name}",
                f"{words} in pixels of a network input {side} wide",
                lambda p, c=change, r=ratio: _scaled(c(p), r, r),
            )


HEIGHTS = (384, 512, 576, 640, 683, 704, 768, 819, 900, 1024, 1152, 1280, 1365, 1536, 1700, 2048)


def _placed(rows: list[np.ndarray], faces: list[np.ndarray], reading: _Reading) -> list[np.ndarray]:
    if not reading.free_height:
        return [reading.change(p) for p in rows]
    out: list[np.ndarray] = []
    for p, t in zip(rows, faces):
        tries = [reading.change(_scaled(p, 1.0, h)) for h in HEIGHTS]
        found = [_found([q], [t]) for q in tries]
        out.append(tries[found.index(max(found))])
    return out


def _found(rows: list[np.ndarray], faces: list[np.ndarray]) -> float:
    """Return the share of faces that some box overlaps by half."""
    starts = [np.concatenate([[0], np.cumsum([len(a) for a in part])]) for part in (rows, faces)]
    boxes, truth = np.concatenate(rows)[:, :4], np.concatenate(faces)
    boxes = np.column_stack([boxes[:, :2], np.maximum(boxes[:, 2:], 0)])
    best, overlap = best_overlaps(boxes, starts[0], truth, starts[1])
    return len(np.unique(best[(best >= 0) & (overlap >= 0.5)])) / len(truth)


def question_pairs(
    a: np.ndarray, b: np.ndarray, same: np.ndarray, *, failed: np.ndarray | None = None
) -> Suspicion | None:
    """Return why the embeddings of pairs (n, d) separate nothing, or the wrong way round; None where they separate.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a = rng.normal(size=(200, 16)); same = np.arange(200) % 2 == 0
    >>> b = np.where(same[:, None], a + rng.normal(0, .1, a.shape), rng.normal(size=a.shape))
    >>> [s and s.cause for s in (question_pairs(a, b, same), question_pairs(a, b, ~same))]
    [None, 'labels_inverted']
    """
    good = np.ones(len(a), bool) if failed is None else ~np.asarray(failed, bool)
    a, b = (np.asarray(x, np.float64)[good] for x in (a, b))
    same = np.asarray(same, bool)[good]
    if len(same) < 20 or same.all() or not same.any():
        return None
    distance = distances(a, b)
    area = _area(distance, same)
    noise = 4 * np.sqrt((len(same) + 1) / (12 * same.sum() * (~same).sum()))
    if (s := _alike(a, b, same, distance)) is not None:
        return s
    if area < 0.5 - noise:
        return Suspicion(
            "labels_inverted",
            "the labels look inverted: genuine pairs are further apart than impostor pairs",
            f"an impostor pair is nearer than a genuine one in {1 - area:.1%} of comparisons",
            "check that `same` is 1 for two images of one person",
        )
    if area > 0.65:
        return None
    tries = {
        name: _area(distances(x, y), s)
        for name, (x, y, s) in _orders(a, b, same)
        if len(set(s)) > 1
    }
    best = max(tries, key=tries.__getitem__, default=None)
    if best is None or tries[best] < max(0.8, area + 2 * noise):
        return None
    return Suspicion(
        "pairs_not_aligned",
        f"the pairs are not aligned: {best}",
        f"so a genuine pair is nearer than an impostor one in {tries[best]:.1%} of comparisons, "
        f"as given in {area:.1%}",
        "bring both sides and the labels into the same order",
    )


def separation(a: np.ndarray, b: np.ndarray, same: np.ndarray) -> float:
    """Return how often a genuine pair of embeddings (n, d) is nearer than an impostor pair, 0.5 by chance.

    Examples
    --------
    >>> a = np.eye(4)
    >>> separation(a, a[[0, 1, 3, 2]], np.array([True, True, False, False]))
    1.0
    """
    return _area(distances(a, b), np.asarray(same, bool))


def _area(distance: np.ndarray, same: np.ndarray) -> float:
    """Return how often a genuine pair is nearer than an impostor pair (the area under the ROC curve)."""
    from scipy.stats import rankdata  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] # scipy states no types

    n, m = int(same.sum()), int((~same).sum())
    return float(1 - (rankdata(distance)[same].sum() - n * (n + 1) / 2) / (n * m))


def _alike(
    a: np.ndarray, b: np.ndarray, same: np.ndarray, distance: np.ndarray
) -> Suspicion | None:
    impostor = float(np.median(distance[~same]))
    # far below float32's rounding of unit vectors: the same numbers, not near ones
    if np.mean(distance[~same] <= 1e-12) > 0.5 and np.abs(a - a[0]).max() > 1e-6:
        return Suspicion(
            "sides_identical",
            "both sides of the pairs hold the same embeddings",
            f"{np.mean(distance <= 1e-12):.0%} of all pairs, impostors among them, have distance 0",
            "check how the two sides were written",
        )
    if np.quantile(distance, 0.95) > 0.02:
        return None
    middle = np.concatenate([a, b]).mean(axis=0)
    parts = [x - middle for x in (a, b)]
    lengths = np.minimum(*(np.linalg.norm(x, axis=1) for x in parts))
    apart = 0.5
    if (lengths > 1e-9 * np.linalg.norm(middle)).all():
        apart = _area(distances(*parts), same)
    return Suspicion(
        "embeddings_alike",
        "all embeddings are nearly alike, so the network saw next to nothing of the images",
        f"the median impostor pair has cosine {1 - impostor / 2:.4f}; less their mean, the embeddings separate "
        f"{apart:.1%} of comparisons",
        "check the input: its range (0-255 against -1 to 1), a constant image, or a failed crop",
    )


def _orders(
    a: np.ndarray, b: np.ndarray, same: np.ndarray
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    for k in (-2, -1, 1, 2):
        yield (
            f"side b is {abs(k)} row{'s' * (abs(k) > 1)} {'late' if k < 0 else 'early'}",
            (a, np.roll(b, k, axis=0), same),
        )
        yield (
            f"the labels are {abs(k)} row{'s' * (abs(k) > 1)} {'late' if k < 0 else 'early'}",
            (a, b, np.roll(same, k)),
        )
    mixed = np.stack([a, b], axis=1).reshape(-1, a.shape[1])
    half = len(a)
    yield (
        "the images of side a come first and then those of side b",
        (mixed[:half], mixed[half:], same),
    )
    rows = np.concatenate([a, b])
    yield "the images of the two sides take turns", (rows[0::2], rows[1::2], same)
    yield "side b is in reverse order", (a, b[::-1], same)
    yield "the labels are in reverse order", (a, b, same[::-1])


def question_answers(
    labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]
) -> Suspicion | None:
    """Return whether a classifier's labels are in a different order than its outputs, from its answers (n,).

    Examples
    --------
    >>> truth = np.arange(90) % 3
    >>> s = question_answers(truth, (truth + 1) % 3, ["anger", "joy", "neutral"])
    >>> s.cause, question_answers(truth, truth, ["anger", "joy", "neutral"])
    ('labels_rotated', None)
    """
    from scipy.optimize import linear_sum_assignment  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] # scipy states no types

    k, n = len(classes), len(labels)
    table = np.zeros((k, k))
    np.add.at(table, (np.asarray(labels), np.asarray(predicted)), 1)
    assigned = cast("tuple[np.ndarray, np.ndarray]", linear_sum_assignment(-table))
    truth, answer = assigned
    place = np.empty(k, np.int64)  # output i means class place[i]
    place[answer] = truth
    absent = (table.sum(axis=0) == 0) | (table.sum(axis=1) == 0)
    moved = (place != np.arange(k)) & ~(absent & absent[place])
    before, after = np.trace(table), table[truth, answer].sum()
    support = table[place[moved]].sum()
    if n < 5 * k or support == 0 or after - before < max(0.1 * n, 8):
        return None
    share = table[place[moved], np.flatnonzero(moved)].sum() / support
    was = table[place[moved], place[moved]].sum() / support
    if share < max(0.3, 2 * was):
        return None
    order = [classes[int(i)] for i in place]
    cause, words = _order_of(place, order, classes)
    return Suspicion(
        cause,
        f"the labels {words} the model's outputs",
        f"accuracy {before / n:.4f}, and {after / n:.4f} with the outputs named {', '.join(order)}",
        "write the labels in the order of the outputs",
    )


def _order_of(place: np.ndarray, order: list[str], classes: Sequence[str]) -> tuple[str, str]:
    k = len(place)
    shift = int(place[0])
    if shift and (place == (np.arange(k) + shift) % k).all():
        return "labels_rotated", f"look rotated by {min(shift, k - shift)} against"
    if list(classes) == sorted(classes):
        return "labels_alphabetical", "look sorted by the alphabet, unlike"
    return "labels_reordered", "seem to be in a different order than"


def question_inputs(
    tensors: Indexable,
    labels: np.ndarray,
    answer: Callable[[np.ndarray], np.ndarray],
    *,
    classes: int,
    most: int = 200,
    prepare: Callable[[np.ndarray], np.ndarray] = lambda x: x,
) -> Suspicion | None:
    """Return the input range or channel order in which a classifier at or below the majority class is far better.

    `answer` gives the predicted class (n,) of tensors (n, height, width, channels) or (n, channels, …). At most `most`
    images are tried, spread evenly; `prepare` makes tensors of what `tensors` holds.
    """
    chosen = np.unique(np.linspace(0, len(labels) - 1, min(most, len(labels))).round().astype(int))
    y = np.asarray(labels)[chosen]
    if len(y) < 5 * classes:
        return None
    x = np.asarray(prepare(tensors[chosen]))
    if x.dtype.kind != "f" or not np.ptp(x):  # an integer input has its own scale
        return None
    majority = float(np.bincount(y, minlength=classes).max() / len(y))

    def right(t: np.ndarray) -> float:
        same: np.ndarray = answer(t) == y
        return float(same.mean())

    before = right(x)
    if before > majority:
        return None
    best = max(
        ((right(t), cause, words) for cause, words, t in _inputs(x)),
        default=(0.0, "", ""),
    )
    if best[0] < max(majority, before) + 0.15:
        return None
    return Suspicion(
        best[1],
        f"the model expects other input: {best[2]}",
        f"accuracy {before:.4f} as given, {best[0]:.4f} so; always the commonest class has {majority:.4f}",
        "correct the preprocessing spec",
    )


def _inputs(x: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    low, high = next(
        (
            span
            for span in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
            if x.min() >= span[0] - 1e-3 and x.max() <= span[1] + 1e-3
        ),
        (float(x.min()), float(x.max())),
    )
    unit = (x - low) / (high - low)
    for a, b in ((0, 1), (-1, 1), (0, 255), (-128, 127)):
        if (a, b) != (low, high):
            yield "input_range", f"values from {a} to {b}", (unit * (b - a) + a).astype(np.float32)
    axis = 3 if x.shape[-1] == 3 else 1
    if x.ndim == 4 and x.shape[axis] == 3:
        yield "channel_order", "the channels in reverse order", np.flip(x, axis).copy()
