"""`split.json` beside a model: which image and which identity was in which part of its training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from facelab.core.files import dumps, read_json, write_text
from facelab.emotion.data import FaceSet

SPLIT = "split.json"
SCHEMA = "facelab.split/1"
MOST_SPLIT_BYTES = 64 << 20


def write_split(folder: Path, parts: Mapping[str, FaceSet]) -> Path:
    """Write which image (content hash) and identity went into which part, so that nobody tests on training data."""
    value = {part: {"images": faces.hashes(), "identities": sorted(set(filter(None, faces.identities)))}
             for part, faces in parts.items()}
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
    return faces.take([i for i, (h, who) in enumerate(zip(faces.hashes(), faces.identities))
                       if h not in images and not (who and who in people)])
