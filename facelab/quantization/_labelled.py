"""Labelled images for a user's own classifier: any spec, any labels, read as the spec says and not as facelab's do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.hashing import sha256_array
from facelab.datasets import load_fer2013
from facelab.datasets.internals import FER2013_CLASSES
from facelab.datasets.labels import DROP, NAMES, plain
from facelab.detection.internals import in_order, prepared
from facelab.emotion import emotion_spec
from facelab.emotion.internals import is_fer, sources
from facelab.preprocess import read_image
from facelab.quantization._subject import Subject
from facelab.quantization.calibration import Samples

FaceOf = Callable[[np.ndarray], dict[str, Any] | None]


@dataclass(frozen=True)
class Item:
    """One labelled picture: its file or its pixels (RGB uint8), its class, and where known whose face and where."""

    name: str
    label: int
    pixels: np.ndarray | None = None
    box: sources.Box | None = None
    identity: str = ""


def emotions_of(classes: Sequence[str]) -> tuple[str, ...] | None:
    """Return facelab's name of each class (`angry` is anger), or None where one is not an emotion or two are the same.

    >>> emotions_of(["angry", "happy"]), emotions_of(["mask", "no_mask"])
    (('anger', 'joy'), None)
    """
    found = tuple(NAMES.get(plain(c), DROP) for c in classes)
    return found if DROP not in found and len(set(found)) == len(found) else None


def read(
    subject: Subject,
    data: str,
    *,
    face_of: FaceOf | None,
    cut: sources.FindFace | None,
    n: int,
    seed: int,
    label_map: Mapping[str, str],
    say: Callable[[str], None],
) -> Samples:
    """Read labelled pictures and carry the model's spec out on each.

    `data`: an image folder (a sub-folder per label) or a CSV of files; for emotions also `fer2013.csv`
    or `synthetic`. `label_map` says which class a label of the data means. `face_of` finds the face where the spec has
    a stage that needs it; where it has none, the box of the list, or the one that `cut` finds, is cut out first.
    `say` is called with what is left out. Raises BadInputError naming the file.
    """
    items, emotions, left_out = [], emotions_of(subject.classes), Counter[str]()
    table = _table(subject.classes, emotions, label_map)
    if emotions is not None:
        items = _emotional(data, emotions, subject, n, seed, table, left_out)
    elif Path(data).exists():
        items = _listed(Path(data), subject.classes, table, left_out)
    if not items:
        raise BadInputError(
            "there are no labelled images for this model",
            where=data,
            expected=f"a folder with sub-folders {', '.join(subject.classes)}",
            fix="name sub-folders as the model names its classes",
        )
    if left_out:
        named = ", ".join(f"{label} {k}" for label, k in sorted(left_out.items()))
        say(f"{data}: {sum(left_out.values())} pictures of other labels are left out: {named}")
    spec, tensors, hashes = subject.spec, [], []
    for item in items:
        image = item.pixels if item.pixels is not None else read_image(item.name)
        face = {"box": item.box} if item.box else face_of(image) if face_of else None
        if face_of is None and item.box:
            image, face = cut_out(image, item.box), None
        hashes.append(sha256_array(image))
        if face_of is None and not item.box:
            image = cut_out(image, cut(image) if cut else None)
        elif face_of is not None and face is None:
            face = {"box": (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))}
        tensors.append(prepared(spec, in_order(image, spec.input_order), face=face)[0])
    return Samples(
        np.stack(tensors),
        tuple(hashes),
        tuple(i.name for i in items),
        spec,
        data,
        np.array([i.label for i in items], np.int64),
        tuple(subject.classes),
        tuple(i.identity for i in items),
    )


def _table(
    classes: Sequence[str], emotions: tuple[str, ...] | None, label_map: Mapping[str, str]
) -> dict[str, str]:
    """Return what labels of the data mean: the usual names of emotions, and the user's word."""
    meant = emotions or tuple(classes)
    known = (
        {plain(c): m for c, m in zip(classes, meant)} | {plain(m): m for m in meant} | {"": DROP}
    )
    for label, value in label_map.items():
        if plain(value) not in known:
            raise BadInputError(
                f"the label map names {value!r}{did_you_mean(value, classes)}",
                expected=", ".join(classes),
                got=f"{label}={value}",
                fix="write LABEL=CLASS for a class of the model, or LABEL= to drop it",
            )
    usual = NAMES if emotions else {plain(c): c for c in classes}
    return {**usual, **{plain(label): known[plain(v)] for label, v in label_map.items()}}


def _listed(
    path: Path, classes: Sequence[str], table: Mapping[str, str], left_out: Counter[str]
) -> list[Item]:
    """Return the pictures of a folder of labels, or of a CSV."""
    rows_of = sources.folder_rows if path.is_dir() else sources.csv_rows
    rows = rows_of(path, classes=classes, table=table, left_out=left_out)
    return [
        Item(str(r.file), classes.index(r.emotion), None, r.box, r.identity)
        for r in sources.named_identities(rows)
    ]


def _emotional(
    data: str,
    emotions: tuple[str, ...],
    subject: Subject,
    n: int,
    seed: int,
    table: Mapping[str, str],
    left_out: Counter[str],
) -> list[Item]:
    path = Path(data)
    if data == "synthetic":
        faces = sources.synthetic(n, seed, emotion_spec(), classes=emotions)
        return [
            Item(name, int(label), pixels, identity=who)
            for pixels, label, name, who in zip(
                faces.images, faces.labels, faces.names, faces.identities
            )
        ]
    if not path.is_dir() and is_fer(path):
        fer = load_fer2013(path)
        named = [FER2013_CLASSES[k] for k in fer.label]
        return [
            Item(
                f"{path} image {i}",
                emotions.index(e),
                np.repeat(fer.images[i][..., None], 3, axis=2),
            )
            for i, e in enumerate(named)
            if e in emotions
        ]
    return _listed(path, emotions, table, left_out)


def cut_out(image: np.ndarray, box: sources.Box | None) -> np.ndarray:
    """Return the pixels in a box, or all of them without one. Raises BadInputError for a box outside the image."""
    if box is None:
        return image
    x1, y1, x2, y2 = (round(v) for v in box)
    part = image[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)]
    if not part.size:
        raise BadInputError(
            "the face box lies outside the image",
            expected="a box in the image",
            got=box,
            fix="correct the box, or name the picture that it belongs to",
        )
    return np.ascontiguousarray(part)
