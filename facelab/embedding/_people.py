"""People as folders of pictures: enrol some, search for the others, leave some people out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.detection import Detector
from facelab.detection.internals import find_images
from facelab.embedding._base import Embedder
from facelab.embedding._pairs import acquire, embed_faces
from facelab.metrics.identification import FPIRS, RANKS, Identification
from facelab.metrics.identification import evaluate as score


@dataclass(frozen=True)
class People:
    """Pictures by person: `files` are in the order of their names, `unknown` people are not enrolled."""

    files: dict[str, list[Path]]

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True)
class Search:
    """An identification with the pictures behind it: `enrolled` and `searched` in the order of the figures."""

    result: Identification
    enrolled: list[Path]
    searched: list[Path]
    errors: dict[str, str]


def read_people(folder: str | os.PathLike[str]) -> People:
    """Read one folder per person (InsightFace's form, LFW's too), searched through its own sub-folders.

    Raises BadInputError for pictures beside the folders, and for fewer than two people.

    Parameters
    ----------
    folder : str or path
        A folder.

    Returns
    -------
    People
        The pictures of each person.

    Raises
    ------
    BadInputError
        The folder does not exist, holds fewer than two people, or a picture is outside their folders.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("ada/1.jpg", "ada/2.jpg", "bob/1.jpg"):
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     _ = (folder / name).write_bytes(b"")
    >>> {person: len(files) for person, files in read_people(folder).files.items()}
    {'ada': 2, 'bob': 1}
    """
    root = Path(folder)
    if not root.is_dir():
        raise BadInputError(
            "the folder of people is not there",
            where=root,
            fix="give a folder with a folder per person",
        )
    people: dict[str, list[Path]] = {}
    for path in sorted(find_images(root)):
        parts = path.relative_to(root).parts
        if len(parts) < 2:
            raise BadInputError(
                "a picture is beside the folders of people, so that nobody knows who it shows",
                where=path,
                expected="one folder per person",
                fix="move it into a person's folder",
            )
        people.setdefault(parts[0], []).append(path)
    if len(people) < 2:
        raise BadInputError(
            "there are fewer than two people",
            where=root,
            expected="one folder per person",
            got=", ".join(people) or "no picture",
            fix="give more people",
        )
    return People(people)


def identify(
    embedder: Embedder,
    people: People,
    detector: Detector,
    *,
    enrol: int = 1,
    unknown: float = 0.3,
    ranks: Iterable[int] = RANKS,
    fpirs: Iterable[float] = FPIRS,
    seed: int = 0,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = lambda items: items,
) -> Search:
    """Enrol the first pictures of most people, search for all others, and score that (1:N).

    Parameters
    ----------
    embedder, detector
        From `load` and `facelab.detection.load`.
    people : People
        From `read_people`. People with too few pictures to be enrolled and searched for are left out of the gallery.
    enrol : int
        Pictures per person that are enrolled.
    unknown : float
        Share of the people that are not enrolled, 0 to 1, chosen by `seed`: their pictures are unmated searches.
    ranks, fpirs, seed
        As `facelab.metrics.identification.evaluate` takes them.
    progress : callable
        Wraps the iterable of pictures, to show progress.

    Returns
    -------
    Search
        The figures and the files behind them.

    Raises
    ------
    BadInputError
        Nobody has enough pictures.

    Examples
    --------
    >>> from facelab import detection, embedding
    >>> people = embedding.read_people("data/test")
    >>> found = identify(embedding.load("dlib-resnet"), people, detection.load("mtcnn"), unknown=0.0)
    >>> len(found.enrolled), len(found.searched) > 0
    (3, True)
    """
    names = sorted(people.files)
    drawn = np.random.default_rng(seed).permutation(len(names))[: round(unknown * len(names))]
    strangers = {names[int(k)] for k in drawn}
    gallery = [n for n in names if n not in strangers and len(people.files[n]) > enrol]
    if not gallery:
        raise BadInputError(
            "nobody can be enrolled and searched for",
            expected=f"people with more than {enrol} pictures",
            got=f"{len(names)} people, at most {max(map(len, people.files.values()))} pictures",
            fix="give more pictures per person",
        )
    files = {str(p): p for n in names for p in people.files[n]}
    faces = acquire(detector, files, progress=progress)
    rows = embed_faces(embedder, faces)
    enrolled = [(n, str(p)) for n in gallery for p in people.files[n][:enrol]]
    enrolled = [(n, p) for n, p in enrolled if np.isfinite(rows[p]).all()]
    kept = {n for n, _ in enrolled}
    # a person whose enrolled pictures show no face is not in the gallery, like a stranger
    probes = [(n, str(p)) for n in names for p in people.files[n][enrol if n in kept else 0 :]]
    if not enrolled or not probes:
        raise BadInputError(
            "no picture to enrol shows a face",
            got=f"{len(faces.failures)} pictures without a face",
            fix="name another detector",
        )
    result = score(
        np.stack([rows[p] for _, p in enrolled]),
        [n for n, _ in enrolled],
        np.stack([rows[p] for _, p in probes]),
        [n for n, _ in probes],
        ranks=tuple(ranks),
        fpirs=tuple(fpirs),
        seed=seed,
    )
    return Search(
        result, [Path(p) for _, p in enrolled], [Path(p) for _, p in probes], faces.errors
    )
