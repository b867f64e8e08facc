"""The service's work: pipelines of stages over the models that were named at the start."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, MissingAssetError, did_you_mean
from facelab.detection import Detections, Detector
from facelab.embedding import Embedder
from facelab.serving._pipeline import Pipeline, PipelineStage
from facelab.serving._pipeline_face import RenderedFrame
from facelab.serving.canary._canary import Canary
from facelab.serving.releases._release import Release
from facelab.serving.releases._slot import ModelSlot
from facelab.serving.service._limits import Limits, checked_image


@dataclass(frozen=True)
class Work:
    """What travels from stage to stage of a request."""

    image: np.ndarray
    found: Detections | None = None
    embeddings: np.ndarray | None = None


class FaceTasks:
    """The pipelines of one worker. Detectors and embedders belong to it alone; the emotion slot is shared.

    Parameters
    ----------
    detectors, embedders : mapping of str to model
        By the names that requests may use; the first one is the default.
    emotion : ModelSlot or Canary, optional
        What classifies; it swaps while requests run.
    """

    def __init__(
        self,
        detectors: Mapping[str, Detector],
        embedders: Mapping[str, Embedder],
        emotion: ModelSlot | Canary | None = None,
    ) -> None:
        self.detectors, self.embedders, self.emotion_of = dict(detectors), dict(embedders), emotion

    def answer(
        self, task: str, files: Sequence[bytes], limits: Limits, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Answer a task for image files, each looked at before it is decoded."""
        return getattr(self, task)(*(checked_image(data, limits) for data in files), **options)

    def pipeline(self, task: str, model: str | None = None) -> Pipeline:
        """Return the pipeline of `detect` or `embed`; a notebook can run it on frames."""
        if task == "detect":
            return Pipeline([_frame(), _detect(_named(self.detectors, model, "detector"))])
        detector = _named(self.detectors, None, "detector")
        embedder = _named(self.embedders, model, "embedder")
        return Pipeline([_frame(), _detect(detector), _embed(embedder)])

    def detect(self, image: np.ndarray, *, model: str | None = None) -> dict[str, Any]:
        """Return the faces of an RGB image."""
        work, times = _once(self.pipeline("detect", model), image)
        return {**_found(work).to_dict(), "seconds": times}

    def embed(self, image: np.ndarray, *, model: str | None = None) -> dict[str, Any]:
        """Return the faces of an RGB image with their embeddings."""
        work, times = _once(self.pipeline("embed", model), image)
        return {**_with_embeddings(work), "seconds": times}

    def verify(
        self,
        first: np.ndarray,
        second: np.ndarray,
        *,
        model: str | None = None,
        threshold: float | None = None,
    ) -> dict[str, Any]:
        """Compare the best face of two RGB images. `same` is null where nobody stated a threshold."""
        pipeline, sides = self.pipeline("embed", model), []
        for name, image in (("first", first), ("second", second)):
            work, _ = _once(pipeline, image)
            if work.embeddings is None or not len(work.embeddings):
                raise BadInputError(
                    "there is no face to compare",
                    where=name,
                    got="0 faces",
                    fix="send an image with one clear face",
                )
            sides.append(work.embeddings[0])
        metric = _named(self.embedders, model, "embedder").metric
        a, b = sides
        distance = float(1 - a @ b) if metric == "cosine" else float(np.linalg.norm(a - b))
        same = None if threshold is None else distance <= threshold
        return {"distance": distance, "metric": metric, "threshold": threshold, "same": same}

    def emotion(self, image: np.ndarray, *, unit: str = "") -> dict[str, Any]:
        """Return the faces of an RGB image with a probability for each emotion, all by one release."""
        if self.emotion_of is None:
            raise MissingAssetError(
                "this service has no emotion classifier",
                fix="start it with --emotion BUNDLE",
            )
        work, times = _once(self.pipeline("detect"), image)
        return self.emotions_of(image, _found(work), times, unit)

    def emotions_of(
        self, image: np.ndarray, found: Detections, times: dict[str, float], unit: str
    ) -> dict[str, Any]:
        """Return what `emotion` does, for faces that were found already."""
        started = time.perf_counter()
        answer, version = self._classified(image, found, unit)
        times["emotion"] = time.perf_counter() - started
        return {**answer, "version": version, "seconds": times}

    def _classified(self, image: np.ndarray, found: Detections, unit: str) -> tuple[dict, str]:
        work: Callable[[Release], dict] = lambda release: _emotions(release, image, found)  # noqa: E731
        if isinstance(self.emotion_of, Canary):
            answer = self.emotion_of.ask(unit, work)
            return answer.value, answer.version
        assert self.emotion_of is not None
        with self.emotion_of.lease() as release:
            return work(release), "stable"


def same_emotions(a: dict, b: dict) -> bool:
    """Return whether two answers name one emotion for each face: the service's rule of agreement.

    Parameters
    ----------
    a : dict
        One release's answer.
    b : dict
        The other release's answer.

    Returns
    -------
    bool
        Whether two answers name one emotion for each face.
    """
    return [f["emotion"] for f in a["faces"]] == [f["emotion"] for f in b["faces"]]


def _named(models: Mapping[str, Any], name: str | None, kind: str) -> Any:
    if not models:
        raise MissingAssetError(f"this service has no {kind}", fix=f"start it with --{kind} NAME")
    if name is None:
        return next(iter(models.values()))
    if name not in models:
        raise MissingAssetError(
            f"this service has no such {kind}{did_you_mean(name[:100], models)}",
            expected=", ".join(models),
            got=repr(name[:100]),
            fix="choose one of those that are loaded",
        )
    return models[name]


def _frame() -> PipelineStage:
    return PipelineStage("frame image", lambda frame: Work(frame.image()))


def _detect(detector: Detector) -> PipelineStage:
    return PipelineStage("detect", lambda w: replace(w, found=detector.detect(w.image)))


def _embed(embedder: Embedder) -> PipelineStage:
    def run(w: Work) -> Work:
        found = _found(w)
        none = np.zeros((0, embedder.dim), np.float32)
        rows = embedder.embed_detections(w.image, found) if len(found) else none
        return replace(w, embeddings=rows)

    return PipelineStage("embed", run)


def _once(pipeline: Pipeline, image: np.ndarray) -> tuple[Work, dict[str, float]]:
    """Run one image through a pipeline's stages and time each; a tracer per request would cost milliseconds."""
    value: Any = RenderedFrame(image, 0)
    seconds = {}
    for stage in pipeline.stages:
        started = time.perf_counter()
        value = stage.run(value)
        seconds[stage.name] = time.perf_counter() - started
    del seconds["frame image"]
    return value, seconds


def _found(work: Work) -> Detections:
    assert work.found is not None
    return work.found


def _with_embeddings(work: Work) -> dict[str, Any]:
    out = _found(work).to_dict()
    rows = work.embeddings if work.embeddings is not None else ()
    for face, row in zip(out["faces"], rows, strict=True):
        face["embedding"] = row.tolist()
    return out


def _emotions(release: Release, image: np.ndarray, found: Detections) -> dict[str, Any]:
    classifier = release.task
    rows = classifier.classify(image, found.boxes) if len(found) else ()
    faces = []
    for face, row in zip(found.to_dict()["faces"], rows, strict=True):
        shares = {c: float(v) for c, v in zip(classifier.classes, row)}
        faces.append(
            {**face, "emotion": max(shares, key=shares.__getitem__), "probabilities": shares}
        )
    return {"faces": faces, "release": release.hash}
