"""`sanity_check`: does an opened model answer differently to different inputs? A constant one is worthless."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from facelab.core.errors import BadInputError
from facelab.zoo.runtimes._base import Model, ModelRunError, TensorInfo

RANGES = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0))
"""The customary ranges of inputs; a model is judged by the one that suits it best."""
CLASSES = range(4, 65)
"""Numbers of outputs that make a classifier of faces: with two or three classes one answer to all may be right."""


@dataclass(frozen=True)
class Sanity:
    """What `sanity_check` saw: warnings (empty when all is well), the number of inputs, and the top class's share."""

    warnings: list[str] = field(default_factory=list)
    n: int = 0
    top_share: float | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.warnings


def sanity_check(
    model: Model, samples: np.ndarray | None = None, *, seed: int = 0, top_share: float = 0.9
) -> Sanity:
    """Run a model on varied inputs and say what makes its answers suspicious.

    `samples` (n, …) are inputs without the batch axis, best of real data that should get several answers. Without
    them, an image model sees 50 real faces (scikit-image's sample of LFW, enlarged) and another model 24 patterns,
    in each of three customary value ranges. Warned of: outputs that hold NaN or infinity, outputs that do not change
    with the input, and a classifier (one output of 4 to 64 numbers) that gives one class to more than `top_share` of
    the samples *in every range*. A constant answer of a detector or a two-class model is none of this function's.
    Raises BadInputError for a model with several inputs; a model that does not run raises ModelRunError.
    """
    if len(model.inputs) != 1:
        raise BadInputError(
            "only a model with one input can be checked this way",
            where=model.path,
            expected="one input",
            got=len(model.inputs),
            fix="call run() with an array per input",
        )
    info = model.inputs[0]
    batches = [np.asarray(samples)] if samples is not None else _probes(info, seed)
    warnings, shares, spreads, finite, n = [], [], [], [], 0
    for batch in batches:
        rows = [
            np.concatenate([o.astype(np.float64).ravel() for o in _run_one(model, x)])
            for x in batch
        ]
        n += len(rows)
        if len({len(r) for r in rows}) != 1:
            return Sanity(
                [], n
            )  # data-dependent output sizes (a detector with NMS inside): nothing constant here
        outputs = np.stack(rows)
        finite.append(bool(np.isfinite(outputs).all()))
        outputs = np.nan_to_num(outputs, posinf=0.0, neginf=0.0)
        spreads.append(
            float(np.ptp(outputs, axis=0).max()) / max(1e-12, float(np.abs(outputs).max()))
        )
        if len(model.outputs) == 1 and outputs.shape[1] in CLASSES:
            shares.append(float(np.bincount(outputs.argmax(axis=1)).max() / len(outputs)))
    if not any(finite):
        warnings.append("some outputs are NaN or infinite")
    if max(spreads) < 1e-4:
        warnings.append(
            f"the output is the same for {n} different inputs (relative spread {max(spreads):.1e})"
        )
    elif shares and min(shares) > top_share:
        warnings.append(
            f"one class is the answer to {min(shares):.0%} or more of {n} different inputs"
        )
    return Sanity(warnings, n, min(shares) if shares else None)


def _run_one(model: Model, sample: np.ndarray) -> list[np.ndarray]:
    return model.run(np.ascontiguousarray(sample)[None])


def _probes(info: TensorInfo, seed: int) -> list[np.ndarray]:
    shape = info.shape
    if len(shape) == 4 and np.dtype(info.dtype).kind == "f":
        if shape[3] in (1, 3):
            return _faces(shape[1] or 64, shape[2] or 64, shape[3], np.dtype(info.dtype))
        if shape[1] in (1, 3):
            return [
                np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
                for batch in _faces(shape[2] or 64, shape[3] or 64, shape[1], np.dtype(info.dtype))
            ]
    return _patterns(info, seed)


def _faces(height: int, width: int, channels: int, dtype: np.dtype) -> list[np.ndarray]:
    """Return 50 real faces (n, height, width, channels) in each customary range. They ship with scikit-image."""
    import cv2
    from skimage.data import lfw_subset

    faces = lfw_subset()[:100:2]  # the first hundred are faces, gray, in [0, 1]
    unit = np.stack([cv2.resize(f, (width, height), interpolation=cv2.INTER_LINEAR) for f in faces])
    unit = np.repeat(unit[..., None], channels, axis=-1)
    return [(low + unit * (high - low)).astype(dtype) for low, high in RANGES]


def _patterns(info: TensorInfo, seed: int) -> list[np.ndarray]:
    """Return batches of smooth and rough patterns, one per customary value range (integers: their own range)."""
    shape = tuple(n or 64 for n in info.shape[1:])
    rng = np.random.default_rng(seed)
    noise = rng.random((8, *shape))
    flat = np.broadcast_to(np.linspace(0, 1, 8).reshape(8, *[1] * len(shape)), (8, *shape))
    ramps = np.stack(
        [_ramp(shape, axis, power) for power in (0.5, 2.0) for axis in range(len(shape))]
    )
    unit = np.concatenate([noise, flat, ramps])
    kind = np.dtype(info.dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return [(limits.min + unit * (limits.max - limits.min)).round().astype(kind)]
    if kind.kind != "f":
        raise ModelRunError(
            "the model's input is not a number",
            got=info,
            fix="export the model with a numeric input tensor",
        )
    return [(low + unit * (high - low)).astype(kind) for low, high in RANGES]


def _ramp(shape: tuple[int, ...], axis: int, power: float) -> np.ndarray:
    line = np.linspace(0, 1, shape[axis]) ** power
    return np.broadcast_to(line.reshape([-1 if a == axis else 1 for a in range(len(shape))]), shape)
