"""What notebook 07 asks: pairs to compare, what alignment and mistakes cost, which pairs go wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab import embedding
from facelab.core.errors import BadInputError
from facelab.core.progress import track
from facelab.detection import Detections, Detector
from facelab.embedding import Embedder, NeuralEmbedder, PairList, available, load
from facelab.embedding import internals as embedding_internals
from facelab.embedding.internals import (
    ALIGNMENTS,
    MISTAKES,
    DlibResNet,
    Faces,
    boxes_from_landmarks,
    mistaken,
    with_alignment,
)
from facelab.metrics import operating, verification
from facelab.metrics.intervals import Interval
from facelab.metrics.operating import threshold_at
from facelab.metrics.verification import distances
from facelab.preprocess.align import align, align_opencv
from facelab.studies.face_factors import FACTORS as FACTORS
from facelab.studies.model_cost import batch_rates as batch_rates
from facelab.zoo import load_catalogue
from facelab.zoo.internals import mirror

Way = Callable[[np.ndarray, Detections], np.ndarray]
"""An image and one detection in, one raw embedding (dim,) out."""


def lineup(*, threads: int = 1) -> dict[str, Embedder]:
    """Load every embedder that is on this machine."""
    return {e.name: load(e.name, threads=threads) for e in available()}


def inventory() -> list[dict]:
    """Return one row per embedder of the catalogue: whether it is here, and what its entry says."""
    here = {e.name for e in available()}
    return [
        {
            "embedder": e.name,
            "family": e.family,
            "numbers": e.options.get("dim"),
            "licence": e.licence,
            "run here": "yes" if e.name in here else "no: tested on a stand-in",
        }
        for e in load_catalogue().of_kind("embedder")
    ]


def truth_detection(sample: Any) -> Detections:
    """Return a synthetic sample's own face as a detection: true landmarks, and the box dlib would draw around them."""
    points = np.asarray(sample.landmarks, dtype=np.float64)[None]
    return Detections(boxes_from_landmarks(points), np.ones(1), points)


def face_pictures(faces: Faces, n: int) -> list[np.ndarray]:
    """Return the box of the first `n` faces that were found, each as a separate picture."""
    out = []
    for image, face in (f for f in faces.found.values() if f is not None):
        x1, y1, x2, y2 = np.round(face.boxes[0]).astype(int)
        picture = image[max(0, y1) : y2, max(0, x1) : x2]
        if picture.size:
            out.append(np.ascontiguousarray(picture))
        if len(out) == n:
            break
    return out


def synthetic_pairs(n: int, *, seed: int = 7) -> tuple[Faces, PairList]:
    """Render `n` pictures of synthetic people; return faces with true landmarks, and their pairs, balanced."""
    from facelab.datasets.synthetic import base_pairs, sample

    pairs = base_pairs(seed, n)
    made = {
        i: sample(seed, i, set="verification", size=160)
        for i in sorted({i for p in pairs for i in (p.a, p.b)})
    }
    found = {f"picture {i}": (s.image, truth_detection(s)) for i, s in made.items()}
    rows = [
        (
            f"picture {p.a}",
            f"picture {p.b}",
            bool(p.same),
            str(made[p.a].identity),
            str(made[p.b].identity),
            "glasses" if made[p.a].recipe.eyewear or made[p.b].recipe.eyewear else "no glasses",
        )
        for p in pairs
    ]
    return Faces(dict(found), {}), PairList(*(np.array(column) for column in zip(*rows)))


def real_pairs(
    detector: Detector,
    groups: Sequence[str] = ("lfw", "deepface", "ageitgey", "bbt", "openface"),
) -> tuple[Faces, PairList] | None:
    """Return the mirror's labelled pairs and the faces that `detector` finds, or None without a mirror folder."""
    table = mirror.labelled("identity_pairs.csv")
    if table is None:
        return None
    pairs = embedding.read_pairs(table)
    if pairs.group is None:
        return None
    pairs = pairs.take(np.isin(pairs.group, groups))
    order = embedding_internals.mixed_order(pairs.same)
    pairs = pairs if order is None else pairs.take(order)
    return embedding_internals.acquire(
        detector, embedding_internals.locate(pairs, table.parent)
    ), pairs


@dataclass(frozen=True)
class Errors:
    """How often one embedder errs on pairs: ten-fold accuracy with two intervals, and the equal error rate.

    `honest` resamples identities, `naive` takes pairs as independent.
    """

    embedder: str
    accuracy: float
    honest: Interval
    naive: Interval
    eer: float

    def row(self) -> dict[str, Any]:
        """Return the row of a table."""
        return {
            "embedder": self.embedder,
            "accuracy": self.accuracy,
            "by identity": f"{self.honest.lo:.3f} – {self.honest.hi:.3f}",
            "naive": f"{self.naive.lo:.3f} – {self.naive.hi:.3f}",
            "EER": self.eer,
        }


def errors(name: str, distance: np.ndarray, pairs: PairList, replicates: int) -> Errors:
    """Return how often an embedder errs whose squared distances (n,) of the pairs are given."""
    accuracy = verification.ten_fold(distance, pairs.same).accuracy
    honest = verification.accuracy_interval(
        distance, pairs.same, first=pairs.first, second=pairs.second, replicates=replicates
    )
    naive = verification.naive_interval(accuracy, len(distance))
    eer, _ = operating.equal_error_rate(distance, pairs.same)
    return Errors(name, accuracy, honest, naive, eer)


def compare(
    embedder: Embedder, faces: Faces, pairs: PairList, way: Way | None = None
) -> np.ndarray:
    """Return squared distances (n,) of the pairs, by the embedder as it is (kept in `faces`) or by another `way`."""
    if way is None:
        if embedder.name not in faces.embedded:
            faces.embedded[embedder.name] = embedding.embed_faces(embedder, faces)
        return embedding.pair_distances(embedder, faces.embedded[embedder.name], pairs)
    blank, wanted = np.full(embedder.dim, np.nan, np.float32), set(pairs.images)
    rows = {n: blank if f is None else way(*f) for n, f in faces.found.items() if n in wanted}
    return embedding.pair_distances(embedder, rows, pairs)


def compare_all(
    embedders: Mapping[str, Embedder], faces: Faces, pairs: PairList
) -> dict[str, np.ndarray]:
    """Return the squared distances (n,) of the pairs by each embedder as it is."""
    return {name: compare(e, faces, pairs) for name, e in track(embedders.items(), "embedders")}


def alignment_rows(embedder: Embedder, faces: Faces, pairs: PairList, far: float) -> list[dict]:
    """Return one row per way of alignment: TAR at `far` with its interval (see `tar_row`)."""
    return _way_rows(alignments(embedder), embedder, faces, pairs, far)


def mistake_rows(embedder: Embedder, faces: Faces, pairs: PairList, far: float) -> list[dict]:
    """Return one row per mistake in preprocessing, the right way first: TAR at `far` with its interval."""
    return _way_rows(mistakes(embedder), embedder, faces, pairs, far)


def _way_rows(
    ways: Mapping[str, Way | None], embedder: Embedder, faces: Faces, pairs: PairList, far: float
) -> list[dict]:
    return [
        tar_row(name, compare(embedder, faces, pairs, way), pairs, far)
        for name, way in track(ways.items(), "ways")
    ]


def alignments(embedder: Embedder) -> dict[str, Way | None]:
    """Return the ways of alignment that the embedder can be fed by; None is the way of its spec."""
    if isinstance(embedder, NeuralEmbedder) and embedder.spec.find("align"):
        specs = {how: with_alignment(embedder.spec, how) for how in ALIGNMENTS}
        own = embedder.spec
        return {
            how: None if spec == own else _behind(embedder.with_spec(spec))
            for how, spec in specs.items()
        }
    if isinstance(embedder, DlibResNet):
        return {
            "dlib's own chip": None,
            "none": lambda image, face: _plain_crop(embedder, image, face),
        }
    return {"as in the spec": None}


def mistakes(embedder: Embedder) -> dict[str, Way | None]:
    """Return the right way and the ways of `MISTAKES` that this embedder's input can suffer."""
    out: dict[str, Way | None] = {"right": None}
    if isinstance(embedder, NeuralEmbedder):
        for name in MISTAKES:
            try:
                out[name] = _behind(embedder.with_spec(mistaken(embedder.spec, name)))
            except BadInputError:
                # raw pixels in, so there is no normalisation to get wrong
                continue
        return out
    return out | {
        "swapped channels": lambda image, face: embedder.embed_detections(
            np.ascontiguousarray(image[..., ::-1]), face, normalise=False
        )[0]
    }


def _behind(embedder: Embedder) -> Way:
    return lambda image, face: embedder.embed_detections(image, face, normalise=False)[0]


def _plain_crop(embedder: Embedder, image: np.ndarray, face: Detections) -> np.ndarray:
    import cv2

    x1, y1, x2, y2 = np.round(face.boxes[0]).astype(int)
    margin = (x2 - x1) // 4
    rim = 2 * margin + max(image.shape[:2])
    padded = cv2.copyMakeBorder(image, rim, rim, rim, rim, cv2.BORDER_REPLICATE)
    shift = 2 * margin + max(image.shape[:2])
    crop = padded[
        y1 - margin + shift : y2 + margin + shift, x1 - margin + shift : x2 + margin + shift
    ]
    return embedder.embed(cv2.resize(crop, embedder.input_size), normalise=False)[0]


def tar_row(
    label: str, distance: np.ndarray, pairs: PairList, far: float, *, replicates: int = 300
) -> dict:
    """Return label, TAR at `far` and its interval by identity, for a bar chart."""
    from facelab.metrics.operating import tar_interval

    r = tar_interval(
        distance, pairs.same, far, first=pairs.first, second=pairs.second, replicates=replicates
    )
    return {
        "label": label,
        "value": r["tar"],
        "lo": r["lo"],
        "hi": r["hi"],
        "far": r["far"],
        "target": far,
    }


def smallest_far(same: np.ndarray) -> float:
    """Return the smallest power of ten that this many impostor pairs can support (rule of three).

    >>> smallest_far(np.zeros(450, bool))
    0.01
    """
    impostors = max(3, int((~np.asarray(same)).sum()))
    return float(f"1e{-int(np.floor(np.log10(impostors / 3) + 1e-9))}")


def factor_tar(
    embedders: Mapping[str, Embedder],
    factors: Sequence[str],
    *,
    faces: int = 12,
    seed: int = 7,
    far: float = 0.1,
) -> list[dict]:
    """Return, by embedder, factor and value, the share of people accepted against their own undisturbed picture.

    The threshold is the one at `far` among the undisturbed pictures of different people (at least ten, so that 0.1 is
    supported). Landmarks are the true ones.
    """
    from facelab.metrics.intervals import wilson
    from facelab.studies.face_factors import shots

    rows, still = [], shots("size", max(faces, 10), seed=seed, values=(96,))
    pictures = {f: shots(f, faces, seed=seed) for f in factors}
    for name, embedder in track(embedders.items(), "embedders"):
        anchors = np.stack([_embed_shot(embedder, s) for s in still])
        i, j = np.triu_indices(len(anchors), 1)
        d = np.concatenate([distances(anchors[i], anchors[j], normalise=False), [0.0]])
        threshold = threshold_at(d, np.arange(len(d)) == len(d) - 1, far)
        for factor in factors:
            probes = np.stack([_embed_shot(embedder, s) for s in pictures[factor]])
            own = np.array([s.index for s in pictures[factor]])
            near = distances(probes, anchors[own], normalise=False) < threshold
            for value in FACTORS[factor][1]:
                mine = near[[s.value == value for s in pictures[factor]]]
                lo, hi = wilson(int(mine.sum()), len(mine))
                rows.append(
                    {
                        "name": name,
                        "factor": factor,
                        "value": value,
                        "share": float(mine.mean()),
                        "lo": lo,
                        "hi": hi,
                        "n": len(mine),
                    }
                )
    return rows


def _embed_shot(embedder: Embedder, shot: Any) -> np.ndarray:
    return embedder.embed_detections(shot.image, truth_detection(shot))[0].astype(np.float64)


def alignment_cost(faces: Faces, *, most: int = 40, repeats: int = 20) -> dict:
    """Race numpy's alignment against OpenCV's on the same faces, and compare their pixels.

    Returns seconds by way (interleaved), and the mean and largest difference in 8-bit levels.
    """
    from facelab.studies.model_cost import race

    some = [_image_and_points(f) for f in faces.found.values() if f is not None][:most]
    gaps = [np.abs(align(i, p).astype(int) - align_opencv(i, p)) for i, p in some]
    image, points = some[0]
    seconds = race(
        {
            "numpy": lambda: align(image, points),
            "OpenCV": lambda: align_opencv(image, points),
        },
        repeats=repeats,
    )
    mean, most_levels = float(np.mean([g.mean() for g in gaps])), int(max(g.max() for g in gaps))
    return {"seconds": seconds, "mean": mean, "max": most_levels, "faces": len(some)}


def worst_pairs(
    faces: Faces, pairs: PairList, distance: np.ndarray, *, n: int = 4
) -> list[list[dict]]:
    """Return the worst genuine and the worst impostor pairs as aligned crops with captions."""

    def item(k: int) -> dict:
        crops = {
            side: align_opencv(*_image_and_points(faces.found[name]))
            for side, name in (("a", pairs.a[k]), ("b", pairs.b[k]))
        }
        return {**crops, "caption": f"d² = {distance[k]:.2f}"}

    return [[item(k) for k in side] for side in embedding_internals.worst(distance, pairs.same, n)]


def _image_and_points(
    face: tuple[np.ndarray, Detections] | None,
) -> tuple[np.ndarray, np.ndarray]:
    assert face is not None and face[1].landmarks is not None, "a pair's faces were found"
    return face[0], face[1].landmarks[0]
