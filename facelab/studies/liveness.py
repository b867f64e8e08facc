"""What notebook 12 asks of liveness: attacks, coarse depth, loose boxes, wrong pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab import liveness
from facelab.camera import Frame, Pairer, RenderedSensor, pair_frames
from facelab.camera.internals import POLICIES, FaceScene, StreamModel
from facelab.liveness import LivenessModel, Presentation
from facelab.liveness import internals as liveness_internals
from facelab.liveness.internals import LivenessEvaluation
from facelab.metrics.intervals import wilson

NETWORKS = ("minifasnet-v2", "minifasnet-v1se", "minifas-128", "minifas-128-int8")
"""Networks that the notebook evaluates where their files are on the machine."""
FUSED = ("depth-geometry", "motion", "minifasnet-v2", "minifasnet-v1se")
"""Members of the notebook's fusion, those of them that are on the machine; none has weights for research only."""


def models(threads: int = 1) -> list[LivenessModel]:
    """Return the built-in families, and the networks of `NETWORKS` that are on this machine."""
    here = liveness.available()
    names = [n for n in ("depth-geometry", "motion", *NETWORKS) if n in here]
    networks = {n: liveness.load(n, threads=threads) for n in names if n in NETWORKS}
    return [networks.get(n) or liveness.load(n) for n in names]


def evaluations(
    members: Sequence[LivenessModel], people: Sequence[Presentation], rule: str, seed: int
) -> tuple[list[LivenessEvaluation], LivenessModel]:
    """Return each model's evaluation, the fusion's last, and the fusion with its threshold."""
    fusion = liveness.fit_fusion([m for m in members if m.name in FUSED], people)
    found = [liveness.evaluate(m, people, rule=rule, seed=seed) for m in (*members, fusion)]
    fusion.threshold = found[-1].rates.threshold
    return found, fusion


def calibration_error(fusion: LivenessModel, people: Sequence[Presentation]) -> tuple[float, float]:
    """Return (Brier score of the fusion, Brier score of the share of live faces) on the split `test`."""
    test = [p for p in people if p.split == "test"]
    live = np.array([p.kind == "live" for p in test], float)
    share = np.array([fusion.score(p).score for p in test])
    kept = np.isfinite(share)
    base = live[kept].mean()
    return float(np.mean((share[kept] - live[kept]) ** 2)), float(base * (1 - base))


# ---------------------------------------------------------------- coarse depth
@dataclass(frozen=True)
class CoarseDepth:
    """Depth geometry on a coarser camera: errors at the threshold of the fine one, and at a threshold chosen again."""

    name: str
    acer_kept: float
    acer_anew: float
    lo: float
    hi: float


def coarse_depth(people: Sequence[Presentation], seed: int = 0) -> list[CoarseDepth]:
    """Return depth geometry's ACER without masks, which depth cannot tell, for several depth cameras."""
    data = [p for p in people if p.kind != "mask"]
    model = liveness.load("depth-geometry")
    fine = liveness.evaluate(model, data, seed=seed).rates.threshold
    model.threshold = fine
    out = []
    for name, noise, wave, step in (
        ("as sensed", 0.0, 0.0, 1),
        ("5 mm noise", 5.0, 0.0, 1),
        ("10 mm noise", 10.0, 0.0, 1),
        ("2 mm waves", 0.0, 2.0, 1),
        ("5 mm waves", 0.0, 5.0, 1),
        ("10 mm waves", 0.0, 10.0, 1),
        ("20 mm steps (8 bits)", 0.0, 0.0, 20),
    ):
        coarse = liveness_internals.degraded_depth(
            data, noise_mm=noise, wave_mm=wave, step_mm=step, seed=seed
        )
        kept = liveness.evaluate(model, coarse, rule="model", seed=seed)
        again = liveness.evaluate(model, coarse, seed=seed).rates.acer
        out.append(CoarseDepth(name, kept.rates.acer.value, again.value, again.lo, again.hi))
    return out


# ---------------------------------------------------------------- boxes
def box_tables(
    found: Sequence[LivenessEvaluation],
    members: Sequence[LivenessModel],
    people: Sequence[Presentation],
    most: int = 40,
    seed: int = 0,
) -> list:
    """Return `BoxSensitivity` of each model that looks at the box, on presentations of the split `test`."""
    test = [p for p in people if p.split == "test"][:most]
    limits = {f.model["name"]: f.rates.threshold for f in found}
    return [
        liveness.box_sensitivity(m, test, limits[m.name], seed=seed)
        for m in members
        if m.family != "motion"  # it sees landmarks alone
    ]


# ---------------------------------------------------------------- wrong pairs
@dataclass(frozen=True)
class PairingEffect:
    """What a policy of pairing does to decisions while a person and a print of another take turns.

    `mixed` is the share of pairs whose colour shows one kind and whose depth the other. `apcer` is the share of pairs
    with a print in their colour that pass as live, `bpcer` that of live colours that do not; with intervals that count
    pairs as independent. `apart_ms` is the median distance of true times.
    """

    policy: str
    pairs: int
    mixed: float
    apart_ms: float
    apcer: float
    apcer_lo: float
    apcer_hi: float
    bpcer: float
    bpcer_lo: float
    bpcer_hi: float


def pairing_effect(
    seconds: float = 8.0, seed: int = 0, size: int = 128, faces: int = 4
) -> list[PairingEffect]:
    """Return the effect of each policy; all see the same frames, and depth arrives 40 ms later than colour.

    Parameters
    ----------
    seconds : float
        Of the stream; a person and a print take turns every 0.3 to 0.5 s.
    seed : int
        Of faces, jitter and drops.
    size : int
        Side of the pictures.
    faces : int
        How many persons the seconds are shared among.
    """
    rows: dict[str, list[tuple[bool, bool, bool, float]]] = {policy: [] for policy in POLICIES}
    model = liveness.load("depth-geometry")
    for index in range(faces):
        frames = _turns(seconds / faces, seed, index, size)
        answers: dict[tuple[int, int], bool] = {}
        for policy in POLICIES:
            rows[policy] += _decisions(policy, frames, model, answers)
    return [_effect(policy, rows[policy]) for policy in POLICIES]


def _turns(seconds: float, seed: int, index: int, size: int) -> list[Frame]:
    # even turns would beat with the frame rate: always, or never, between two frames
    gaps = np.random.default_rng([seed, index]).uniform(0.3, 0.5, int(seconds / 0.3) + 1)
    turns = [
        (float(t), ("live", "print_flat")[k % 2]) for k, t in enumerate(np.cumsum(gaps) - gaps[0])
    ]
    faults: dict[str, Any] = {"jitter_s": 0.002, "drop_share": 0.05, "latency_jitter_s": 0.005}
    sensor = RenderedSensor(
        FaceScene(size, seed=seed, index=index, kinds=tuple(turns), sway_px=12, period_s=0.8),
        colour=StreamModel(latency_s=0.02, **faults),
        depth=StreamModel(latency_s=0.06, phase_s=0.004, **faults),
        duration_s=seconds,
        seed=seed + index,
    )
    return [f.copy() for f in sensor]


def _decisions(
    policy: str, frames: list[Frame], model: LivenessModel, answers: dict[tuple[int, int], bool]
) -> list[tuple[bool, bool, bool, float]]:
    """Return per pair: colour is live, depth is live, it passed, and how far apart (s) both were taken."""
    rows = []
    for pair in pair_frames(frames, Pairer(policy=policy)):
        colour, depth = pair.colour.truth or {}, pair.depth.truth or {}
        key = (pair.colour.sequence, pair.depth.sequence)
        if key not in answers:
            look = liveness_internals.look_of(pair, colour["box"], colour["landmarks"])
            answers[key] = model.is_live(Presentation((look,)))
        apart = abs(colour["true_time_s"] - depth["true_time_s"])
        rows.append((colour["kind"] == "live", depth["kind"] == "live", answers[key], apart))
    return rows


def _effect(policy: str, rows: list[tuple[bool, bool, bool, float]]) -> PairingEffect:
    seen, felt, passed, apart = (np.array(column) for column in zip(*rows))
    shares = []
    for wrong in (passed[~seen], ~passed[seen]):
        shares += [float(wrong.mean()), *wilson(int(wrong.sum()), len(wrong))]
    mixed = float((seen != felt).mean())
    return PairingEffect(policy, len(rows), mixed, 1e3 * float(np.median(apart)), *shares)
