"""Emotion names: one declared table from what data sets call them to what facelab calls them."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.files import read_input

SEVEN = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
THREE = ("anger", "joy", "neutral")
DROP = ""
"""A table's value for labels that are known and left out on purpose."""

NAMES: Mapping[str, str] = {
    "anger": "anger",
    "angry": "anger",
    "disgust": "disgust",
    "disgusted": "disgust",
    "fear": "fear",
    "fearful": "fear",
    "scared": "fear",
    "joy": "joy",
    "happy": "joy",
    "happiness": "joy",
    "neutral": "neutral",
    "calm": "neutral",
    "sadness": "sadness",
    "sad": "sadness",
    "surprise": "surprise",
    "surprised": "surprise",
    "contempt": DROP,
    "unknown": DROP,
    "nf": DROP,
    "not_a_face": DROP,
}
"""The default table: FER2013's, FER+'s, RAF-DB's, AffectNet's and common folder names. FER+'s contempt has no place
among the seven, so it is dropped rather than guessed."""


def table_for(classes: Iterable[str], table: Mapping[str, str] = NAMES) -> dict[str, str]:
    """Return `table` narrowed to `classes`: known labels of other classes are dropped.

    Classes that are none of the seven emotions (drowsy, contempt) are their own labels.

    >>> t = table_for(THREE)
    >>> t["happy"], t["sad"] == DROP
    ('joy', True)
    >>> table_for(["drowsy", "alert"])["drowsy"]
    'drowsy'
    """
    classes = tuple(classes)
    known = {name: c if c in classes else DROP for name, c in table.items()}
    return known | {plain(c): c for c in classes if c not in SEVEN}


def by_emotion(
    labels: Sequence[str], label_map: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return facelab's name of each label of a model or a data set; what is none of the seven emotions keeps its own.

    Labels that would become one name (calm and neutral are two classes of their owner) keep theirs, but for those that
    `label_map` names.

    >>> by_emotion(["angry", "Happy", "contempt"]), by_emotion(["calm", "neutral", "sad"])
    (('anger', 'joy', 'contempt'), ('calm', 'neutral', 'sadness'))
    """
    said = label_map or {}
    names = [said.get(c) or NAMES.get(plain(c)) or c for c in labels]
    count = Counter(names)
    return tuple(
        name if count[name] == 1 or label in said else label
        for name, label in zip(names, labels, strict=True)
    )


def own_classes(classes: Iterable[str]) -> tuple[str, ...]:
    """Return the classes that are none of the seven emotions.

    >>> own_classes(["joy", "drowsy"])
    ('drowsy',)
    """
    return tuple(c for c in classes if c not in SEVEN)


def plain(name: str) -> str:
    """Return a label as the tables spell it: lower case, composed, with underscores for blanks and hyphens.

    >>> plain("Very-Angry"), plain("Mu\u0308de") == plain("M\u00fcde")
    ('very_angry', True)
    """
    composed = unicodedata.normalize("NFC", str(name))
    return composed.strip().lower().replace(" ", "_").replace("-", "_")


MOST = 16 << 20
"""Bytes of the largest file of class names that is read."""


def read_class_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the classes of a `labels.txt`, in the order of a model's outputs: one name per line.

    A file of one line holds names with commas or, without a comma, blanks between them.

    Parameters
    ----------
    path : path
        The file: UTF-8, with or without a byte-order mark.

    Raises
    ------
    BadInputError
        The file is not UTF-8 text, or names nothing.
    """
    try:
        text = read_input(path, max_bytes=MOST).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise BadInputError(
            "the names of the classes cannot be read",
            where=path,
            expected="UTF-8 text, one class per line",
            got=getattr(e, "strerror", None) or str(e)[:120],
            fix="save the file as UTF-8",
        ) from None
    lines = [line.strip() for line in text.split("\n")]
    names = [line for line in lines if line]
    if len(names) == 1:
        names = [n.strip() for n in (names[0].split(",") if "," in names[0] else names[0].split())]
    if not names:
        raise BadInputError(
            "the file names no class",
            where=path,
            expected="one class per line, in the order of the model's outputs",
            got="nothing",
            fix="correct the file",
        )
    return tuple(names)


class UnknownLabelError(BadInputError):
    """A label that no table knows; `got` is the label."""


def map_label(name: str, table: Mapping[str, str], *, where: object) -> str:
    """Return the emotion that `table` gives for a data set's label (`DROP` for one left out on purpose).

    Case, blanks and hyphens do not count. Raises UnknownLabelError naming `where` for a label the table does not know.

    >>> map_label("Happy", NAMES, where="row 3")
    'joy'
    """
    key = plain(name)
    if key not in table:
        raise UnknownLabelError(
            f"the label {name!r} is not in the table{did_you_mean(key, table)}",
            where=where,
            expected=", ".join(sorted(table)),
            got=name,
            fix=f"correct the label, say what it means with --label-map {name}=CLASS (an empty CLASS drops it), or, in "
            "training, take the labels as classes with --classes labels",
        )
    return table[key]
