"""From a picture to its files and its rows of labels: the form in which sets lie on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.files import write_bytes
from facelab.core.hashing import sha256_array, sha256_bytes
from facelab.core.png import encode_png
from facelab.datasets.synthetic import _api as api
from facelab.datasets.synthetic.geometry._expression import ACTION_UNITS
from facelab.datasets.synthetic.tasks import _sets as sets
from facelab.datasets.synthetic.tasks._liveness import sense_depth
from facelab.datasets.synthetic.tasks._recipe import Recipe
from facelab.datasets.synthetic.tasks._scenes import SUBSETS, scene

LEADING = (
    "file",
    "identity",
    "emotion",
    "intensity",
    "yaw",
    "pitch",
    "roll",
    "x1",
    "y1",
    "x2",
    "y2",
    *(f"l{axis}{k}" for k in range(5) for axis in "xy"),
)
TRAILING = ("split", "visibility", "visible", *(f"au{k}" for k in ACTION_UNITS))
EXTRA = {
    "emotion": (),
    "verification": ("fold", "factor"),
    "liveness": ("kind", "depth"),
    "detection": ("face", "blur", "occlusion", "invalid", "easy", "medium", "hard"),
}


@dataclass(frozen=True)
class Request:
    """What a set on disk is to hold: everything that its pixels and labels depend on, and nothing else."""

    set: str
    seed: int
    size: tuple[int, int]
    classes: tuple[str, ...] = ()
    depth: bool = False


def columns(request: Request) -> tuple[str, ...]:
    """Return the columns of `labels.csv`."""
    extra = EXTRA[request.set]
    if request.depth and "depth" not in extra:
        extra = (*extra, "depth")
    return (*LEADING, *TRAILING, *extra)


def file_name(request: Request, index: int) -> str:
    """Return where the picture of an index lies, relative to the set's folder.

    Verification pictures lie as in LFW: a folder per person, and `<person>_<number, four digits>` in it.
    """
    if request.set != "verification":
        return f"images/{index:06d}.png"
    place = sets.verification_place(index)
    person = sets.identity_number(request.seed, "verification", place["identity"])
    return f"images/{person}/{person}_{shot_number(index):04d}.png"


def shot_number(index: int) -> int:
    """Return the number of a verification picture among those of its folder, from 1."""
    block, within = divmod(index, 62)
    if within < 40:
        return 1 + within // 20 + 2 * (block % 2)
    return 1 + (within - 40) % 11


def produce(job: tuple[Request, int, str]) -> dict:
    """Draw one picture, write its files atomically, and return its entry: index, files with hashes, label rows."""
    request, index, folder = job
    name = file_name(request, index)
    if request.set == "detection":
        drawn = scene(request.seed, index, request.size)
        rows = [_scene_row(name, k, face) for k, face in enumerate(drawn.faces)]
        return {
            "index": index,
            "files": {name: _write(folder, name, drawn.image)},
            "rows": rows,
            "split": drawn.split,
        }
    s = api.sample(request.seed, index, request.set, request.size[0], classes=request.classes or 7)
    files = {name: _write(folder, name, s.image)}
    row = _row(name, s.identity, s.recipe, s.box, s.landmarks, s.visible, s.visibility, s.split)
    row |= {k: v for k, v in s.recipe.tags.items() if k in EXTRA[request.set]}
    if request.depth or request.set == "liveness":
        depth_name = f"depth/{index:06d}.png"
        if request.set == "liveness":
            depth = sense_depth(s.depth, request.seed, index)
        else:
            depth = np.where(np.isnan(s.depth), 0, np.clip(np.rint(s.depth), 0, 65535)).astype(
                np.uint16
            )
        files[depth_name] = _write(folder, depth_name, depth)
        row["depth"] = depth_name
    return {"index": index, "files": files, "rows": [row], "split": s.split}


def _write(folder: str, name: str, image: np.ndarray) -> dict:
    data = encode_png(image)
    write_bytes(Path(folder) / name, data)
    return {"sha256": sha256_bytes(data), "bytes": len(data), "pixels_sha256": sha256_array(image)}


def _row(
    name: str,
    identity: int,
    recipe: Recipe,
    box: Any,
    landmarks: Any,
    visible: Any,
    visibility: float,
    split: str,
) -> dict:
    row = {
        "file": name,
        "identity": identity,
        "emotion": recipe.emotion,
        "intensity": round(recipe.intensity, 4),
        "yaw": round(recipe.yaw, 3),
        "pitch": round(recipe.pitch, 3),
        "roll": round(recipe.roll, 3),
    }
    row |= {k: round(float(v), 2) for k, v in zip(("x1", "y1", "x2", "y2"), box, strict=True)}
    row |= {
        f"l{axis}{k}": round(float(landmarks[k][i]), 2)
        for k in range(5)
        for i, axis in enumerate("xy")
    }
    row |= {
        "split": split,
        "visibility": round(float(visibility), 4),
        "visible": "".join("1" if v else "0" for v in visible),
    }
    return row | {f"au{k}": round(recipe.action_units[k], 4) for k in ACTION_UNITS}


def _scene_row(name: str, k: int, face: Any) -> dict:
    row = _row(
        name,
        face.recipe.person.number,
        face.recipe,
        face.box,
        face.landmarks,
        face.visible,
        face.visibility,
        face.recipe.split,
    )
    row |= {"face": k, "blur": face.blur, "occlusion": face.occlusion, "invalid": int(face.invalid)}
    return row | {subset: int(face.in_subset(subset)) for subset in SUBSETS}
