"""`split.json` beside a model: which picture and which identity was in which part of its training."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from facelab.core.errors import BadInputError
from facelab.core.files import dumps, read_json, write_text
from facelab.core.hashing import sha256_file
from facelab.emotion._data import FaceSet

SPLIT = "split.json"
SCHEMA = "facelab.split/1"
MOST_SPLIT_BYTES = 64 << 20


def write_split(folder: Path, parts: Mapping[str, FaceSet]) -> Path:
    """Write which face (hash of its crop), picture file (name and hash) and identity went into which part.

    Anyone who evaluates the model, or what is made of it, leaves these out by any of the three: a crop by another
    detector or spec has a different hash, and the same file in another folder another name.

    Parameters
    ----------
    folder : path
        A folder.
    parts : Mapping[str, FaceSet]
        The pictures per part (train, validation, test).

    Returns
    -------
    path
        The path of the file.
    """
    value = {
        part: {
            "images": faces.hashes(),
            "files": sorted({PurePath(n).name for n in faces.names if _hash_of(n)}),
            "pictures": sorted({h for n in faces.names if (h := _hash_of(n))}),
            "identities": sorted(set(filter(None, faces.identities))),
        }
        for part, faces in parts.items()
    }
    return write_text(folder / SPLIT, dumps({"schema": SCHEMA, "parts": value}) + "\n")


@functools.lru_cache(maxsize=65536)
def _hash_of(name: str) -> str | None:
    """Return the SHA-256 of the picture file that a face's name is, or None for one that was drawn or is in a table."""
    path = Path(name)
    return sha256_file(path) if path.is_file() else None


@dataclasses.dataclass(frozen=True)
class TrainedOn:
    """What a model's training has seen (train, validation and calibration parts, not its test part).

    `path` is the `split.json` that says so.
    """

    path: Path
    images: frozenset[str]
    pictures: frozenset[str]
    identities: frozenset[str]

    def seen(
        self, hashes: Sequence[str], names: Sequence[str], identities: Sequence[str]
    ) -> list[bool]:
        """Return for each face whether its crop, its picture file or its person was trained on."""
        people: Iterable[str] = identities or [""] * len(hashes)
        return [
            h in self.images
            or bool(who and who in self.identities)
            or bool(self.pictures and _hash_of(name) in self.pictures)
            for h, name, who in zip(hashes, names, people, strict=True)
        ]


def trained_on(folder: str | os.PathLike[str]) -> TrainedOn | None:
    """Return what the training of the model in `folder` has seen, or None where its split did not travel with it.

    Raises BadInputError for a `split.json` that is not one.

    Parameters
    ----------
    folder : str or path
        A folder.

    Returns
    -------
    TrainedOn or None
        What the training of the model in `folder` has seen, or None where its split did not
        travel with it.

    Raises
    ------
    BadInputError
        The split file has the wrong form.
    """
    path = Path(folder) / SPLIT
    if not path.is_file():
        return None
    value = read_json(path, max_bytes=MOST_SPLIT_BYTES)
    parts = value.get("parts") if isinstance(value, dict) else None
    if not isinstance(parts, dict) or value.get("schema") != SCHEMA:
        raise BadInputError(
            "the list of trained images has the wrong form",
            where=path,
            expected=SCHEMA,
            got=value.get("schema") if isinstance(value, dict) else type(value).__name__,
            fix="copy split.json from the folder of the training again",
        )
    seen = [p for name, p in parts.items() if name != "test" and isinstance(p, dict)]
    keys = ("images", "pictures", "identities")
    return TrainedOn(
        path, *(frozenset(k for p in seen for k in p.get(field, [])) for field in keys)
    )


def unseen(faces: FaceSet, folder: Path) -> FaceSet:
    """Return the faces whose crop, picture and identity the training in `folder` has not seen (all without a list).

    Parameters
    ----------
    faces : FaceSet
        Labelled pictures.
    folder : path
        A folder.

    Returns
    -------
    FaceSet
        The faces whose crop, picture and identity the training in `folder` has not seen
        (all without a list).
    """
    trained = trained_on(folder)
    if trained is None:
        return faces
    seen = trained.seen(faces.hashes(), faces.names, faces.identities)
    return faces.take([i for i, s in enumerate(seen) if not s])


def as_trained(faces: FaceSet, folder: Path) -> dict[str, FaceSet]:
    """Return the faces by the part that the training in `folder` had each in; a face it did not have is left out.

    A new split of fewer or more faces would put the same people into other parts, and test on trained ones.
    Raises BadInputError for a part that comes out empty.

    Parameters
    ----------
    faces : FaceSet
        Labelled pictures.
    folder : path
        A folder.

    Returns
    -------
    dict[str, FaceSet]
        The faces by the part that the training in `folder` had each in.

    Raises
    ------
    BadInputError
        None of the faces is in one of the training's parts.
    """
    listed = read_json(folder / SPLIT, max_bytes=MOST_SPLIT_BYTES)["parts"]
    part_of = {h: name for name, part in listed.items() for h in part["images"]}
    mine = [part_of.get(h) for h in faces.hashes()]
    parts = {
        name: faces.take([i for i, part in enumerate(mine) if part == name]) for name in listed
    }
    if empty := [name for name, part in parts.items() if not len(part)]:
        raise BadInputError(
            f"none of the faces is in the training's part '{empty[0]}'",
            where=folder / SPLIT,
            fix="use the number and the seed of faces of the training",
        )
    return parts
