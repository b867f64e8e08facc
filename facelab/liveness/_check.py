"""Decide over a stream of frame pairs: is what stands before the camera live?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from facelab.camera import Frame, Pairer, pair_frames
from facelab.camera.internals import FramePair
from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.detection import Detector
from facelab.embedding.internals import find_face
from facelab.liveness._base import LivenessModel
from facelab.liveness._presentation import Look, Presentation, look_of


@dataclass(frozen=True)
class Check(Result):
    """What a model said of each pair of a stream.

    Attributes
    ----------
    model : str
        The model's name.
    threshold : float
        "Live" is score >= threshold.
    answers : list of dict
        Per pair: `sequence`, `time_s`, `skew_s` (None for colour alone), `score` (None without an answer), `live`,
        `reason`.
    live, attack, no_answer : int
        Pairs.
    verdict : str
        `live` if more than half of all pairs are, `attack` if not, `unknown` without an answered pair.
    """

    model: str
    threshold: float
    answers: list[dict[str, Any]]
    live: int
    attack: int
    no_answer: int
    verdict: str

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per pair."""
        return self.answers


def check_frames(
    model: LivenessModel,
    frames: Iterable[Frame],
    detector: Detector,
    *,
    pairs: int = 20,
    threshold: float | None = None,
    pairer: Pairer | None = None,
) -> Check:
    """Pair the frames of a source, find the face of each pair, and score it.

    Parameters
    ----------
    model : LivenessModel
        From `load`. One that needs two looks sees the first pair with a face beside the present one.
    frames : iterable of Frame
        A source with the streams `colour` and `depth`, such as a `RenderedSensor`. A source that says in `streams` that
        it has no depth will do for a model that needs none.
    detector : Detector
        Finds the face, by the colours alone.
    pairs : int
        How many pairs to look at.
    threshold : float, optional
        Instead of the model's own.
    pairer : Pairer, optional
        By default a new one.

    Returns
    -------
    Check
        Pairs without a face have no answer, and count against "live".

    Raises
    ------
    BadInputError
        `pairs` is below 1, no pair could be made, or the model needs depth and the source has none.
    """
    if pairs < 1:
        raise BadInputError(
            "a check needs a pair", expected="pairs >= 1", got=pairs, fix="ask for more"
        )
    limit = model.threshold if threshold is None else threshold
    answers: list[dict[str, Any]] = []
    first: Look | None = None
    for shown in _shown(model, frames, pairer or Pairer()):
        colour = shown.colour if isinstance(shown, FramePair) else shown
        look, reason = _seen(shown, detector)
        row: dict[str, Any] = {
            "sequence": colour.sequence,
            "time_s": colour.time_s,
            "skew_s": shown.skew_s if isinstance(shown, FramePair) else None,
        }
        colour.release()
        if isinstance(shown, FramePair):
            shown.depth.release()
        if look is not None:
            looks = (look,) if first is None else (first, look)
            first = first or look
            answer = model.score(Presentation(looks))
            reason = answer.reason
            score = answer.score if answer.answered else None
        else:
            score = None
        live = score is not None and score >= limit
        answers.append({**row, "score": score, "live": live, "reason": reason})
        if len(answers) == pairs:
            break
    return _verdict(model.name, float(limit), answers)


def _shown(
    model: LivenessModel, frames: Iterable[Frame], pairer: Pairer
) -> Iterator[FramePair | Frame]:
    """Yield pairs, or single frames where the source has colour alone and the model needs no more."""
    streams = getattr(frames, "streams", ("colour", "depth"))
    if "depth" in streams:
        yield from pair_frames(frames, pairer)
        return
    if "depth" in model.needs:
        raise BadInputError(
            "the model needs depth, and the source has none",
            where=model.name,
            expected="a source with the streams colour and depth",
            got=", ".join(streams),
            fix="use an RGB-D source, or a network such as --model minifasnet-v2",
        )
    yield from frames


def _seen(shown: FramePair | Frame, detector: Detector) -> tuple[Look | None, str]:
    colour = shown.colour if isinstance(shown, FramePair) else shown
    picture = colour.image("RGB")
    found = find_face(detector, picture)
    if found is None:
        return None, "no face is found"
    landmarks = None if found.landmarks is None else found.landmarks[0]
    if isinstance(shown, FramePair):
        return look_of(shown, found.boxes[0], landmarks), ""
    return Look(picture.copy(), found.boxes[0], landmarks), ""


def _verdict(name: str, limit: float, answers: list[dict[str, Any]]) -> Check:
    if not answers:
        raise BadInputError(
            "the source gave no pair of colour and depth",
            expected="streams colour and depth whose frames are near in time",
            got="no pair",
            fix="use an RGB-D source, or look at `facelab camera probe`",
        )
    live = sum(a["live"] for a in answers)
    silent = sum(a["score"] is None for a in answers)
    verdict = (
        "unknown" if silent == len(answers) else "live" if 2 * live > len(answers) else "attack"
    )
    return Check(name, limit, answers, live, len(answers) - live - silent, silent, verdict)
