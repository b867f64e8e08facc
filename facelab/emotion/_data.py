"""Labelled faces as arrays, and splits that share no identity and no image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, MissingAssetError
from facelab.core.hashing import sha256_array, sha256_json

if TYPE_CHECKING:
    from jaxtyping import Integer, UInt8

Box = tuple[float, float, float, float]
FindFace = Callable[[np.ndarray], Box | None]
CROPPED_BELOW = 96
"""Pictures with a shorter side are taken for face crops already (FER2013's have 48 pixels), and are not searched."""
PREFERRED = ("mtcnn", "haar")
PARTS = ("train", "validation", "calibration", "test")


@dataclass(frozen=True)
class FaceSet:
    """Labelled face crops.

    `images` is uint8 (n, size, size, 3) RGB, `labels` int64 (n,) into `classes`, `names` says where each image came
    from (file or sample), `identities` who is shown (an empty string where nobody knows).

    Examples
    --------
    >>> import numpy as np
    >>> pixels = np.zeros((2, 8, 8, 3), np.uint8)
    >>> faces = FaceSet(pixels, np.array([0, 1]), ("joy", "neutral"), ("1.png", "2.png"), ("a", "b"))
    >>> len(faces), faces.take(np.array([1])).names
    (2, ('2.png',))
    """

    images: UInt8[np.ndarray, "n h w 3"]
    labels: Integer[np.ndarray, " n"]
    classes: tuple[str, ...]
    names: tuple[str, ...]
    identities: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.images.ndim != 4 or self.images.shape[3] != 3 or self.images.dtype != np.uint8:
            raise BadInputError(
                "face crops have the wrong form",
                expected="uint8 (n, height, width, 3)",
                got=f"{self.images.dtype} {self.images.shape}",
                fix="cut the faces with facelab.emotion.crop_face, or convert them to uint8 RGB",
            )
        if not n == len(self.labels) == len(self.names) == len(self.identities):
            raise BadInputError(
                "images, labels, names and identities differ in number",
                expected=n,
                got=(len(self.labels), len(self.names), len(self.identities)),
                fix="give each image one label, one name and one identity (or None)",
            )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: np.ndarray | Sequence[int]) -> FaceSet:
        """Return the faces at `index`, in that order."""
        index = np.asarray(index, dtype=np.int64)
        return FaceSet(
            self.images[index],
            self.labels[index],
            self.classes,
            tuple(self.names[i] for i in index),
            tuple(self.identities[i] for i in index),
        )

    def counts(self) -> dict[str, int]:
        """Return how many faces each class has."""
        return {c: int((self.labels == k).sum()) for k, c in enumerate(self.classes)}

    def hashes(self) -> list[str]:
        """Return the content hash of each image."""
        return [sha256_array(image) for image in self.images]

    def hash(self) -> str:
        """Return one hash of all images, labels and classes, in order."""
        return sha256_json([list(self.classes), self.labels.tolist(), self.hashes()])


def check_classes(faces: FaceSet, *, where: object, at_least: int = 2) -> None:
    """Refuse a set that cannot train a classifier: one class, or a class with fewer than `at_least` faces."""
    counts = faces.counts()
    present = [c for c, n in counts.items() if n]
    if len(present) < 2:
        raise BadInputError(
            "the data set shows a single class",
            where=where,
            expected=f"at least two of {', '.join(faces.classes)}",
            got=", ".join(present) or "none",
            fix="add faces of the other classes, or name fewer classes",
        )
    short = {c: n for c, n in counts.items() if n < at_least}
    if short:
        raise BadInputError(
            "a class has too few faces",
            where=where,
            expected=f"at least {at_least} a class",
            got=", ".join(f"{c}: {n}" for c, n in short.items()),
            fix="add faces of that class, or name fewer classes",
        )


def split(faces: FaceSet, fractions: Mapping[str, float], *, seed: int) -> dict[str, FaceSet]:
    """Split into parts so that no identity and no identical image is in two of them.

    `fractions` maps part names to shares that sum to 1. Faces are grouped by identity; where it is unknown, by image
    content. Groups are dealt out largest first, each to the part whose class counts are furthest below their share,
    ties in seeded order, so that every part stays close to the set's class balance.

    Parameters
    ----------
    faces : FaceSet
        Labelled pictures.
    fractions : Mapping[str, float]
        The share of each part.
    seed : int
        Seeds every random choice.

    Returns
    -------
    dict[str, FaceSet]
        The pictures per part.

    Raises
    ------
    BadInputError
        The shares do not sum to 1, or one is negative.
    """
    if abs(sum(fractions.values()) - 1) > 1e-9 or any(f < 0 for f in fractions.values()):
        raise BadInputError(
            "the parts' shares do not sum to 1",
            expected=1,
            got=dict(fractions),
            fix="correct the shares of train, validation, calibration and test",
        )
    groups = _groups(faces)
    rng = np.random.default_rng(seed)
    groups = [groups[i] for i in rng.permutation(len(groups))]
    groups.sort(key=len, reverse=True)
    totals = np.bincount(faces.labels, minlength=len(faces.classes)).astype(float)
    names = [name for name, f in fractions.items() if f > 0]
    wanted = np.array([fractions[name] * totals for name in names])
    have, members = np.zeros_like(wanted), defaultdict(list)
    for group in groups:
        add = np.bincount(faces.labels[group], minlength=len(faces.classes))
        lack = (wanted - have) / np.maximum(wanted, 1)
        part = int(np.argmax((lack * add).sum(axis=1)))
        have[part] += add
        members[names[part]] += group
    return {name: faces.take(sorted(members[name])) for name in fractions}


def _groups(faces: FaceSet) -> list[list[int]]:
    """Join faces that share an identity or their bytes (union-find over both keys)."""
    parent = list(range(len(faces)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for i, (content, identity) in enumerate(zip(faces.hashes(), faces.identities)):
        for key in (f"image {content}", *([f"identity {identity}"] if identity else [])):
            parent[root(i)] = root(first.setdefault(key, i))
    joined: dict[int, list[int]] = defaultdict(list)
    for i in range(len(faces)):
        joined[root(i)].append(i)
    return list(joined.values())


def check_disjoint(parts: Mapping[str, FaceSet]) -> None:
    """Refuse parts that share an image (by content hash) or a known identity.

    Parameters
    ----------
    parts : Mapping[str, FaceSet]
        The pictures per part (train, validation, test).

    Raises
    ------
    BadInputError
        Naming both.
    """
    seen: dict[str, tuple[str, str]] = {}
    for part, faces in parts.items():
        keys = [(f"image {h}", name) for h, name in zip(faces.hashes(), faces.names)]
        keys += [
            (f"identity {who}", name) for who, name in zip(faces.identities, faces.names) if who
        ]
        for key, name in keys:
            other, other_name = seen.setdefault(key, (part, name))
            if other != part:
                kind = key.split(" ", 1)[0]
                raise BadInputError(
                    f"the parts '{other}' and '{part}' share an {kind}",
                    where=f"{other_name} and {name}",
                    expected="disjoint parts",
                    got=key[:60],
                    fix="remove it from one part, or let facelab split the whole set",
                )


def balance(faces: FaceSet, *, seed: int) -> FaceSet:
    """Return the set with rarer classes repeated (seeded) until each class is as frequent as the largest.

    Both back ends realise class weights this way, since Model Maker takes none.
    """
    rng = np.random.default_rng(seed)
    largest = max(faces.counts().values())
    index = [np.arange(len(faces))]
    for k in range(len(faces.classes)):
        mine = np.flatnonzero(faces.labels == k)
        if 0 < len(mine) < largest:
            index.append(rng.choice(mine, largest - len(mine), replace=True))
    return faces.take(np.concatenate(index))


def largest_face(detector: Any, *, least: float = 0.0) -> FindFace:
    """Return a `find_face` that takes the largest face a `facelab.detection` detector sees (score ≥ `least`)."""

    def find(image: np.ndarray) -> Box | None:
        boxes = detector.detect(image).above(least).boxes
        if not len(boxes):
            return None
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        x1, y1, x2, y2 = (float(v) for v in boxes[int(areas.argmax())])
        return x1, y1, x2, y2

    return find


@dataclass
class Seen:
    """How often a face was looked for and found."""

    detector: str
    looked: int = 0
    found: int = 0
    small: int = 0

    def said(self) -> list[str]:
        """Return what became of the pictures, in a sentence or two."""
        lines = []
        if self.small:
            lines.append(
                f"{self.small} pictures have a side below {CROPPED_BELOW} pixels: each is taken whole, as a face"
            )
        if self.looked:
            lines.append(
                f"{self.detector} found a face in {self.found} of {self.looked} "
                f"{'others' if self.small else 'pictures'}"
                + (
                    "; where it found none, the picture is taken whole"
                    if self.found < self.looked
                    else ""
                )
            )
        return lines


def detector_name(wanted: str = "detect") -> str:
    """Return `wanted`, or for `detect` the best detector on this machine: the catalogue's default, MTCNN, Haar.

    Parameters
    ----------
    wanted : str
        A detector's name, or `detect`.

    Returns
    -------
    str
        `wanted`, or for `detect` the best detector on this machine.

    Raises
    ------
    MissingAssetError
        No detector is on this machine.
    """
    from facelab import detection
    from facelab.zoo import load_catalogue

    if wanted != "detect":
        return wanted
    here = [e.name for e in detection.available()]
    for name in (load_catalogue().default("detector").name, *PREFERRED, *here):
        if name in here:
            return name
    raise MissingAssetError(
        "no face detector is on this machine", fix="facelab assets fetch yunet-n"
    )


def face_finder(wanted: str = "detect") -> tuple[FindFace, Seen]:
    """Return a function that finds the largest face of a picture, and the count it keeps.

    Pictures whose shorter side is below CROPPED_BELOW are not searched: they are crops already.
    """
    from facelab import detection

    name = detector_name(wanted)
    largest, seen = largest_face(detection.load(name)), Seen(name)

    def find(image: np.ndarray):
        if min(image.shape[:2]) < CROPPED_BELOW:
            seen.small += 1
            return None
        box = largest(image)
        seen.looked += 1
        seen.found += box is not None
        return box

    return find, seen
