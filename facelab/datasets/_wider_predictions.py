"""WIDER FACE: predictions in the standard text files, one per image."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError, MissingAssetError
from facelab.core.files import is_count

MOST_BYTES = 64 << 20
"""Bytes of one picture's predictions."""


@dataclass(frozen=True)
class Predictions:
    """Predictions per ground-truth image, and what was noticed while reading them.

    `boxes` has one float64 (n, 5) xywh + score per image, sorted by falling score; `unsorted`, `missing_images`,
    `missing_events`, `renamed` name what was fixed or absent; `extra_scores` come from files of unknown images.
    """

    boxes: list[np.ndarray]
    unsorted: list[str]
    missing_events: list[str]
    missing_images: list[str]
    extra_files: list[str]
    extra_scores: np.ndarray
    renamed: list[str]
    degenerate: int


def _read_tokens(
    order: list[tuple[str, str]],
    files: Mapping[tuple[str, str], str],
    known: set[tuple[str, str]],
) -> tuple[list[bytes], list[int], list[str]]:
    """Return the numbers of all files as text, how many boxes each has, and the files that name another image."""
    tokens: list[bytes] = []
    counts: list[int] = []
    renamed: list[str] = []
    for key in order:
        path = files.get(key)
        n = 0
        if path is not None:
            # thousands of small files: pathlib costs as much again
            with open(path, "rb", buffering=0, opener=_unblocked) as f:
                data = f.read(MOST_BYTES + 1) or b""
            if len(data) > MOST_BYTES:
                raise _too_large(path)
            n, header = _parse(path, data, tokens)
            if Path(header).name not in (key[1], f"{key[1]}.jpg"):
                _check_header(path, header, key, known)
                renamed.append(f"{key[0]}/{key[1]}")
        counts.append(n)
    return tokens, counts, renamed


def _unblocked(path: str, flags: int) -> int:
    """Open a file so that a named pipe, which nobody writes to, is empty and does not block."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _too_large(path: str) -> BadInputError:
    return BadInputError(
        "the file of predictions is too large",
        where=path,
        expected=f"at most {MOST_BYTES} bytes for one picture",
        got="more",
        fix="check that the folder holds predictions",
    )


def load_predictions(folder: str | os.PathLike[str], names: list[tuple[str, str]]) -> Predictions:
    """Read `<event>/<image>.txt` prediction files: image name, count, then `x y w h score` a line.

    Rows are sorted by falling score (stable); images whose rows were not are named in `unsorted`. Absent events and
    images count as images without detections and are named. A malformed file raises BadInputError with file and line;
    so does a folder in which no file belongs to any ground-truth image.

    Parameters
    ----------
    folder : str or path
        The folder with one text file of boxes per picture.
    names : list of tuple[str, str]
        Event and picture, in the order of the ground truth.

    Returns
    -------
    Predictions
        The boxes (n, 5), x y w h score, in the order of `names`.

    Raises
    ------
    MissingAssetError
        The folder does not exist.
    BadInputError
        A prediction file is damaged; naming file and line.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> (folder / "0--Parade").mkdir()
    >>> _ = (folder / "0--Parade" / "a.txt").write_text("a.jpg\\n1\\n10 20 30 40 0.9\\n")
    >>> load_predictions(folder, [("0--Parade", "a")]).boxes[0].tolist()
    [[10.0, 20.0, 30.0, 40.0, 0.9]]
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingAssetError(
            "the predictions are not there",
            where=folder,
            expected="a folder with one folder per event",
            fix="check --predictions",
        )
    files = {
        (event.name, f.name[:-4]): f.path
        for event in os.scandir(folder)
        if event.is_dir()
        for f in os.scandir(event.path)
        if f.name.endswith(".txt")
    }
    known = set(names)
    extra = sorted(key for key in files if key not in known)
    if not any(n in files for n in known):
        raise _nothing_fits(folder, files, names)
    order = [*names, *extra]
    tokens, counts, renamed = _read_tokens(order, files, known)
    start = np.concatenate([[0], np.cumsum(counts)])
    rows = _floats(tokens, order, files, start)
    boxes, unsorted = _sorted(rows[: start[len(names)]], start[: len(names) + 1], names)
    events = {e for e, _ in files}
    missing_events = list(dict.fromkeys(e for e, _ in names if e not in events))
    return Predictions(
        boxes,
        unsorted,
        missing_events,
        [f"{e}/{i}" for e, i in names if (e, i) not in files],
        [f"{e}/{i}.txt" for e, i in extra],
        rows[start[len(names)] :, 4],
        renamed,
        int(np.sum((rows[:, 2] <= 0) | (rows[:, 3] <= 0))),
    )


def _nothing_fits(folder: Path, files: dict, names: list[tuple[str, str]]) -> BadInputError:
    got = ", ".join(f"{e}/{i}.txt" for e, i in sorted(files)[:2])
    if not got:
        got = ", ".join(sorted(p.name for p in folder.iterdir())[:4]) or "an empty folder"
    return BadInputError(
        "no prediction file belongs to an image of the ground truth",
        where=folder,
        expected=f"files such as {names[0][0]}/{names[0][1]}.txt"
        if names
        else "ground-truth images",
        got=got,
        fix="give the folder that holds the event folders",
    )


def _check_header(path: str, header: str, key: tuple[str, str], known: set) -> None:
    """Refuse a file whose first line names another image of the set."""
    stem = Path(header.strip()).stem
    if stem != key[1] and (key[0], stem) in known:
        raise BadInputError(
            "the file's first line names another image",
            where=f"{path}:1",
            expected=key[1],
            got=stem,
            fix="write the predictions again; file name and first line must agree",
        )


def _parse(path: str, data: bytes, tokens: list[bytes]) -> tuple[int, str]:
    """Append the file's numbers to `tokens`; return the number of boxes and the image name of its first line."""
    lines = data.split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    header = lines[0].decode("utf-8", "replace").strip() if lines else ""
    if len(lines) < 2 or not is_count(count := lines[1].strip()):
        got = (
            repr(lines[1].decode("utf-8", "replace")[:80])
            if len(lines) > 1
            else "the end of the file"
        )
        raise BadInputError(
            "the file has no count of boxes",
            where=f"{path}:{2 if lines else 1}",
            expected="the image name, then a whole number, then `x y w h score` a line",
            got=got,
            fix="write the number of boxes on the second line",
        )
    n = 0
    for number, line in enumerate(lines[2:], 3):
        parts = line.split()
        if len(parts) == 5:
            tokens += parts
            n += 1
        elif parts:
            raise _malformed(path, number, line)
    if n != int(count):
        raise BadInputError(
            "the file does not hold as many boxes as it says",
            where=f"{path}:2",
            expected=f"{int(count)} boxes",
            got=f"{n} boxes",
            fix="the file may be cut off; write it again",
        )
    return n, header


def _malformed(path: str, number: int, line: bytes) -> BadInputError:
    return BadInputError(
        "a prediction line is malformed",
        where=f"{path}:{number}",
        expected="five finite numbers: x y w h score",
        got=repr(line.decode("utf-8", "replace").strip()[:80]),
        fix="correct or drop the line (and the count in line 2)",
    )


def _floats(tokens: list[bytes], order: list, files: dict, start: np.ndarray) -> np.ndarray:
    """Return all tokens as (n, 5) float64; a token that is not a finite number raises with its file and line."""
    try:
        rows = np.array(list(map(float, tokens)), dtype=np.float64).reshape(-1, 5)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    except ValueError:
        bad = np.array([next(i for i, t in enumerate(tokens) if not _is_number(t)) // 5])
    if len(bad):
        image = int(np.searchsorted(start, bad[0], side="right")) - 1
        path = files[order[image]]
        within = int(bad[0] - start[image])
        lines = Path(path).read_bytes().split(b"\n")
        numbers = [k for k, line in enumerate(lines, 1) if k > 2 and line.strip()]
        raise _malformed(path, numbers[within], lines[numbers[within] - 1])
    return rows


def _is_number(token: bytes) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def _sorted(rows: np.ndarray, start: np.ndarray, names: list) -> tuple[list[np.ndarray], list[str]]:
    """Return per-image rows by falling score, and the names of images where they were not."""
    image = np.repeat(np.arange(len(names)), np.diff(start))
    rising = (rows[1:, 4] > rows[:-1, 4]) & (image[1:] == image[:-1])
    wrong = np.unique(image[1:][rising])
    if len(wrong):
        rows = rows[np.lexsort((-rows[:, 4], image))]
    return np.split(rows, start[1:-1]), [f"{names[i][0]}/{names[i][1]}" for i in wrong]


def write_predictions(
    folder: str | os.PathLike[str], event: str, image: str, boxes: np.ndarray
) -> Path:
    """Write one image's predictions (n, 5) xywh + score in the standard form, by falling score, and return the path.

    Numbers are written with `repr` precision, so that reading them back gives the same floats.

    Parameters
    ----------
    folder : str or path
        The folder to write to.
    event : str
        The event (folder) of the picture.
    image : str
        A picture, (height, width, 3) uint8 RGB.
    boxes : ndarray
        Boxes (n, 4), x1 y1 x2 y2 in pixels.

    Returns
    -------
    path
        The path of the file.

    Raises
    ------
    BadInputError
        A number is NaN or infinite.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> path = write_predictions(tempfile.mkdtemp(), "0--Parade", "face", np.array([[1, 2, 3, 4, 0.5]]))
    >>> path.read_text().splitlines()[:2]
    ['face.jpg', '1']
    """
    from facelab.core.files import write_text

    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 5)
    if not np.isfinite(boxes).all():
        raise BadInputError(
            "predictions must be finite",
            where=f"{event}/{image}",
            fix="leave out boxes with NaN or infinite numbers",
        )
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    rows = "".join(" ".join(repr(float(v)) for v in row) + "\n" for row in boxes)
    return write_text(Path(folder) / event / f"{image}.txt", f"{image}.jpg\n{len(boxes)}\n{rows}")
