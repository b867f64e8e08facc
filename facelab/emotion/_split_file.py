"""`split.json` beside a model: which image and which identity was in which part of its training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from facelab.core.errors import BadInputError
from facelab.core.files import dumps, read_json, write_text
from facelab.emotion._data import FaceSet

SPLIT = "split.json"
SCHEMA = "facelab.split/1"
MOST_SPLIT_BYTES = 64 << 20


def write_split(folder: Path, parts: Mapping[str, FaceSet]) -> Path:
    """Write which image (content hash) and identity went into which part, so that nobody tests on training data."""
    value = {
        part: {"images": faces.hashes(), "identities": sorted(set(filter(None, faces.identities)))}
        for part, faces in parts.items()
    }
    return write_text(folder / SPLIT, dumps({"schema": SCHEMA, "parts": value}) + "\n")


def unseen(faces: FaceSet, folder: Path) -> FaceSet:
    """Return the faces whose image and identity the training in `folder` has not seen (all, where it left no list).

    Seen are train, validation and calibration; its test part is not.
    """
    path = folder / SPLIT
    if not path.is_file():
        return faces
    parts = read_json(path, max_bytes=MOST_SPLIT_BYTES)["parts"]
    seen = [p for name, p in parts.items() if name != "test"]
    images, people = ({key for p in seen for key in p[field]} for field in ("images", "identities"))
    return faces.take(
        [
            i
            for i, (h, who) in enumerate(zip(faces.hashes(), faces.identities))
            if h not in images and not (who and who in people)
        ]
    )


def as_trained(faces: FaceSet, folder: Path) -> dict[str, FaceSet]:
    """Return the faces by the part that the training in `folder` had each in; a face it did not have is left out.

    To split fewer or more faces of the same source anew would deal the same people otherwise, and test on trained ones.
    Raises BadInputError for a part that comes out empty.
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
            fix="take the number and the seed of faces that the training took",
        )
    return parts
