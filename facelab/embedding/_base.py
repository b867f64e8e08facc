"""What every embedder gives and takes; and the embedders that are one network behind a preprocessing spec."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.narrow import is_array
from facelab.detection import Detections
from facelab.detection.internals import Stopwatch, Timings, as_rgb, in_order, prepared
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.runtimes import Model, check_spec

if TYPE_CHECKING:
    from jaxtyping import Float32, Num, Shaped

Metric = Literal["cosine", "euclidean"]


class Embedder(ABC):
    """A face embedder: crops or faces in, one vector per face out.

    Attributes
    ----------
    name : str
        The name in the catalogue, or of the file.
    dim : int
        Length of an embedding.
    metric : str
        What its owner compares embeddings by: `cosine` or `euclidean`.
    normalised : bool
        Whether `embed` divides by the L2 norm; false for dlib, whose owner compares raw vectors.
    needs : str
        What a whole image must come with: `landmarks` or `boxes`.
    input_size : tuple of int
        (width, height) of an aligned crop.

    Examples
    --------
    >>> from facelab import embedding
    >>> embedder = embedding.load("dlib-resnet")
    >>> isinstance(embedder, Embedder), embedder.dim, embedder.metric
    (True, 128, 'euclidean')
    """

    family: ClassVar[str]
    needs: Literal["landmarks", "boxes"] = "landmarks"
    dim: int
    metric: Metric = "cosine"
    normalised: bool = True
    input_size: tuple[int, int]

    def __init__(self, name: str):
        self.name = name
        self._clock = threading.local()

    @property
    def timings(self) -> Timings | None:
        """Seconds of this thread's last call."""
        return getattr(self._clock, "timings", None)

    @timings.setter
    def timings(self, value: Timings) -> None:
        self._clock.timings = value

    @abstractmethod
    def _crops(self, crops: np.ndarray) -> np.ndarray:
        """Embed checked crops (n, height, width, 3) uint8 RGB; return raw (n, dim) float32 and set `timings`."""

    @abstractmethod
    def _faces(
        self, rgb: np.ndarray, landmarks: np.ndarray | None, boxes: np.ndarray | None
    ) -> np.ndarray:
        """Embed the faces of a checked image; return raw (n, dim) float32 and set `timings`."""

    def embed(
        self,
        image: Shaped[np.ndarray, "*crops h w 3"],
        landmarks: Num[np.ndarray, "*n 5 2"] | None = None,
        *,
        boxes: Num[np.ndarray, "*n 4"] | None = None,
        normalise: bool | None = None,
        batch: int = 32,
    ) -> Float32[np.ndarray, "faces dim"]:
        """Return (n, dim) float32 embeddings, L2-normalised where `normalised` says so (`normalise` overrides it).

        Without landmarks and boxes, `image` is one crop (height, width, 3) or several (n, height, width, 3), RGB
        uint8, aligned as the model wants it and of its `input_size`. With them it is one whole image, and
        `landmarks` (n, 5, 2) or `boxes` (n, 4) `xyxy` name its faces; a model takes what `needs` says and leaves the
        other. At most `batch` faces are in memory and in the network at a time; a model whose file fixes a batch of one
        runs them one by one. `timings` are those of all batches.

        Raises BadInputError for other shapes, for a batch below one, and for an embedding that is not finite or has no
        length.
        """
        if batch < 1:
            raise BadInputError(
                "a batch has at least one face",
                expected=">= 1",
                got=batch,
                fix="give a whole number from 1 on",
            )
        if landmarks is None and boxes is None:
            crops = self._checked(image)
            raw = self._in_batches(self._crops, len(crops), batch, crops)
        else:
            points, found = _shaped(landmarks, (5, 2), "landmarks"), _shaped(boxes, (4,), "boxes")
            if points is not None and found is not None and len(points) != len(found):
                raise BadInputError(
                    "there are not as many landmarks as boxes",
                    where=self.name,
                    expected=f"{len(found)} faces",
                    got=f"{len(points)} faces",
                    fix="pass both as a detector returns them for the same image",
                )
            known = found if points is None else points
            rgb, n = as_rgb(image), 0 if known is None else len(known)

            def work(p: np.ndarray | None, b: np.ndarray | None) -> np.ndarray:
                return self._faces(rgb, p, b)

            raw = self._in_batches(work, n, batch, points, found)
        raw = np.asarray(raw, dtype=np.float32).reshape(-1, self.dim)
        if not np.isfinite(raw).all():
            raise BadInputError(
                "the model put out numbers that are not finite",
                where=self.name,
                fix="check the preprocessing spec against the model; run `facelab assets verify`",
            )
        return (
            l2_normalised(raw, self.name)
            if (self.normalised if normalise is None else normalise)
            else raw
        )

    def _in_batches(
        self, work: Callable[..., np.ndarray], n: int, batch: int, *arrays: np.ndarray | None
    ) -> np.ndarray:
        """Call `work` with each share of the arrays, and add up its timings."""
        rows: list[np.ndarray] = []
        spent = np.zeros(3)
        for start in range(0, max(n, 1), batch):
            shares = (None if a is None else a[start : start + batch] for a in arrays)
            rows.append(np.asarray(work(*shares)).reshape(-1, self.dim))
            if self.timings is not None:
                spent += (self.timings.pre, self.timings.run, self.timings.post)
        self.timings = Timings(*spent.tolist())
        return np.concatenate(rows)

    def embed_detections(
        self, image: Shaped[np.ndarray, "h w 3"], found: Detections, **options: Any
    ) -> Float32[np.ndarray, "faces dim"]:
        """Embed the faces a detector found in `image`."""
        return self.embed(image, found.landmarks, boxes=found.boxes, **options)

    def _checked(self, image: np.ndarray) -> np.ndarray:
        many = is_array(image) and image.ndim == 4
        crops = np.stack([as_rgb(c) for c in image]) if many and len(image) else None
        crops = as_rgb(image)[None] if not many else crops
        if crops is None:
            raise BadInputError(
                "there are no crops", where=self.name, got=image.shape, fix="pass at least one crop"
            )
        width, height = self.input_size
        if crops.shape[1:3] != (height, width):
            raise BadInputError(
                "the crop is not of the size the model takes",
                where=self.name,
                expected=f"{width}×{height} (aligned), or an image with {self.needs}",
                got=f"{crops.shape[2]}×{crops.shape[1]}",
                fix=f"pass {self.needs}, or align first",
            )
        return crops

    def describe(self) -> dict[str, Any]:
        """Return what a report says about this embedder."""
        return {
            "name": self.name,
            "family": self.family,
            "dim": self.dim,
            "metric": self.metric,
            "normalised": self.normalised,
            "needs": self.needs,
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.dim}-d>"


def _shaped(value: Any, tail: tuple[int, ...], what: str) -> np.ndarray | None:
    if value is None:
        return None
    array = np.asarray(value, dtype=np.float64)
    array = array[None] if array.shape == tail else array
    if array.ndim != len(tail) + 1 or array.shape[1:] != tail or not np.isfinite(array).all():
        raise BadInputError(
            f"{what} have a different shape, or are not finite",
            expected="(n, " + ", ".join(map(str, tail)) + ")",
            got=array.shape,
            fix="pass what a detector returns for the same image",
        )
    return array


def l2_normalised(embeddings: np.ndarray, where: object = None) -> np.ndarray:
    """Return rows of length one. Raises BadInputError for a row that has no length.

    >>> l2_normalised(np.array([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if (norms < 1e-12).any():
        raise BadInputError(
            "an embedding has no length",
            where=where,
            got=f"rows {np.flatnonzero(norms < 1e-12)[:5]}",
            fix="the model answers 0: check its file and preprocessing",
        )
    return embeddings / norms


class NeuralEmbedder(Embedder):
    """An embedder made of one network; a family gives `default_spec` and says what it `needs`.

    Parameters
    ----------
    name : str
        The name to report.
    model : Model
        The opened network with one output.
    spec : PreprocessSpec or None
        The preprocessing; None for the family's `default_spec`.
    dim : int or None
        The length that the output must have; None for any.
    metric : str or None
        `cosine` or `euclidean`; None for the family's.

    Raises
    ------
    BadInputError
        The model's input does not fit the spec, or its output is not (n, dim).

    Examples
    --------
    >>> from facelab.embedding._families.sface import EMBEDDER
    >>> issubclass(EMBEDDER, NeuralEmbedder), EMBEDDER.needs
    (True, 'landmarks')
    """

    def __init__(
        self,
        name: str,
        model: Model,
        spec: PreprocessSpec | None = None,
        *,
        dim: int | None = None,
        metric: Metric | None = None,
    ):
        super().__init__(name)
        if metric not in (None, "cosine", "euclidean"):
            raise BadInputError(
                "unknown metric",
                where=name,
                expected="cosine or euclidean",
                got=metric,
                fix="choose cosine or euclidean",
            )
        self.model, self.metric = model, metric or self.metric
        shape = model.inputs[0].shape
        self.spec = spec or self.default_spec(
            name, "nhwc" if len(shape) == 4 and shape[3] == 3 else "nchw"
        )
        check_spec(model, self.spec)
        self.input_size = _fixed_size(self.spec, name)
        self.crop_spec = without_geometry(self.spec)
        if len(model.outputs) != 1:
            raise BadInputError(
                "an embedder has one output",
                where=name,
                got=", ".join(map(str, model.outputs)),
                fix="export the network with the embedding as its only output",
            )
        self.dim = self._probe(dim)

    def with_spec(self, spec: PreprocessSpec) -> NeuralEmbedder:
        """Return the same network behind another preprocessing spec. Raises BadInputError where it does not fit."""
        other = type(self)(self.name, self.model, spec, metric=self.metric)
        if any(s.op == "crop" and s.region == "face" for s in spec.stages):
            other.needs = "boxes"
        return other

    @classmethod
    @abstractmethod
    def default_spec(cls, name: str, layout: str) -> PreprocessSpec:
        """Return the family's customary preprocessing."""

    def _probe(self, wanted: int | None) -> int:
        width, height = self.input_size
        output = self.model.run(
            prepared(self.crop_spec, self._pixels(np.full((height, width, 3), 127, np.uint8)))
        )[0]
        if output.ndim < 2 or len(output) != 1 or output.size not in (wanted or output.size,):
            raise BadInputError(
                "the model's output is not an embedding",
                where=self.name,
                expected=f"(1, {wanted or 'n'})",
                got=output.shape,
                fix="cut the network behind the embedding layer, or name the model's own family",
            )
        return output.size

    def _pixels(self, rgb: np.ndarray) -> np.ndarray:
        return in_order(rgb, self.spec.input_order)

    def _crops(self, crops: np.ndarray) -> np.ndarray:
        return self._all([(lambda c=c: prepared(self.crop_spec, self._pixels(c))) for c in crops])

    def _faces(
        self, rgb: np.ndarray, landmarks: np.ndarray | None, boxes: np.ndarray | None
    ) -> np.ndarray:
        faces = landmarks if self.needs == "landmarks" else boxes
        if faces is None:
            raise BadInputError(
                f"{self.family} finds a face by its {self.needs}",
                where=self.name,
                expected=self.needs,
                fix=f"pass {self.needs} from a detector that has them",
            )
        pixels = self._pixels(rgb)
        return self._all([(lambda f=f: prepared(self.spec, pixels, face=f)) for f in faces])

    def _all(self, makers: list[Any]) -> np.ndarray:
        watch = Stopwatch()
        tensors = [make() for make in makers]
        pre = watch.lap()
        free = self.model.inputs[0].shape[0] is None
        batches = [np.concatenate(tensors)] if free and tensors else tensors
        rows = [self.model.run(batch)[0].reshape(len(batch), -1) for batch in batches]
        self.timings = Timings(pre, watch.lap(), 0.0)
        return np.concatenate(rows) if rows else np.zeros((0, self.dim), np.float32)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "spec": self.spec.hash}


def _fixed_size(spec: PreprocessSpec, name: str) -> tuple[int, int]:
    layout, shape = spec.states[-1].layout, spec.output_shape()
    width, height = (shape[layout.index(a)] if a in layout else None for a in "wh")
    if not width or not height:
        raise BadInputError(
            "an embedder's spec must fix the size of its crop",
            where=name,
            got=shape,
            fix="add an align or a resize stage",
        )
    return width, height


def without_geometry(spec: PreprocessSpec) -> PreprocessSpec:
    """Return the spec for crops that are aligned and sized already: without orient, crop, align, resize and pad."""
    stages = [s for s in spec.stages if s.op not in ("orient", "crop", "align", "resize", "pad")]
    return PreprocessSpec(f"{spec.name} (aligned crop)", stages)
