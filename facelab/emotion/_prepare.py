"""From what a user names (synthetic, a folder, a CSV) to checked, disjoint parts: all before training starts."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, MissingAssetError, at, did_you_mean
from facelab.core.text_files import opened_table
from facelab.datasets.labels import NAMES, SEVEN, THREE, by_emotion, own_classes, plain
from facelab.emotion import sources
from facelab.emotion._data import PARTS, FaceSet, check_classes, check_disjoint, face_finder, split
from facelab.emotion.sources import Row
from facelab.preprocess import PreprocessSpec
from facelab.zoo.internals import data_folder

FRACTIONS = {"train": 0.74, "validation": 0.06, "calibration": 0.05, "test": 0.15}


@dataclass(frozen=True)
class Collected:
    """Labelled faces, the part that the data set itself puts each in (empty where it does not), and in words where
    they come from and what was decided on the way."""

    faces: FaceSet
    given: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """Disjoint parts train, validation, calibration and test; where they come from; what was decided on the way."""

    parts: dict[str, FaceSet]
    source: str
    notes: tuple[str, ...] = ()


def classes_of(text: str, data: str | None = None) -> tuple[str, ...]:
    """Return the classes for `3`, `7`, names separated by commas, or `labels`: the labels of `data` as they are.

    Names that facelab knows for an emotion become that emotion (`happy` is joy); any other is its own class.
    Raises BadInputError for fewer than two, and for a name that looks like a misspelt emotion.

    Parameters
    ----------
    text : str
        The text.
    data : str or None
        A folder, or the name of a data set.

    Returns
    -------
    tuple[str, ...]
        The classes for `3`, `7`, names separated by commas, or `labels`.

    Raises
    ------
    BadInputError
        A name is a misspelt emotion, fewer than two classes are named, or `labels` has no data.

    Examples
    --------
    >>> classes_of("3")
    ('anger', 'joy', 'neutral')
    >>> classes_of("happy,neutral"), classes_of("drowsy, alert")
    (('joy', 'neutral'), ('alert', 'drowsy'))
    """
    known = {"3": THREE, "7": SEVEN}
    if text.strip() in known:
        return known[text.strip()]
    if text.strip() == "labels":
        if data is None or data == "synthetic":
            raise BadInputError(
                "there are no labels to take classes from",
                expected="--data with a folder or a CSV",
                got=data or "no data",
                fix="name the classes",
            )
        return tuple(sorted(by_emotion(sources.labels_of(data))))
    given = [c.strip() for c in text.split(",") if c.strip()]
    classes = tuple(sorted({NAMES.get(plain(c)) or c for c in given}))
    for c in own_classes(classes):
        if close := get_close_matches(plain(c), SEVEN, n=1, cutoff=0.65):
            raise BadInputError(
                f"no emotion is called {c!r}{did_you_mean(c, SEVEN)}",
                expected=", ".join(SEVEN),
                got=c,
                fix=f"write {close[0]}, or choose a name that is less like it for a class of your own",
            )
    if len(classes) < 2:
        raise BadInputError(
            "a classifier needs two classes at least",
            expected=f"3, 7, labels, or names such as {', '.join(SEVEN)}",
            got=text,
            fix="name two classes or more",
        )
    return classes


def _refuse_own(classes: Sequence[str]) -> None:
    """Raise BadInputError for a class that synthetic faces cannot show."""
    if own := own_classes(classes):
        raise BadInputError(
            f"no emotion is called {own[0]!r}{did_you_mean(own[0], SEVEN)}",
            expected=", ".join(SEVEN),
            got=own[0],
            fix="synthetic faces show these only; give a folder or a CSV of your own classes",
        )


def collect(
    data: str,
    spec: PreprocessSpec,
    *,
    classes: Sequence[str] = THREE,
    n: int = 1200,
    seed: int = 7,
    workers: int = 2,
    crop: str = "detect",
    votes: str | os.PathLike[str] | None = None,
    to_train: bool = True,
    progress: bool = False,
    label_map: Mapping[str, str] | None = None,
) -> Collected:
    """Read every face that `data` names: `synthetic`, an image folder, a CSV of files, or `fer2013.csv`.

    `n` and `seed` choose the synthetic faces, whose crops are kept in `data/cache`. `crop`: where no boxes are given,
    `detect` takes the largest face that the preferred detector finds (the whole picture where it finds none), `whole`
    the picture as it is, any other word the detector of that name. `votes`: FER+'s file for FER2013. `label_map` says
    what labels of the data mean (label → class, or "" to drop it). What is left out is counted in the notes. Raises
    BadInputError naming file and line for whatever cannot be read and an unknown label, and where the faces are
    `to_train` on, for a class of `classes` with fewer than two.

    Parameters
    ----------
    data : str
        A folder, or the name of a data set.
    spec : PreprocessSpec
        The preprocessing to apply.
    classes : sequence of str
        The class names, in the order of the outputs.
    n : int
        Pictures that are drawn, where the data are synthetic.
    seed : int
        Seeds every random choice.
    workers : int
        Processes that share the work.
    crop : str
        How faces are cut out: detect, centre or none.
    votes : str or path or None
        FER+'s votes; None for the data's own labels.
    to_train : bool
        Whether the pictures are for training.
    progress : bool
        Whether a bar is shown.
    label_map : Mapping[str, str] or None
        Other names of the classes; None for the usual ones.

    Returns
    -------
    Collected
        The pictures, and what was left out.

    Raises
    ------
    BadInputError
        The data, the classes, the crop or the votes do not fit together.

    Examples
    --------
    >>> from facelab.emotion import emotion_spec
    >>> found = collect("data/test", emotion_spec(), crop="whole")
    >>> len(found.faces), found.faces.counts()
    (24, {'anger': 8, 'joy': 7, 'neutral': 9})
    """
    check_crop(crop)
    if votes and (data == "synthetic" or Path(data).is_dir() or not is_fer(Path(data))):
        raise BadInputError(
            "FER+'s votes are labels of FER2013",
            where=votes,
            expected="fer2013.csv as the data",
            got=data,
            fix="leave the votes out, or name fer2013.csv",
        )
    if data == "synthetic":
        _refuse_own(classes)
        cache = data_folder() / "cache"
        faces = sources.synthetic(
            n, seed, spec, classes=classes, workers=workers, cache=cache, progress=progress
        )
        return Collected(faces, ("",) * n, f"synthetic faces, n {n}, seed {seed}")
    path = Path(data)
    if path.is_dir() and (path / "labels.csv").is_file():  # what `facelab data synth` writes
        path = path / "labels.csv"
    table = _table(label_map or {}, classes, path)
    left_out: Counter = Counter()
    if path.is_dir():
        rows = sources.folder_rows(path, classes=classes, table=table, left_out=left_out)
        collected = _from_rows(rows, spec, classes, crop, path)
    elif is_fer(path):
        faces, given = sources.fer(path, spec, classes=classes, votes=votes)
        collected = Collected(
            faces, given, f"FER2013 from {path}" + (", labels by FER+" if votes else "")
        )
    else:
        rows = sources.csv_rows(path, classes=classes, table=table, left_out=left_out)
        collected = _from_rows(rows, spec, classes, crop, path)
    if left_out:
        told = ", ".join(f"{label} {n}" for label, n in sorted(left_out.items()))
        lost = f"{sum(left_out.values())} pictures of other labels are left out: {told}"
        collected = replace(collected, notes=(lost, *collected.notes))
    if to_train:
        check_classes(collected.faces, where=path)
    return collected


def _table(label_map: Mapping[str, str], classes: Sequence[str], where: Path) -> dict[str, str]:
    """Return the table of labels with what the user says of theirs."""
    wrong = [c for c in label_map.values() if c and c not in classes]
    if wrong:
        raise BadInputError(
            f"the label map names {wrong[0]!r}{did_you_mean(wrong[0], classes)}",
            where=where,
            expected=", ".join(classes),
            got=wrong[0],
            fix="write LABEL=CLASS for a class that is trained",
        )
    return {**NAMES, **{plain(label): c for label, c in label_map.items()}}


def is_fer(path: Path) -> bool:
    """Return whether a CSV has FER2013's column of pixels.

    Parameters
    ----------
    path : path
        A CSV file.

    Returns
    -------
    bool
        Whether a CSV has FER2013's column of pixels.

    Raises
    ------
    MissingAssetError
        For no CSV.
    BadInputError
        For no CSV.
    """
    if not path.exists():
        raise MissingAssetError(
            "the data set is not there",
            where=path,
            expected="synthetic, an image folder, a CSV of files, or fer2013.csv",
            fix="check the path",
        )
    try:
        with opened_table(path) as rows:
            return "pixels" in [c.strip().lower() for c in rows.fieldnames or ()]
    except (OSError, ValueError, csv.Error) as e:
        raise BadInputError(
            "the file is not a CSV",
            where=path,
            got=str(e)[:120],
            expected="an image folder, a CSV of files, or fer2013.csv",
            fix="check --data",
        ) from None


def _from_rows(
    rows: list[Row], spec: PreprocessSpec, classes: Sequence[str], crop: str, path: Path
) -> Collected:
    notes = []
    named = sources.named_identities(rows)
    if named != rows:
        notes.append(
            f"identities are taken from {len({r.identity for r in named} - {''})} names of files"
        )
    finder, seen = (
        (None, None) if all(r.box for r in named) or crop == "whole" else face_finder(crop)
    )
    faces = sources.load_rows(named, spec, classes=classes, find_face=finder)
    if seen is not None:
        notes += seen.said()
    return Collected(faces, tuple(r.part for r in named), f"{path}", tuple(notes))


def check_crop(crop: str) -> None:
    """Raise BadInputError unless `crop` is detect, whole or a detector, whether or not a picture will need it.

    Parameters
    ----------
    crop : str
        How faces are cut out: detect, centre or none.
    """
    from facelab.zoo.families import entry_named

    if crop not in ("detect", "whole"):
        with at("crop"):
            entry_named(crop, "detector")


def prepare(
    collected: Collected, *, seed: int, fractions: dict[str, float] | None = None
) -> Prepared:
    """Return four disjoint parts of `collected`: the data set's own where it has them, else by identity and seed.

    Where the data set has parts, an image or identity that is in two of them stays in the more protected one
    (test, validation, calibration, train).

    Parameters
    ----------
    collected : Collected
        What `collect` found.
    seed : int
        Seeds every random choice.
    fractions : dict[str, float] or None
        The share of each part; None for the usual ones.

    Returns
    -------
    Prepared
        Four disjoint parts of `collected`.

    Raises
    ------
    BadInputError
        For a part that comes out empty or lacks a class.
    """
    fractions, notes = fractions or FRACTIONS, list(collected.notes)
    if "test" in collected.given and "train" in collected.given:
        parts, moved = _given(collected, seed, fractions)
        notes.append(
            "parts as the data set gives them"
            + (f", less {moved} faces that are in two" if moved else "")
        )
    else:
        parts = split(collected.faces, fractions, seed=seed)
    for name in PARTS:
        if not len(parts[name]):
            raise BadInputError(
                f"the part '{name}' comes out empty",
                where=collected.source,
                expected="faces of four identities or more",
                got=f"{len(collected.faces)} faces",
                fix="add faces",
            )
    check_classes(parts["train"], where=f"{collected.source}, part train")
    check_disjoint(parts)
    return Prepared(parts, collected.source, tuple(notes))


def _given(collected: Collected, seed: int, fractions: Any) -> tuple[dict[str, FaceSet], int]:
    """Take the parts as given, drop from the less protected what a more protected one shows, cut the missing ones."""
    faces, hashes = collected.faces, collected.faces.hashes()
    taken: set[str] = set()
    parts: dict[str, FaceSet] = {}
    left = 0
    for name in ("test", "validation", "calibration", "train"):
        mine = [i for i, part in enumerate(collected.given) if (part or "train") == name]
        keys = {
            i: {hashes[i], *([f"who {faces.identities[i]}"] if faces.identities[i] else [])}
            for i in mine
        }
        kept = [i for i in mine if not keys[i] & taken]
        left += len(mine) - len(kept)
        taken.update(*keys.values())
        parts[name] = faces.take(kept)
    missing = {
        name: fractions[name] for name in ("validation", "calibration") if not len(parts[name])
    }
    if missing and len(parts["train"]):
        cut = split(parts["train"], {"train": 1 - sum(missing.values()), **missing}, seed=seed)
        parts.update(cut)
    return {name: parts[name] for name in PARTS}, left
