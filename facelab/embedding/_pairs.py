"""Embed the images of a list of pairs, and compare them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, FacelabError
from facelab.core.text_files import read_csv
from facelab.datasets import load_pairs
from facelab.detection import Detections, Detector
from facelab.embedding._acquire import find_face
from facelab.embedding._base import Embedder
from facelab.metrics.verification import distances, fold_of
from facelab.preprocess.image import read_image

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Integer, Shaped


@dataclasses.dataclass(frozen=True)
class PairList:
    """Pairs of image files with labels.

    Parameters
    ----------
    a, b : ndarray
        (n,) str, paths as the file gives them.
    same : ndarray
        (n,) bool, whether both show one person.
    first, second : ndarray or None
        (n,) identities of `a` and `b`, where they are known.
    group : ndarray or None
        (n,) str, the data set or group of each pair.

    Examples
    --------
    >>> import numpy as np
    >>> names = np.array(["1.jpg", "2.jpg"])
    >>> pairs = PairList(names, names[::-1], np.array([True, False]), None, None, None)
    >>> len(pairs), pairs.images, pairs.take(pairs.same).b.tolist()
    (2, ['1.jpg', '2.jpg'], ['2.jpg'])
    """

    a: Shaped[np.ndarray, " n"]
    b: Shaped[np.ndarray, " n"]
    same: Shaped[np.ndarray, " n"]
    first: Shaped[np.ndarray, " n"] | None
    second: Shaped[np.ndarray, " n"] | None
    group: Shaped[np.ndarray, " n"] | None

    def __len__(self) -> int:
        return len(self.same)

    @property
    def images(self) -> list[str]:
        """Every image once, in order of first appearance."""
        return list(dict.fromkeys(np.stack([self.a, self.b], axis=1).ravel().tolist()))

    def take(self, which: np.ndarray) -> PairList:
        """Return the pairs that an index array or a mask selects."""
        first, second, group = (
            None if v is None else v[which] for v in (self.first, self.second, self.group)
        )
        return PairList(self.a[which], self.b[which], self.same[which], first, second, group)


SAME = {"0": False, "1": True, "false": False, "true": True, "no": False, "yes": True}


def _is_lfw(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is LFW's `pairs.txt`: its first line holds numbers, and no comma."""
    try:
        with Path(path).open(encoding="utf-8-sig") as f:
            first = f.readline(200).split()
    except (OSError, UnicodeDecodeError):
        return False
    return 1 <= len(first) <= 2 and all(w.isdigit() for w in first)


def read_pairs(path: str | os.PathLike[str]) -> PairList:
    """Read a CSV with columns `a, b, same`; optionally `id_a, id_b` (identities) and `dataset` or `group`.

    LFW's `pairs.txt` is taken too; its pictures are `Name/Name_0001.jpg` below the folder of images.
    Without identity columns the folder of an image is its identity, unless the labels contradict that. Raises
    BadInputError with file and line.

    Parameters
    ----------
    path : str or path
        A file.

    Returns
    -------
    PairList
        The pairs.

    Raises
    ------
    BadInputError
        A column is missing, there are no rows, or a row is not two paths with `same` 0 or 1.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "pairs.csv"
    >>> _ = file.write_text("a,b,same\\nx/1.jpg,x/2.jpg,1\\nx/1.jpg,y/1.jpg,0\\n")
    >>> pairs = read_pairs(file)
    >>> len(pairs), pairs.same.tolist()
    (2, [True, False])
    """
    if _is_lfw(path):
        found = load_pairs(path)
        a, b = (np.array([f"{p}.jpg" for p in side]) for side in (found.a, found.b))
        return PairList(a, b, found.same, found.id_a, found.id_b, None)
    rows = read_csv(path, "pairs", fix="check --pairs")
    if not rows or not {"a", "b", "same"} <= set(rows[0]):
        raise BadInputError(
            "the pairs have other columns",
            where=path,
            expected="a, b, same (and dataset, id_a, id_b)",
            got=", ".join(map(str, rows[0])) if rows else "no rows",
            fix="name the columns so",
        )
    for i, row in enumerate(rows, 2):
        if str(row["same"]).strip().lower() not in SAME or not row["a"] or not row["b"]:
            raise BadInputError(
                "a pair is not a pair",
                where=f"{path}:{i}",
                expected="two paths, and same 0 or 1 (or false, true, no, yes)",
                got=f"{row['a']}, {row['b']}, {row['same']}",
                fix="correct the row",
            )
    a, b = (np.array([r[k] for r in rows]) for k in "ab")
    same = np.array([SAME[r["same"].strip().lower()] for r in rows])
    column = next((c for c in ("group", "dataset") if c in rows[0]), None)
    first, second = _identities(rows, a, b, same)
    return PairList(
        a, b, same, first, second, np.array([r[column] for r in rows]) if column else None
    )


def _identities(
    rows: list[dict[str, Any]], a: np.ndarray, b: np.ndarray, same: np.ndarray
) -> tuple[Any, ...]:
    if {"id_a", "id_b"} <= set(rows[0]):
        return tuple(np.array([r[k] for r in rows]) for k in ("id_a", "id_b"))
    first, second = (np.array([Path(p).parent.as_posix() for p in side]) for side in (a, b))
    return (first, second) if ((first == second) == same).all() else (None, None)


def locate(pairs: PairList, root: str | os.PathLike[str]) -> dict[str, Path]:
    """Return the file of every image.

    Parameters
    ----------
    pairs : PairList
        The pairs.
    root : str or path
        The folder that the pairs' paths start from.

    Returns
    -------
    dict[str, path]
        The file of every image.

    Raises
    ------
    BadInputError
        Naming the first that is absent.
    """
    files = {name: Path(root) / name for name in pairs.images}
    absent = [n for n, p in files.items() if not p.is_file()]
    if absent:
        raise BadInputError(
            f"{len(absent)} of {len(files)} images are missing",
            where=root,
            expected=absent[0],
            fix="give the folder that the paths start from (--images)",
        )
    return files


@dataclasses.dataclass(frozen=True)
class Faces:
    """The main face of each image: decoded image and one detection, None where none was found; errors by image.

    `embedded` keeps what `facelab.studies.embedder_evaluation` has embedded already, by embedder.
    """

    found: dict[str, tuple[np.ndarray, Detections] | None]
    errors: dict[str, str]
    embedded: dict[str, dict[str, np.ndarray]] = dataclasses.field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def failures(self) -> list[str]:
        """Images without a face."""
        return [n for n, v in self.found.items() if v is None]


def acquire(
    detector: Detector,
    files: dict[str, Path],
    *,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = lambda items: items,
) -> Faces:
    """Find the main face of each image file; an image that cannot be read counts as a failure and as an error.

    Parameters
    ----------
    detector : Detector
        A detector of `detection.load`.
    files : dict[str, path]
        Picture files.
    progress : callable
        Whether a bar is shown.

    Returns
    -------
    Faces
        The main face of each picture, and the pictures without one.
    """
    found: dict[str, tuple[np.ndarray, Detections] | None] = {}
    errors: dict[str, str] = {}
    for name, path in progress(files.items()):
        try:
            image = read_image(path)
            face = find_face(detector, image)
            found[name] = None if face is None else (image, face)
        except FacelabError as e:
            found[name], errors[name] = None, " ".join(str(e).split())
    return Faces(found, errors)


def embed_faces(embedder: Embedder, faces: Faces) -> dict[str, np.ndarray]:
    """Return raw embeddings (dim,) by image; an image without a face has a row of NaN.

    Parameters
    ----------
    embedder : Embedder
        An embedder of `embedding.load`.
    faces : Faces
        Labelled pictures.

    Returns
    -------
    dict[str, ndarray]
        Raw embeddings (dim,) by image.

    Examples
    --------
    >>> import numpy as np
    >>> from facelab import embedding
    >>> faces = Faces({"nobody.jpg": None}, {})
    >>> vectors = embed_faces(embedding.load("dlib-resnet"), faces)
    >>> vectors["nobody.jpg"].shape, bool(np.isnan(vectors["nobody.jpg"]).all())
    ((128,), True)
    """
    blank = np.full(embedder.dim, np.nan, np.float32)
    return {
        name: blank if face is None else embedder.embed_detections(*face, normalise=False)[0]
        for name, face in faces.found.items()
    }


def pair_distances(
    embedder: Embedder, rows: dict[str, np.ndarray], pairs: PairList
) -> Float64[np.ndarray, " n"]:
    """Return squared L2 distances (n,), of normalised embeddings where the embedder's metric is cosine.

    A pair of which a face was not found has distance infinity: it is never "same".

    Parameters
    ----------
    embedder : Embedder
        An embedder of `embedding.load`.
    rows : dict[str, ndarray]
        The row of each picture in the embeddings.
    pairs : PairList
        The pairs.

    Returns
    -------
    ndarray
        Squared L2 distances (n,), of normalised embeddings where the embedder's metric is
        cosine.

    Examples
    --------
    >>> import numpy as np
    >>> from facelab import embedding
    >>> rows = {"1.jpg": np.float32([1, 0]), "2.jpg": np.float32([0, 1])}
    >>> pairs = PairList(np.array(["1.jpg"]), np.array(["2.jpg"]), np.array([False]), None, None, None)
    >>> pair_distances(embedding.load("dlib-resnet"), rows, pairs).tolist()
    [2.0]
    """
    a, b = (np.stack([rows[n] for n in side]) for side in (pairs.a, pairs.b))
    return distances(
        a, b, normalise=embedder.normalised, failed=np.isnan(a[:, 0]) | np.isnan(b[:, 0])
    )


def mixed_order(same: Shaped[np.ndarray, " n"], seed: int = 0) -> Integer[np.ndarray, " n"] | None:
    """Return an order in which every tenth of the pairs has its share of both kinds, or None where the file's has.

    LFW's own order is kept, since its folds are official; a list sorted by data set or by label has folds of one kind.

    Parameters
    ----------
    same : ndarray
        Whether each pair is of one person, (n,) bool.
    seed : int
        Seeds every random choice.

    Returns
    -------
    ndarray or None
        An order in which every tenth of the pairs has its share of both kinds, or None
        where the file's has.

    Examples
    --------
    >>> mixed_order(np.tile([True, False], 50)) is None
    True
    """
    folds = fold_of(len(same)) if len(same) >= 10 else np.zeros(len(same), np.int64)
    shares = [same[folds == f].mean() for f in np.unique(folds)]
    if max(abs(s - same.mean()) for s in shares) < 0.25:
        return None
    rng = np.random.default_rng(seed)
    place = np.empty(len(same))
    for kind in (True, False):
        members = rng.permutation(np.flatnonzero(same == kind))
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(place, kind="stable")


def by_group(
    distance: Float[np.ndarray, " n"], pairs: PairList, threshold: float
) -> list[dict[str, Any]]:
    """Return one row per group: pairs, failures, FMR, FNMR and accuracy at one squared-L2 threshold (Wilson).

    Parameters
    ----------
    distance : ndarray
        Squared distances of the pairs, (n,).
    pairs : PairList
        The pairs.
    threshold : float
        Pairs below it are accepted.

    Returns
    -------
    list of dict
        One row per group.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.array(["1.jpg", "2.jpg"]), np.array(["3.jpg", "4.jpg"])
    >>> pairs = PairList(a, b, np.array([True, False]), None, None, np.array(["night", "night"]))
    >>> row = by_group(np.array([0.4, 1.9]), pairs, threshold=1.0)[0]
    >>> row["group"], row["accuracy"], row["far"], row["frr"]
    ('night', 1.0, 0.0, 0.0)
    """
    from facelab.metrics.intervals import wilson

    out: list[dict[str, Any]] = []
    for name in dict.fromkeys(pairs.group.tolist() if pairs.group is not None else []):
        d, s = distance[pairs.group == name], pairs.same[pairs.group == name]
        right = int(((d < threshold) == s).sum())
        lo, hi = wilson(right, len(s))
        out.append(
            {
                "group": name,
                "pairs": len(s),
                "genuine": int(s.sum()),
                "failed": int(np.isinf(d).sum()),
                "far": float((d[~s] < threshold).mean()) if (~s).any() else None,
                "frr": float((d[s] >= threshold).mean()) if s.any() else None,
                "accuracy": right / len(s),
                "naive_lo": lo,
                "naive_hi": hi,
            }
        )
    return out


def worst(
    distance: Float[np.ndarray, " n"], same: Shaped[np.ndarray, " n"], n: int
) -> tuple[Sequence[int], Sequence[int]]:
    """Return indices of the n genuine pairs farthest apart and the n impostor pairs nearest to each other.

    Parameters
    ----------
    distance : ndarray
        Squared distances of the pairs, (n,).
    same : ndarray
        Whether each pair is of one person, (n,) bool.
    n : int
        Pairs that are returned.

    Returns
    -------
    tuple[Sequence[int], Sequence[int]]
        Indices of the n genuine pairs farthest apart and the n impostor pairs nearest to
        each other.

    Examples
    --------
    >>> import numpy as np
    >>> genuine, impostor = worst(np.array([0.2, 1.5, 0.9, 3.0]), np.array([True, True, False, False]), 1)
    >>> list(map(int, genuine)), list(map(int, impostor))
    ([1], [2])
    """
    there = np.flatnonzero(np.isfinite(distance))
    order = there[np.argsort(distance[there], kind="stable")]
    return [i for i in order[::-1] if same[i]][:n], [i for i in order if not same[i]][:n]
