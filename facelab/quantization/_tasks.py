"""A variant at the task of its network: a detector against labels, an embedder on pairs, beside the float model."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facelab import detection, embedding
from facelab.core.errors import BadInputError
from facelab.embedding import internals as embedding_internals
from facelab.preprocess import PreprocessSpec
from facelab.quantization import measure
from facelab.zoo.runtimes import Model, open_model


class FloatEnds(Model):
    """A variant behind float inputs and outputs: a detector or an embedder uses it like the float model."""

    runtime = "quantised"

    def __init__(self, path: Path, spec: PreprocessSpec):
        self._model = open_model(path, threads=1, made_here=True)
        self._spec = measure.with_quantize(spec, self._model)
        ends = [
            [dataclasses.replace(t, dtype="float32") for t in side]
            for side in (self._model.inputs, self._model.outputs)
        ]
        super().__init__(path, self._model, *ends, threads=1)

    def _compute(self, feed: dict[str, np.ndarray]) -> Sequence[np.ndarray]:
        batch = next(iter(feed.values()))
        return measure.float_outputs(self._model, measure.to_input(batch, self._spec))


@dataclasses.dataclass(frozen=True)
class Marked:
    """Labelled images for a detector: the folder of images and the file of labels."""

    detector: detection.NeuralDetector
    images: str
    labels: str

    def figures(self, path: Path | None, seed: int) -> dict[str, Any]:
        """Return exact counts; with labelled boxes recall, precision, AP. `path` None is the float model."""
        detector = self.detector
        if path is not None:
            detector = copy.copy(detector)
            detector.session = FloatEnds(path, detector.spec)
        found = detection.evaluate(
            detector, self.images, self.labels, seed=seed, replicates=200, only_labelled=True
        )
        keep = ("images", "faces", "exact_count", "recall", "precision", "ap", "ap_lo", "ap_hi")
        return {k: v for k, v in (found.labels or {}).items() if k in keep}

    @staticmethod
    def ratios(got: dict[str, Any], base: dict[str, Any]) -> dict[str, float]:
        """Return the shares of the float model's figures that the verdict looks at."""
        share = {"counts_ratio": _share(got["exact_count"], base["exact_count"])}
        return share | ({"ap_ratio": _share(got["ap"], base["ap"])} if base.get("ap") else {})


@dataclasses.dataclass(frozen=True)
class Paired:
    """Pairs of photographs for an embedder; faces are found once and embedded by every variant."""

    embedder: embedding.NeuralEmbedder
    pairs: embedding.PairList
    faces: embedding_internals.Faces

    def figures(self, path: Path | None, seed: int) -> dict[str, Any]:
        """Return accuracy and the TAR at the lowest FAR that the pairs support (`path` None: the float model)."""
        from facelab.metrics.verification_report import evaluate

        embedder = self.embedder
        if path is not None:
            embedder = copy.copy(embedder)
            embedder.model = FloatEnds(path, embedder.spec)
        distance = embedding.pair_distances(
            embedder, embedding.embed_faces(embedder, self.faces), self.pairs
        )
        p = self.pairs
        value = evaluate(distance, p.same, p.first, p.second, fars=(), replicates=200, seed=seed)
        known = {float(k): v for k, v in value["tar_at_far"].items() if v["tar"] is not None}
        if not known:
            raise BadInputError(
                "the pairs are too few for any false accept rate",
                where=f"{len(p)} pairs",
                expected="about 100 pairs of different people or more",
                got=int((~p.same).sum()),
                fix="give more pairs, or leave --pairs out",
            )
        far = min(known)
        return {
            "pairs": len(p),
            "far": far,
            "tar": known[far]["tar"],
            "tar_lo": known[far]["lo"],
            "tar_hi": known[far]["hi"],
            "failed": len(self.faces.failures),
        }

    @staticmethod
    def ratios(got: dict[str, Any], base: dict[str, Any]) -> dict[str, float]:
        """Return the shares of the float model's figures that the verdict looks at."""
        return {"tar_ratio": _share(got["tar"], base["tar"])}


def _share(got: float, base: float) -> float:
    return got / base if base else 1.0


def paired(model: Path, spec: PreprocessSpec, pairs: str, images: str | None, crop: str) -> Paired:
    """Read the pairs and find the faces that every variant will embed. Raises BadInputError."""
    from facelab.emotion.internals import detector_name

    listed = embedding.read_pairs(pairs)
    files = embedding_internals.locate(listed, images or Path(pairs).parent)
    finder = (
        embedding.default_detector(1)
        if crop == "detect"
        else detection.load(detector_name(crop), threads=1)
    )
    embedder = embedding.load(model, spec=spec, threads=1)
    if not isinstance(embedder, embedding.NeuralEmbedder):
        raise BadInputError(
            "pairs need an embedder of one network",
            where=model,
            fix="leave --pairs out, or name an embedder's own file",
        )
    return Paired(embedder, listed, embedding_internals.acquire(finder, files))
