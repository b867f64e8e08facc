"""The plan of each set of single faces: who is shown at an index, doing what, in which split or fold.

Every index can be planned alone. Identities are numbered so that no two sets and no two seeds share one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, TypedDict

from facelab.core.errors import BadInputError, did_you_mean
from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.appearance._light import side_light
from facelab.datasets.synthetic.geometry._expression import EMOTIONS, THREE_CLASSES
from facelab.datasets.synthetic.geometry._identity import blend, draw_identity
from facelab.datasets.synthetic.tasks._recipe import Recipe, Spread, change, draw_recipe

IMAGE_SETS = ("emotion", "verification", "liveness")
SETS = (*IMAGE_SETS, "detection")
SPLITS = ("train", "validation", "test")
MOST = 250_000_000  # identities a set may have under one seed

# 14 train, 3 validation, 3 test of every 20 identities, mixed so that short sets have all three
_SLOTS = tuple(
    {3: "validation", 11: "validation", 18: "validation", 6: "test", 15: "test", 19: "test"}.get(
        k, "train"
    )
    for k in range(20)
)
FOLDS = 10
HARD_FACTORS = (
    "pose",
    "light",
    "expression",
    "occlusion",
    "sunglasses",
    "blur",
    "resolution",
    "noise",
    "age",
    "lookalike",
)


def split_of(place: int) -> str:
    """Return train, validation or test for the `place`-th identity (or scene) of a set."""
    return _SLOTS[place % len(_SLOTS)]


def check_set(name: str, known: tuple[str, ...] = SETS) -> str:
    """Return the set's name, or raise BadInputError."""
    if name not in known:
        raise BadInputError(
            "there is no such set",
            expected=", ".join(known),
            got=repr(name),
            fix="use one of the names" + did_you_mean(name, known),
        )
    return name


def check_number(what: str, value: int, low: int = 0) -> int:
    """Return a whole number of at least `low`, or raise BadInputError naming what it is."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < low:
        raise BadInputError(
            f"the {what} is not a whole number",
            expected=f">= {low}",
            got=repr(value),
            fix="give a whole number within these limits",
        )
    return int(value)


def identity_number(seed: int, name: str, place: int) -> int:
    """Return the number of the `place`-th identity of a set under a seed."""
    if place >= MOST:
        raise BadInputError(
            "the set is too large",
            expected=f"fewer than {MOST} identities",
            got=place,
            fix="use another seed for the rest",
        )
    return (seed * len(SETS) + SETS.index(name)) * MOST + place


def classes_of(classes: int | tuple[str, ...]) -> tuple[str, ...]:
    """Return emotion names for 3 or 7 or for given names. Raises BadInputError for others."""
    if classes in (3, 7):
        return THREE_CLASSES if classes == 3 else EMOTIONS
    if isinstance(classes, (tuple, list)) and classes and set(classes) <= set(EMOTIONS):
        return tuple(classes)
    raise BadInputError(
        "the classes are not known",
        expected="3, 7 or names of " + ", ".join(EMOTIONS),
        got=repr(classes),
        fix="use 3, 7 or a list of these names",
    )


def emotion_recipe(seed: int, index: int, size: int, classes: tuple[str, ...] = EMOTIONS) -> Recipe:
    """Plan one picture of the set `emotion`: 20 identities at a time, each showing every class once."""
    group, within = divmod(index, 20 * len(classes))
    turn, slot = divmod(within, 20)
    person = draw_identity(identity_number(seed, "emotion", group * 20 + slot))
    return draw_recipe(
        (seed, "emotion", index),
        person,
        classes[(turn + slot) % len(classes)],
        size,
        Spread(),
        split_of(slot),
    )


# ---------------------------------------------------------------- verification
_BASE, _HARD = (
    40,
    22,
)  # a block: 20 identities twice, then two identities with one anchor and ten variants each


class Place(TypedDict):
    """Where an index of the set `verification` stands; `factor` is empty for a base picture."""

    kind: Literal["base", "hard"]
    fold: int
    identity: int
    factor: str


def verification_place(index: int) -> Place:
    """Return where an index stands: `kind` base or hard, `fold` 0 … 9, `identity` place, `factor` for hard ones.

    A block of 62 is 40 base pictures (20 identities, two a fold, shown twice) and 22 hard ones (two identities: an
    anchor, then each hard factor). Two blocks in turn show the same 20 base identities, so that each has four base
    pictures; the k-th identity of a block belongs to fold k modulo 10.
    """
    block, within = divmod(index, _BASE + _HARD)
    if within < _BASE:
        slot = within % 20
        return {
            "kind": "base",
            "fold": slot % FOLDS,
            "identity": (block // 2) * 22 + slot,
            "factor": "",
        }
    person, step = divmod(within - _BASE, 1 + len(HARD_FACTORS))
    factor = "anchor" if step == 0 else HARD_FACTORS[step - 1]
    # hard identities live in the upper half of the set's numbers
    return {
        "kind": "hard",
        "fold": block % FOLDS,
        "identity": MOST // 2 + block * 2 + person,
        "factor": factor,
    }


def verification_recipe(seed: int, index: int, size: int) -> Recipe:
    """Plan one picture of the set `verification`; all of it is for testing, split into folds instead."""
    place = verification_place(index)
    number = identity_number(seed, "verification", place["identity"])
    name = (seed, "verification", index)
    tags = {"fold": place["fold"], "factor": place["factor"]}
    if place["kind"] == "base":
        emotion = Stream(*name, "emotion").choice(EMOTIONS + ("neutral",) * 3)
        recipe = draw_recipe(
            name,
            draw_identity(number),
            emotion,
            size,
            Spread(yaw=12, pitch=6, roll=5, faults=0.8, occluded=0.0, intensity=(0.2, 0.8)),
            "test",
        )
        return dataclasses.replace(recipe, tags=tags)
    anchor = draw_recipe(
        (seed, "verification", "anchor", place["identity"]),
        draw_identity(number),
        "neutral",
        size,
        Spread(yaw=2, pitch=2, roll=1, faults=0.2, occluded=0.0),
        "test",
    )
    return dataclasses.replace(
        _HARD_CHANGES[place["factor"]](anchor, Stream(*name, "hard")), tags=tags
    )


def _aged(recipe: Recipe, r: Stream) -> Recipe:
    person = recipe.person
    return change(
        recipe, age=min(1.0, person.age + 0.6) if person.age < 0.5 else max(0.0, person.age - 0.6)
    )


def _lookalike(recipe: Recipe, r: Stream) -> Recipe:
    other = draw_identity(recipe.person.number + MOST // 4)
    return change(
        recipe, person=dataclasses.replace(blend(recipe.person, other, 0.65), number=other.number)
    )


_HARD_CHANGES: dict[str, Callable[[Recipe, Stream], Recipe]] = {
    "anchor": lambda recipe, r: recipe,
    "pose": lambda recipe, r: change(recipe, yaw=r.choice((-1, 1)) * r.uniform(40, 55)),
    "light": lambda recipe, r: change(
        recipe, light=side_light(r.choice((-1, 1)) * r.uniform(75, 95))
    ),
    "expression": lambda recipe, r: change(
        recipe, emotion=r.choice(("surprise", "joy", "disgust", "anger")), intensity=1.0
    ),
    "occlusion": lambda recipe, r: change(recipe, mask=True),
    "sunglasses": lambda recipe, r: change(recipe, eyewear="sun"),
    "blur": lambda recipe, r: change(
        recipe, shake=r.uniform(0.04, 0.06) * 160, shake_angle=r.uniform(0, 180)
    ),
    "resolution": lambda recipe, r: change(recipe, resolution=r.integer(24, 33)),
    "noise": lambda recipe, r: change(
        recipe, sensor_noise=r.uniform(22, 30), jpeg=r.integer(8, 16)
    ),
    "age": _aged,
    "lookalike": _lookalike,
}
