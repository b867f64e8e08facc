"""Rendered presentations: each person live and by every attack, before the same kind of sensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.datasets import synthetic
from facelab.liveness._presentation import Look, Presentation

_PLACE = {"live": 0, "print_flat": 1, "print_bent": 3, "screen": 5}
ATTACKS = {
    "print_flat": "a printed photograph, flat, tilted by the hand that holds it",
    "print_bent": "the same, bent around an upright axis",
    "screen": "a video of the person on a screen",
    "mask": "a printed mask with half to all of the relief of a face",
}
SPLITS = ("train", "train", "validation", "test")
"""Whose people take turns."""


def rendered(
    people: int,
    *,
    seed: int = 0,
    size: int = 128,
    kinds: Sequence[str] = ("live", *ATTACKS),
    looks: int = 1,
    turn_degrees: float = 12.0,
    landmark_noise: float = 0.01,
) -> list[Presentation]:
    """Render presentations: every person once per kind; half of the people train, a quarter each validate and test.

    Parameters
    ----------
    people : int
        How many.
    seed : int
        Of everything that is drawn.
    size : int
        Side of the pictures in pixels.
    kinds : sequence of str
        `live`, and keys of `ATTACKS`.
    looks : int
        1 or 2. In the second look the head has turned (on a screen: the head in the video; a mask: its wearer), and a
        print was turned as a whole.
    turn_degrees : float
        How far the head turns.
    landmark_noise : float
        Standard deviation of the landmarks, as a share of the box's width: a detector's are not exact.

    Returns
    -------
    list of Presentation
        With colour, sensed depth, box and landmarks.

    Raises
    ------
    BadInputError
        A kind is unknown, or a number is out of range.

    Examples
    --------
    >>> faces = rendered(1, kinds=("live", "screen"))
    >>> [face.kind for face in faces], faces[0].looks[0].depth.dtype
    (['live', 'screen'], dtype('uint16'))
    """
    for kind in kinds:
        if kind not in ("live", *ATTACKS):
            raise BadInputError(
                f"there is no kind {kind!r}{did_you_mean(kind, ['live', *ATTACKS])}",
                expected=", ".join(["live", *ATTACKS]),
                got=kind,
                fix="choose among these",
            )
    if people < 1 or looks not in (1, 2) or size < 32 or landmark_noise < 0:
        raise BadInputError(
            "such a set cannot be rendered",
            expected="people >= 1, looks 1 or 2, size >= 32, landmark_noise >= 0",
            got=f"{people} people, {looks} looks, size {size}, landmark noise {landmark_noise}",
            fix="give numbers in range",
        )
    turn = turn_degrees if looks == 2 else 0.0
    return [
        _presentation(seed, person, kind, size, turn, landmark_noise)
        for person in range(people)
        for kind in kinds
    ]


def _presentation(
    seed: int, person: int, kind: str, size: int, turn: float, noise: float
) -> Presentation:
    rng = np.random.default_rng([seed, person, sum(kind.encode())])
    index = 6 * person + _PLACE["live" if kind == "mask" else kind]
    identity = 10_000 * (seed % 10_000) + person
    plan = synthetic.recipe(seed, index, "liveness", size, identity=identity)
    # a head that faces the camera can turn to either side
    yaw = plan.yaw + (turn if plan.yaw < 0 else -turn)
    looks = [_look(seed, index, kind, size, identity, None, 0, rng, noise)]
    if turn and kind in ("live", "screen", "mask"):
        looks.append(_look(seed, index, kind, size, identity, yaw, 1, rng, noise))
    elif turn:
        looks.append(_turned(looks[0], rng, noise))
    name = f"person {person} {kind}"
    return Presentation(tuple(looks), kind, str(identity), SPLITS[person % len(SPLITS)], name)


def _look(
    seed: int,
    index: int,
    kind: str,
    size: int,
    identity: int,
    yaw: float | None,
    number: int,
    rng: np.random.Generator,
    noise: float,
) -> Look:
    factors: dict[str, Any] = {"identity": identity} | ({} if yaw is None else {"yaw": yaw})
    face = synthetic.sample(seed, index, "liveness", size, **factors)
    colour, depth = face.image, np.asarray(face.depth)
    if kind == "mask":
        colour, depth = _as_mask(colour, depth, np.random.default_rng([seed, index]))
    sensed = synthetic.sense_depth(depth, seed, index, number)
    return Look(colour, face.box, _shaken(face.landmarks, face.box, rng, noise), sensed)


def _shaken(
    landmarks: np.ndarray, box: np.ndarray, rng: np.random.Generator, noise: float
) -> np.ndarray:
    return landmarks + rng.normal(0, noise * (box[2] - box[0]), landmarks.shape)


def _as_mask(
    colour: np.ndarray, depth: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a face as a mask of it: less relief, and the grayer, dotted colours of a print."""
    head = depth < 900  # the wall begins at 900 mm
    y, x = np.nonzero(head)
    design = np.c_[x, y, np.ones(len(x))]
    plane, *_ = np.linalg.lstsq(design, depth[head], rcond=None)
    flat = design @ plane
    out = depth.copy()
    out[head] = flat + rng.uniform(0.5, 1.0) * (depth[head] - flat)
    shown = 0.06 * 255 + 0.86 * colour.astype(np.float64)
    gray = shown.mean(axis=2, keepdims=True)
    shown = gray + (shown - gray) * rng.uniform(0.6, 0.95)
    yy, xx = np.mgrid[0 : colour.shape[0], 0 : colour.shape[1]]
    dots = np.sin(xx * 2 * np.pi / 2.7) * np.sin(yy * 2 * np.pi / 2.7)
    shown *= 1 + 0.1 * rng.uniform(0.3, 1) * dots[..., None]
    printed = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
    return np.where(head[..., None], printed, colour), out


def _turned(look: Look, rng: np.random.Generator, noise: float) -> Look:
    """Return a look after the whole sheet was turned: colour, depth and landmarks by one perspective map."""
    import cv2

    h, w = look.colour.shape[:2]
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    lean = rng.uniform(0.04, 0.09) * rng.choice([-1, 1])
    moved = corners + np.array(
        [[0, lean * h], [0, -lean * h], [0, lean * h], [0, -lean * h]], np.float32
    )
    moved += rng.normal(0, 0.02 * w, 2).astype(np.float32)
    m = cv2.getPerspectiveTransform(corners, moved)
    edge = cv2.BORDER_REPLICATE
    colour = cv2.warpPerspective(look.colour, m, (w, h), flags=cv2.INTER_LINEAR, borderMode=edge)
    assert look.depth is not None and look.landmarks is not None
    depth = cv2.warpPerspective(look.depth, m, (w, h), flags=cv2.INTER_NEAREST, borderMode=edge)
    across = 0.3 * lean * (np.arange(w) - w / 2)
    slope = np.rint(depth + (depth > 0) * across).clip(0, 65535).astype(np.uint16)
    at = cv2.perspectiveTransform(look.landmarks[None].astype(np.float64), m.astype(np.float64))[0]
    x1, y1, x2, y2 = look.box
    edges = np.array([[[x1, y1], [x2, y1], [x2, y2], [x1, y2]]])
    outline = cv2.perspectiveTransform(edges, m.astype(np.float64))[0]
    box = np.concatenate([outline.min(axis=0), outline.max(axis=0)])
    return Look(np.asarray(colour), box, _shaken(at, box, rng, noise), slope)


def degraded_depth(
    data: Sequence[Presentation],
    *,
    noise_mm: float = 0.0,
    wave_mm: float = 0.0,
    step_mm: int = 1,
    seed: int = 0,
) -> list[Presentation]:
    """Return presentations as a coarser depth camera sees them.

    Parameters
    ----------
    data : sequence of Presentation
        Those without depth are returned as they are.
    noise_mm : float
        Standard deviation of noise that is added to every pixel, each for itself.
    wave_mm : float
        Standard deviation of an error that is smooth over an eighth of the picture, as that of stereo cameras is.
    step_mm : int
        Depth is rounded to multiples of this: 8 bits over 5 m are steps of 20 mm.
    seed : int
        Of the noise.

    Returns
    -------
    list of Presentation
        Colour, boxes and landmarks are shared.
    """
    rng = np.random.default_rng(seed)

    def coarse(look: Look) -> Look:
        if look.depth is None:
            return look
        d = look.depth + rng.normal(0, 1, look.depth.shape) * noise_mm
        d = d + wave_mm * _waves(look.depth.shape, rng)
        d = np.clip(np.rint(np.asarray(d) / step_mm) * step_mm, 0, 65535).astype(np.uint16)
        return replace(look, depth=np.where(look.depth == 0, 0, d).astype(np.uint16))

    return [replace(p, looks=tuple(coarse(look) for look in p.looks)) for p in data]


def _waves(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return a smooth field (h, w) of standard deviation 1."""
    import cv2

    h, w = shape
    field = cv2.resize(rng.normal(0, 1, (8, 8)), (w, h), interpolation=cv2.INTER_CUBIC)
    return field / max(1e-9, float(field.std()))
