"""What notebook 11 asks of cameras: contracts, ages, faults, pairs, and the range of gray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.camera import Frame, Pairer, RenderedSensor, open_source, pair_frames
from facelab.camera.internals import (
    BUSES,
    POLICIES,
    Choice,
    DecodeCost,
    FaceScene,
    NegotiationError,
    StreamModel,
    choices,
)
from facelab.core.timing import median_interval

if TYPE_CHECKING:
    from facelab.fingerprint import Comparison

TEXT = {"YUYV": (0.0123, 0.09), "MJPG": (0.0387, 0.41)}
"""What the source text says of a 720p frame: seconds, and the share of a core that the camera takes."""
TOLERANCE_S = 0.0165
STREAMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "small drift": ({}, {"rate": 30.02}),
    "depth at 15 fps": ({}, {"rate": 15.0}),
    "jitter 4 ms": ({"jitter_s": 0.004}, {"jitter_s": 0.004}),
    "10 % drops": ({"drop_share": 0.1}, {"drop_share": 0.1}),
    "own clock, 80 ppm": (
        {},
        {"clock": "depth", "clock_offset_s": -123.4, "clock_drift": 80e-6},
    ),
}
"""Stream fault → what it changes in the colour and in the depth stream."""
_COLOUR = {"jitter_s": 5e-4, "drop_share": 0.02, "latency_s": 0.02, "latency_jitter_s": 0.01}
_DEPTH = {**_COLOUR, "latency_s": 0.06, "phase_s": 0.011}


def implied_rate(format: str) -> float:
    """Return the frame rate at which the source text's two figures of a format agree.

    >>> round(implied_rate("YUYV"), 1), round(implied_rate("MJPG"), 1)
    (7.3, 10.6)
    """
    seconds, share = TEXT[format]
    return share / seconds


def times_dearer(costs: Sequence[DecodeCost], size: tuple[int, int]) -> tuple[float, float, float]:
    """Return how many times the processor time of YUYV the fastest MJPEG decoder takes, with a 95 % interval.

    Both were timed in the same interleaved rounds.
    """
    mine = [c for c in costs if (c.width, c.height) == size]
    raw = next(c for c in mine if c.format == "YUYV")
    jpeg = min((c for c in mine if c.format == "MJPG"), key=lambda c: c.cpu_s)
    ratios = jpeg.samples / np.maximum(raw.samples, 1e-9)
    return float(np.median(ratios)), *median_interval(ratios)


# ---------------------------------------------------------------- contracts
def negotiations() -> list[dict[str, str]]:
    """Ask a camera (vivid on the fake kernel) for what it has and has not, and return what came of it."""
    wishes: list[tuple[dict[str, Any], list[str]]] = [
        ({"format": "YUYV", "size": (640, 480), "rate": 25}, []),
        ({"format": "MJPG", "size": (640, 480)}, []),
        ({"format": "YUYV", "size": (1000, 700)}, []),
        ({"format": "YUYV", "size": (640, 480), "rate": 30}, []),
        ({"format": "YUYV", "size": (640, 480), "rate": 30}, ["rate"]),
    ]
    out = []
    for wish, allow in wishes:
        size = "x".join(map(str, wish["size"]))
        row = {"asked": f"{wish['format']} {size} at {wish.get('rate', 'any')}"}
        row["allowed"] = ", ".join(allow) or "nothing"
        try:
            with open_source("fake:vivid", allow=allow, **wish) as camera:
                c = camera.contract
            row["answer"] = f"{c.format} {c.width}x{c.height} at {c.rate:g}"
        except NegotiationError as e:
            row["answer"] = f"error: {e.got}"
        out.append(row)
    return out


# ---------------------------------------------------------------- age
@dataclass(frozen=True)
class Ages:
    """Ages in seconds of the frames that a slow reader got, and what was left out."""

    ages_s: list[float]
    outcomes: dict[str, int]
    lost: int


def slow_reader(
    newest: bool, *, reads: int = 40, work_s: float = 0.107, pause_s: float = 1.0
) -> Ages:
    """Read a 30 fps sensor with `work_s` of work after each frame and one long pause in the middle.

    Parameters
    ----------
    newest
        Read the newest frame, at most 50 ms old; otherwise read in order, as OpenCV does.
    """
    ages = []
    with RenderedSensor(pixels=False, depth=None) as sensor:
        for k in range(reads):
            frame = sensor.read_newest(max_age_s=0.05) if newest else sensor.read()
            ages.append(frame.age_s)
            sensor.clock.sleep(pause_s if k == reads // 2 else work_s)
        lost = sensor.ledger["lost"]
    return Ages(ages, sensor.ledger.report().outcomes, lost)


# ---------------------------------------------------------------- faults
def faulty_stream(seconds: float = 4.0, seed: int = 0) -> tuple[list[Frame], dict[str, int], int]:
    """Read an MJPEG stream with planted faults; return its frames, its ledger, and how many faults were planted.

    From second 2.0 to 2.1 the cable is out as well: three frames are lost, none of them a planted one.
    """
    rng = np.random.default_rng(seed)
    n = int(seconds * 30)
    where = rng.choice([k for k in range(5, n - 5) if not 58 <= k <= 64], 12, replace=False)
    kinds = ("corrupt", "truncated", "repeated", "no huffman tables")
    faults = tuple((int(k), kinds[i % 4]) for i, k in enumerate(where))
    model = StreamModel(faults=faults, unplugged=(1.999, 2.099))
    scene = FaceScene(64, seed=seed)
    with RenderedSensor(
        scene, colour=model, depth=None, format="MJPG", duration_s=seconds, decode="RGB", seed=seed
    ) as sensor:
        frames = list(sensor)
    report = sensor.ledger.report()
    return frames, {**report.outcomes, **report.events}, len(faults)


# ---------------------------------------------------------------- pairs
@dataclass(frozen=True)
class PairScore:
    """How one policy pairs one kind of stream: against the mutual nearest frames by their true times.

    `recall` is the share of true pairs that were made, `wrong` the share of made pairs that are not true ones.
    """

    stream: str
    policy: str
    recall: float
    wrong: float
    pairs: int
    wait_p50_s: float
    wait_p99_s: float
    balanced: bool


def pair_scores(seconds: float = 60.0, seed: int = 1) -> list[PairScore]:
    """Score every policy on every stream of `STREAMS`; all policies see the same frames."""
    out = []
    for name, (colour, depth) in STREAMS.items():
        sensor = RenderedSensor(
            pixels=False,
            colour=StreamModel(**{**_COLOUR, **colour}),
            depth=StreamModel(**{**_DEPTH, **depth}),
            duration_s=seconds,
            seed=seed,
        )
        frames = list(sensor)
        truth = true_pairs(frames)
        for policy in POLICIES:
            pairer = Pairer(policy=policy, tolerance_s=TOLERANCE_S, latency_s=(0.02, 0.06))
            made = list(pair_frames(frames, pairer))
            keys = {(p.colour.sequence, p.depth.sequence) for p in made}
            waits = np.percentile([p.waited_s for p in made] or [0.0], [50, 99])
            out.append(
                PairScore(
                    name,
                    policy,
                    len(keys & truth) / len(truth),
                    len(keys - truth) / max(1, len(keys)),
                    len(made),
                    float(waits[0]),
                    float(waits[1]),
                    pairer.report().balanced,
                )
            )
    return out


def true_pairs(frames: Sequence[Frame]) -> set[tuple[int, int]]:
    """Return the pairs of sequence numbers whose true times are nearest to each other, both ways."""
    sides = [[f for f in frames if f.stream == s] for s in ("colour", "depth")]
    times = [np.array([(f.truth or {})["true_time_s"] for f in side]) for side in sides]
    there, back = _nearest(times[0], times[1]), _nearest(times[1], times[0])
    return {
        (sides[0][i].sequence, sides[1][j].sequence)
        for i, j in enumerate(there)
        if back[j] == i and abs(times[0][i] - times[1][j]) <= TOLERANCE_S
    }


def _nearest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return for each of `a` the index of the nearest of `b`; both may be slightly out of order."""
    order = np.argsort(b)
    right = np.clip(np.searchsorted(b[order], a), 1, len(b) - 1)
    left = order[right - 1]
    right = order[right]
    return np.where(np.abs(b[left] - a) <= np.abs(b[right] - a), left, right)


# ---------------------------------------------------------------- gray
@dataclass(frozen=True)
class GrayTrap:
    """What OpenCV's `COLOR_YUV2GRAY_YUYV` does to gray, and what a fingerprint says of it."""

    mean_off: float
    largest_off: float
    kind: str
    explained: float
    verdict: str
    facelab_off: float
    comparison: Comparison


def gray_trap() -> GrayTrap:
    """Compare gray from YUYV by OpenCV's direct code with gray from the decoded colours, on the probes."""
    from facelab.fingerprint import capture_pipeline, compare

    right, trap = _gray_program("by way of BGR"), _gray_program("COLOR_YUV2GRAY_YUYV")
    packages = ("opencv-python-headless",)
    sides = [
        capture_pipeline(program, name=name, families=("image",), packages=packages)
        for program, name in ((right, "training"), (trap, "device"))
    ]
    found = compare(*sides)
    picture = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    codes = [_gray(picture, how) for how in ("by way of BGR", "COLOR_YUV2GRAY_YUYV", "facelab")]
    off = np.abs(codes[1].astype(int) - codes[0])
    return GrayTrap(
        float(off.mean()),
        float(off.max()),
        found.findings[0].kind if found.findings else "none",
        float(found.explained or 0.0),
        found.verdict,
        float(np.abs(codes[2].astype(int) - codes[0]).max()),
        found,
    )


def _gray(gray: np.ndarray, how: str) -> np.ndarray:
    import cv2

    return _yuyv_to_gray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), how)


def _yuyv_to_gray(bgr: np.ndarray, how: str) -> np.ndarray:
    import cv2

    h, w = bgr.shape[:2]
    yuyv = cv2.cvtColor(np.ascontiguousarray(bgr[:, : w - w % 2]), cv2.COLOR_BGR2YUV_YUY2)
    if how == "COLOR_YUV2GRAY_YUYV":
        return cv2.cvtColor(yuyv, cv2.COLOR_YUV2GRAY_YUYV)
    if how == "facelab":
        frame = Frame(yuyv, "YUYV", w - w % 2, h, 0, 0.0, "monotonic", 0.0, colour_range="limited")
        return frame.image("GRAY")
    return cv2.cvtColor(cv2.cvtColor(yuyv, cv2.COLOR_YUV2BGR_YUYV), cv2.COLOR_BGR2GRAY)


def _gray_program(how: str) -> Callable[..., np.ndarray]:
    import cv2

    def program(path: Any, probe: Any) -> np.ndarray:
        picture = np.asarray(cv2.imread(str(path)))
        gray = _yuyv_to_gray(picture, how)
        small = cv2.resize(gray, (64, 64), interpolation=cv2.INTER_AREA)
        return (small.astype(np.float32) / 255)[None, ..., None]

    return program


def of_size(choices: Sequence[Choice], size: Sequence[int], format: str | None = None) -> Choice:
    """Return the best choice for frames of a (width, height), of any format or of one; choices are best first."""
    return next(
        c for c in choices if (c.width, c.height) == tuple(size) and format in (None, c.format)
    )


def choices_by_bus(costs: Sequence[DecodeCost], rate: float) -> dict[str, list[Choice]]:
    """Return the choices of format and size for each kind of bus that a camera may be on."""
    return {bus: choices(costs, bus, rate) for bus in BUSES}
