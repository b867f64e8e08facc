"""`sanity_check`: does an opened model answer differently to different inputs? A constant one is worthless."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from facelab.core.errors import BadInputError
from facelab.zoo.runtimes.base import Model, ModelRunError, TensorInfo

RANGES = {"0-255": (0.0, 255.0), "0-1": (0.0, 1.0), "-1-1": (-1.0, 1.0)}


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


def sanity_check(model: Model, samples: np.ndarray | None = None, *, seed: int = 0,
                 top_share: float = 0.9) -> Sanity:
    """Run a model on varied inputs and say what makes its answers suspicious.

    `samples` (n, …) are inputs without the batch axis, best of real data that should get several answers; without
    them 24 synthetic patterns in each of three customary ranges are used. Warned of: outputs that hold NaN or
    infinity, outputs that do not change with the input, and a classifier (one output of 2 to 1000 numbers per
    input) that gives one class to more than `top_share` of the samples *in every range*.
    Raises BadInputError for a model with several inputs; a model that does not run raises ModelRunError.
    """
    if len(model.inputs) != 1:
        raise BadInputError("only a model with one input can be checked this way", where=model.path,
                            expected="one input", got=len(model.inputs))
    info = model.inputs[0]
    batches = [np.asarray(samples)] if samples is not None else _patterns(info, seed)
    warnings, shares, spreads, n = [], [], [], 0
    for batch in batches:
        rows = [np.concatenate([o.astype(np.float64).ravel() for o in _run_one(model, x)]) for x in batch]
        n += len(rows)
        if len({len(r) for r in rows}) != 1:
            return Sanity([], n)   # data-dependent output sizes (a detector with NMS inside): nothing constant here
        outputs = np.stack(rows)
        if not np.isfinite(outputs).all():
            warnings.append("some outputs are NaN or infinite")
            outputs = np.nan_to_num(outputs)
        spreads.append(float(np.ptp(outputs, axis=0).max()) / max(1e-12, float(np.abs(outputs).max())))
        if len(model.outputs) == 1 and 2 <= outputs.shape[1] <= 1000:
            shares.append(float(np.bincount(outputs.argmax(axis=1)).max() / len(outputs)))
    if max(spreads) < 1e-4:
        warnings.append(f"the output is the same for {n} different inputs (relative spread {max(spreads):.1e})")
    elif shares and min(shares) > top_share:
        warnings.append(f"one class is the answer to {min(shares):.0%} or more of {n} different inputs")
    return Sanity(list(dict.fromkeys(warnings)), n, min(shares) if shares else None)


def _run_one(model: Model, sample: np.ndarray) -> list[np.ndarray]:
    return model.run(np.ascontiguousarray(sample)[None])


def _patterns(info: TensorInfo, seed: int) -> list[np.ndarray]:
    """Return batches of smooth and rough patterns, one per customary value range (integers: their own range)."""
    shape = tuple(n or 64 for n in info.shape[1:])
    rng = np.random.default_rng(seed)
    noise = rng.random((8, *shape))
    flat = np.broadcast_to(np.linspace(0, 1, 8).reshape(8, *[1] * len(shape)), (8, *shape))
    ramps = np.stack([_ramp(shape, axis, power) for power in (0.5, 2.0) for axis in range(len(shape))])
    unit = np.concatenate([noise, flat, ramps])
    kind = np.dtype(info.dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return [(limits.min + unit * (limits.max - limits.min)).round().astype(kind)]
    if kind.kind != "f":
        raise ModelRunError("the model's input is no number", got=info)
    return [(low + unit * (high - low)).astype(kind) for low, high in RANGES.values()]


def _ramp(shape: tuple[int, ...], axis: int, power: float) -> np.ndarray:
    line = np.linspace(0, 1, shape[axis]) ** power
    return np.broadcast_to(line.reshape([-1 if a == axis else 1 for a in range(len(shape))]), shape)
