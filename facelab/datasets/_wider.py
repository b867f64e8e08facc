"""WIDER FACE: ground truth from the official .mat or text files."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, MissingAssetError, did_you_mean
from facelab.core.files import is_count
from facelab.core.text_files import decoded

SUBSETS = ("easy", "medium", "hard")
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "blur": ("clear", "normal", "heavy"),
    "occlusion": ("none", "partial", "heavy"),
    "pose": ("typical", "atypical"),
    "illumination": ("normal", "extreme"),
    "expression": ("typical", "exaggerated"),
    "invalid": ("no", "yes"),
}
"""Label names by their code 0, 1, 2 (WIDER FACE readme)."""
_TEXT_ORDER = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")


@dataclass(frozen=True)
class GroundTruth:
    """Images in file order with their boxes, subsets and labels.

    `names` are (event, image stem) pairs; `boxes` has one float64 (n, 4) xywh per image; `subsets` maps easy, medium
    and hard (or `all` where no subsets are known) to a bool per box, all images concatenated; `labels` maps an
    attribute to a small integer per box (see `ATTRIBUTES`).
    """

    names: list[tuple[str, str]]
    boxes: list[np.ndarray]
    subsets: dict[str, np.ndarray]
    labels: dict[str, np.ndarray] = field(default_factory=dict)


def load_ground_truth(folder: str | os.PathLike[str]) -> GroundTruth:
    """Read WIDER FACE validation ground truth from a folder of .mat files, or from one text file.

    A folder must hold `wider_face_val.mat` and the three subset files, or else one of the text forms
    (`wider_face_val_bbx_gt.txt`, `*labelv2.txt`), which know no subsets.

    Parameters
    ----------
    folder : str or path
        The folder with WIDER FACE's `.mat` or text labels.

    Returns
    -------
    GroundTruth
        The labelled boxes per picture, with the masks of the subsets.

    Raises
    ------
    MissingAssetError
        Naming the file (and line).
    BadInputError
        Naming the file (and line).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "wider_face_val_bbx_gt.txt"
    >>> _ = file.write_text("0--Parade/a.jpg\\n1\\n10 20 30 40 0 0 0 0 0 0\\n")
    >>> truth = load_ground_truth(file)
    >>> truth.names, truth.boxes[0].tolist()
    ([('0--Parade', 'a')], [[10.0, 20.0, 30.0, 40.0]])
    """
    folder = Path(folder)
    if folder.is_file():
        return load_text(folder)
    if not folder.is_dir():
        raise MissingAssetError(
            "the ground truth is not there",
            where=folder,
            expected="a folder with wider_face_val.mat",
            fix="check --ground-truth",
        )
    if (folder / "wider_face_val.mat").is_file():
        return _load_mats(folder)
    texts = sorted([*folder.glob("*bbx_gt*.txt"), *folder.glob("*labelv2*.txt")])
    if texts:
        return load_text(texts[0])
    raise MissingAssetError(
        "the folder holds no WIDER FACE ground truth",
        where=folder,
        expected="wider_face_val.mat, wider_easy_val.mat, wider_medium_val.mat, wider_hard_val.mat",
        got=", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "an empty folder",
        fix="download the official eval_tools.zip and give its ground_truth folder",
    )


def _mat(path: Path, keys: Iterable[str], optional: Iterable[str] = ()) -> dict:
    """Return the variables `keys` (all must be there) and `optional` of a .mat file; the rest is not parsed."""
    if not path.is_file():
        raise MissingAssetError(
            "a ground-truth file is missing", where=path, fix="take it from eval_tools.zip"
        )
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=[*keys, *optional])
    except Exception as e:  # scipy raises anything from ValueError to zlib.error on a damaged file
        raise BadInputError(
            "the .mat file cannot be read",
            where=path,
            got=f"{type(e).__name__}: {e}"[:160],
            fix="download it again",
        ) from None
    for key in keys:
        if key not in content:
            raise BadInputError(
                "the .mat file lacks a variable",
                where=path,
                expected=key,
                got=", ".join(k for k in content if not k.startswith("__")),
                fix="use the .mat files of WIDER FACE's eval_tools",
            )
    return content


def _load_mats(folder: Path) -> GroundTruth:
    path = folder / "wider_face_val.mat"
    face = _mat(
        path, ("event_list", "file_list", "face_bbx_list"), [f"{a}_label_list" for a in ATTRIBUTES]
    )
    names: list[tuple[str, str]] = []
    boxes: list[np.ndarray] = []
    for event, files, lists in zip(
        face["event_list"][:, 0], face["file_list"][:, 0], face["face_bbx_list"][:, 0]
    ):
        names += [(str(event[0]), str(f[0])) for f in files[:, 0]]
        boxes += [np.asarray(b, dtype=np.float64).reshape(-1, 4) for b in lists[:, 0]]
    start = np.concatenate([[0], np.cumsum([len(b) for b in boxes])])
    subsets = {s: _subset(folder / f"wider_{s}_val.mat", names, start) for s in SUBSETS}
    labels = {}
    for attribute in ATTRIBUTES:
        cells = face.get(f"{attribute}_label_list")
        if cells is not None:
            flat = [
                np.asarray(c, dtype=np.int64).ravel() for event in cells[:, 0] for c in event[:, 0]
            ]
            labels[attribute] = np.concatenate(flat)
            if len(labels[attribute]) != start[-1]:
                raise BadInputError(
                    f"there is not one {attribute} label per box",
                    where=path,
                    expected=int(start[-1]),
                    got=len(labels[attribute]),
                    fix="use .mat files of one release",
                )
    return GroundTruth(names, boxes, subsets, labels)


def _subset(path: Path, names: list[tuple[str, str]], start: np.ndarray) -> np.ndarray:
    """Return a bool per box: whether its number (from 1) is in the subset's list."""
    cells = [c for event in _mat(path, ("gt_list",))["gt_list"][:, 0] for c in event[:, 0]]
    if len(cells) != len(names):
        raise BadInputError(
            "the subset file lists another number of images",
            where=path,
            expected=len(names),
            got=len(cells),
            fix="all four .mat files must come from one release",
        )
    keep = np.zeros(start[-1], dtype=bool)
    for i, cell in enumerate(cells):
        index = np.asarray(cell).ravel().astype(np.int64)
        if index.size and not 1 <= index.min() <= index.max() <= start[i + 1] - start[i]:
            raise BadInputError(
                "the subset names a box that the image does not have",
                where=f"{path}: {names[i]}",
                expected=f"1 … {start[i + 1] - start[i]}",
                got=f"{index.min()} … {index.max()}",
                fix="use subsets and annotations of one release",
            )
        keep[start[i] + index - 1] = True
    return keep


def load_text(path: str | os.PathLike[str]) -> GroundTruth:
    """Read ground truth from a text form: the official `wider_face_val_bbx_gt.txt` or SCRFD's `labelv2.txt`.

    The first has path, count and `x y w h blur expression illumination invalid occlusion pose` lines; the second
    `# path width height` and `x1 y1 x2 y2 [landmarks]` lines. Subset `all` is every valid box.
    """
    path = Path(path)
    try:
        lines = decoded(path).split("\n")
    except (OSError, UnicodeDecodeError) as e:
        raise BadInputError(
            "the ground-truth text cannot be read",
            where=path,
            got=str(e)[:120],
            fix="check that the file is a text file that you may read",
        ) from None
    first = next((line for line in lines if line.strip()), "")
    names, boxes, rows = (_labelv2 if first.startswith("#") else _bbx_gt)(path, lines)
    labels = {}
    keep = np.ones(sum(map(len, boxes)), dtype=bool)
    if rows:
        table = np.array(rows, dtype=np.int64).reshape(-1, 6)
        labels = {name: table[:, i] for i, name in enumerate(_TEXT_ORDER)}
        keep = labels["invalid"] == 0
    return GroundTruth(names, boxes, {"all": keep}, labels)


def _name(text: str) -> tuple[str, str]:
    parts = text.strip().split("/")
    return (parts[-2] if len(parts) > 1 else ""), Path(parts[-1]).stem


def _numbers(path: Path, number: int, line: str, least: int) -> list[float]:
    try:
        values = [float(v) for v in line.split()]
    except ValueError:
        values = []
    if len(values) < least or not np.isfinite(values).all():
        raise BadInputError(
            "a line of the ground truth is malformed",
            where=f"{path}:{number}",
            expected=f"at least {least} finite numbers",
            got=repr(line.strip()[:80]),
            fix="restore the line from the original annotations",
        )
    return values


def _labelv2(path: Path, lines: list[str]) -> tuple[list[Any], list[np.ndarray], list[Any]]:
    names, boxes = [], []
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            names.append(_name(line[1:].split()[0]) if line[1:].split() else ("", ""))
            boxes.append([])
        elif line.strip():
            if not boxes:
                raise BadInputError(
                    "a box comes before any image",
                    where=f"{path}:{number}",
                    got=line[:80],
                    fix="write the name of the image and the number of its faces first",
                )
            x1, y1, x2, y2 = _numbers(path, number, line, 4)[:4]
            boxes[-1].append([x1, y1, x2 - x1, y2 - y1])
    return names, [np.array(b, dtype=np.float64).reshape(-1, 4) for b in boxes], []


def _bbx_gt(path: Path, lines: list[str]) -> tuple[list[Any], list[Any], list[Any]]:
    names, boxes, rows = [], [], []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        names.append(_name(lines[at]))
        count = lines[at + 1].strip() if at + 1 < len(lines) else ""
        if not is_count(count):
            raise BadInputError(
                "the number of faces is missing",
                where=f"{path}:{at + 2}",
                expected="a whole number",
                got=repr(count[:80]),
                fix="write the number of faces below the name of the image",
            )
        mine = []
        for number in range(at + 3, at + 3 + int(count)):
            values = _numbers(path, number, lines[number - 1] if number <= len(lines) else "", 10)
            mine.append(values[:4])
            rows.append([int(v) for v in values[4:10]])
        boxes.append(np.array(mine, dtype=np.float64).reshape(-1, 4))
        # the official file writes one line of zeros for an image without faces
        at += 2 + max(int(count), 1)
    return names, boxes, rows


def attribute_masks(truth: GroundTruth, attribute: str) -> dict[str, np.ndarray]:
    """Return a bool mask over all boxes for each value of an attribute (see `ATTRIBUTES`).

    Raises BadInputError for an attribute that is unknown or that the ground truth does not carry.

    Parameters
    ----------
    truth : GroundTruth
        The labelled boxes.
    attribute : str
        The attribute, such as `occlusion`.

    Returns
    -------
    dict[str, ndarray]
        A bool mask over all boxes for each value of an attribute (see `ATTRIBUTES`).

    Raises
    ------
    BadInputError
        The attribute is unknown, or the ground truth was read without its labels.
    """
    if attribute not in ATTRIBUTES:
        raise BadInputError(
            f"no attribute is called {attribute!r}{did_you_mean(attribute, ATTRIBUTES)}",
            expected=", ".join(ATTRIBUTES),
            got=attribute,
            fix="use one of the names",
        )
    if attribute not in truth.labels:
        raise BadInputError(
            f"the ground truth has no {attribute} labels",
            expected="the .mat files",
            fix="evaluate with the .mat files, which hold these labels",
        )
    return {
        name: truth.labels[attribute] == code for code, name in enumerate(ATTRIBUTES[attribute])
    }


SIZE_EDGES = (0, 16, 32, 64, 128, 300, np.inf)


def size_masks(truth: GroundTruth) -> dict[str, np.ndarray]:
    """Return a bool mask over all boxes for each range of box heights in pixels (lower end included).

    Parameters
    ----------
    truth : GroundTruth
        The labelled boxes.

    Returns
    -------
    dict[str, ndarray]
        A bool mask over all boxes for each range of box heights in pixels (lower end
        included).
    """
    height = np.concatenate([b[:, 3] for b in truth.boxes]) if truth.boxes else np.zeros(0)
    out = {}
    for low, high in itertools.pairwise(SIZE_EDGES):
        name = (
            f">={low}px"
            if high == np.inf
            else (f"<{high}px" if low == 0 else f"{low}-{int(high) - 1}px")
        )
        out[name] = (height >= low) & (height < high)
    return out
