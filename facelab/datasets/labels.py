"""Emotion names: one declared table from what data sets call them to what facelab calls them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from facelab.core.errors import BadInputError, did_you_mean

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

    Classes that are none of the seven emotions (drowsy, contempt) are labels of their own.

    >>> t = table_for(THREE)
    >>> t["happy"], t["sad"] == DROP
    ('joy', True)
    >>> table_for(["drowsy", "alert"])["drowsy"]
    'drowsy'
    """
    classes = tuple(classes)
    known = {name: c if c in classes else DROP for name, c in table.items()}
    return known | {plain(c): c for c in classes if c not in SEVEN}


def own_classes(classes: Iterable[str]) -> tuple[str, ...]:
    """Return the classes that are none of the seven emotions.

    >>> own_classes(["joy", "drowsy"])
    ('drowsy',)
    """
    return tuple(c for c in classes if c not in SEVEN)


def plain(name: str) -> str:
    """Return a label as the tables spell it: lower case, with underscores for blanks and hyphens."""
    return str(name).strip().lower().replace(" ", "_").replace("-", "_")


def map_label(name: str, table: Mapping[str, str], *, where: object) -> str:
    """Return the emotion that `table` gives for a data set's label (`DROP` for one left out on purpose).

    Case, blanks and hyphens do not count. Raises BadInputError naming `where` for a label the table does not know.

    >>> map_label("Happy", NAMES, where="row 3")
    'joy'
    """
    key = plain(name)
    if key not in table:
        raise BadInputError(
            f"the label {name!r} is not in the table{did_you_mean(key, table)}",
            where=where,
            expected=", ".join(sorted(table)),
            got=name,
            fix=f"correct the label, say what it means with --label-map {name}=CLASS (an empty CLASS drops it), or "
            "take the labels as classes with --classes labels",
        )
    return table[key]
